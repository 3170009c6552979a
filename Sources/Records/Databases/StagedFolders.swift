import Diagnostics
import Glibc

/// Folders that are built beside their targets and put in place together, at the end.
///
/// Beside each target, `TARGET.incomplete` holds what is being made (`new`) and, while targets are exchanged, what was
/// there before (`old`). A run that is killed leaves such a folder behind; the next run for the same target undoes what
/// was half done and clears it. The folder is locked, so that two runs do not build the same target.
///
/// The first target is taken away first and put in place last: where it is, the others are whole and belong to it.
final class StagedFolders {
  private struct Stage {
    let target: String
    let folder: String
    let lock: Int32
    /// The folders above it that were not there, innermost first.
    let parents: [String]

    /// Being built.
    var new: String { "\(folder)/new" }
    /// What stood in the target's place.
    var old: String { "\(folder)/old" }
  }

  private var stages: [Stage] = []

  /// Where to build each target.
  var folders: [String] { stages.map(\.new) }

  /// Makes the folders to build in, and those above the targets.
  ///
  /// Throws a `Diagnostic` (`existingTarget` when another run is building one of them, `unwritableFile`, `outOfSpace`).
  init(targets: [String]) throws {
    do {
      for target in targets { try stages.append(StagedFolders.open(target)) }
      try takeBack()
      // In this order, so that where the first one has `new`, all have had it.
      for stage in stages.reversed() { try makeFolder(stage.new) }
    } catch {
      letGo()
      throw error
    }
  }

  private init(taking stages: [Stage]) { self.stages = stages }

  deinit { letGo() }

  /// Undoes what a killed run left beside these targets, if it left anything.
  ///
  /// Throws a `Diagnostic` (`existingTarget` when another run is building one of them, `unwritableFile`).
  static func undoKilledRun(of targets: [String]) throws {
    let left = targets.filter { exists("\(withoutEndingSlashes($0)).incomplete") }
    let run = try StagedFolders(taking: left.map(open))
    try run.takeBack()
  }

  private static func open(_ target: String) throws -> Stage {
    let target = withoutEndingSlashes(target)
    let folder = "\(target).incomplete"
    let parents = missingParents(of: target)
    try makeFolder(folder)
    let lock = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard lock >= 0 else { throw writeFault(writing: "'\(folder)'", code: errno) }
    // Where the file system knows no locks, do without.
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
      close(lock)
      throw Diagnostic(.existingTarget, "another run is writing '\(target)' (it builds it in '\(folder)')")
    }
    return Stage(target: target, folder: folder, lock: lock, parents: parents)
  }

  private static func missingParents(of path: String) -> [String] {
    let parent = parentFolder(of: path)
    return exists(parent) ? [] : [parent] + missingParents(of: parent)
  }

  /// Undoes what a killed run had put in place of its targets, unless it had put all; then clears what it built.
  /// Killed itself, it can be run again.
  private func takeBack() throws {
    guard let first = stages.first else { return }
    if exists(first.new) {
      for stage in stages {
        if !exists(stage.new) && exists(stage.target) { try move(stage.target, to: stage.new) }
        if exists(stage.old) && !exists(stage.target) { try move(stage.old, to: stage.target) }
      }
    }
    for stage in stages {
      try removeTree(stage.new)
      try removeTree(stage.old)
    }
  }

  /// Puts the new folders in their targets' places and removes what was there.
  ///
  /// Throws a `Diagnostic` (`unwritableFile`, `outOfSpace`); the targets are then as they were.
  func putInPlace() throws {
    do {
      for stage in stages {
        try syncFolder(stage.new)
        try syncFolder(stage.folder)
      }
      for stage in stages where exists(stage.target) { try move(stage.target, to: stage.old) }
      for stage in stages.reversed() { try move(stage.new, to: stage.target) }
    } catch {
      try takeBack()
      throw error
    }
    for stage in stages {
      try syncFolder(parentFolder(of: stage.target))
      // The new ones stand; what cannot be removed now is cleared by the next run.
      try? removeTree(stage.old)
    }
    letGo()
  }

  /// Removes what was built and is not to be put in place.
  func discard() {
    // The next run clears what cannot be removed.
    for stage in stages { try? removeTree(stage.new) }
    letGo()
  }

  /// Folders that something stands in stay.
  private func letGo() {
    for stage in stages.reversed() {
      for folder in [stage.folder] + stage.parents { rmdir(folder) }
      close(stage.lock)
    }
    stages = []
  }
}
