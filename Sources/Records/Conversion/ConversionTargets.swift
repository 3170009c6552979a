import Diagnostics
import Glibc

/// The databases of a conversion: where they are to be, and how they get there.
struct ConversionTargets {
  /// Images, and labels where they have a database of their own.
  let databases: [String]
  /// What is put in place as one: the folder of both databases, or each of them.
  let staged: [String]

  /// Throws a `Diagnostic` (`existingTarget`, `badArgument`).
  init(_ target: ConversionOptions.Target, replaces: Bool) throws {
    switch target {
    case .single(let path): databases = [path]
    case .pair(let images, let labels): databases = [images, labels]
    case .folder(let folder):
      let folder = withoutEndingSlashes(folder)
      databases = ["\(folder)/image", "\(folder)/label"]
    }
    if case .folder("") = target { throw Diagnostic(.badArgument, "the folder of the databases has no name") }
    guard databases.allSatisfy({ !$0.isEmpty }), Set(databases.map(withoutEndingSlashes)).count == databases.count
    else {
      throw Diagnostic(.badArgument, "the databases need names, those of images and of labels different ones")
    }
    try ConversionTargets.undoKilledRuns(target, databases)
    for database in databases where exists(database) { try checkIsReplaceable(database, replaces: replaces) }
    if case .folder(let folder) = target, canBeRenamed(withoutEndingSlashes(folder)) {
      // One rename puts both in place.
      staged = [withoutEndingSlashes(folder)]
    } else {
      staged = databases
    }
  }

  /// Where the databases are while they are built, given where each of `staged` is.
  func building(in folders: [String]) -> [String] {
    staged.count == databases.count ? folders : databases.map { folders[0] + $0.dropFirst(staged[0].count) }
  }

  /// Before the look at what exists: a killed run may have taken an old database away.
  private static func undoKilledRuns(_ target: ConversionOptions.Target, _ databases: [String]) throws {
    if case .folder(let folder) = target { try StagedFolders.undoKilledRun(of: [folder]) }
    try StagedFolders.undoKilledRun(of: databases)
  }
}

private func checkIsReplaceable(_ database: String, replaces: Bool) throws {
  guard replaces else {
    throw Diagnostic(.existingTarget, "'\(database)' exists; use --force to replace it")
  }
  var status = stat()
  let isFolder = stat(database, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  guard isFolder && names(in: database).allSatisfy({ ["data.mdb", "lock.mdb"].contains($0) }) else {
    throw Diagnostic(
      .existingTarget, "'\(database)' is not replaced, for it is no LMDB or holds other files too; remove it yourself")
  }
}

/// Whether a folder of that name can be put in place whole: there is none, or it holds the two databases alone. Not so
/// for links and for places that another disk is mounted at.
private func canBeRenamed(_ folder: String) -> Bool {
  let name = folder.split(separator: "/").last
  if name == nil || name == "." || name == ".." { return false }
  var status = stat()
  if lstat(folder, &status) != 0 { return true }
  var parentStatus = stat()
  return status.st_mode & S_IFMT == S_IFDIR && stat(parentFolder(of: folder), &parentStatus) == 0
    && status.st_dev == parentStatus.st_dev && Set(names(in: folder)) == ["image", "label"]
}
