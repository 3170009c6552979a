import Diagnostics

/// What a conversion did.
package struct ConversionSummary: Sendable {
  /// The number of records in each database.
  package var records = 0
  /// The number of labels of each record.
  package var labelCount = 0
  /// Why records were left out, in the order of the list.
  package var skipped: [Diagnostic] = []
}

/// Converts a list of images with labels to a database of images and one of labels, which belong together record by
/// record.
///
/// Records, keys and pixels are those of Caffe's `convert_imageset` and of the `convert_multilabel` made of it.
/// Everything is read and decoded once, on several threads, and packed into databases beside the targets, which are put
/// in place at the very end. After the first fault nothing more is packed, but the rest is checked.
package struct ConvertMultilabel {
  private let options: ConversionOptions

  package init(_ options: ConversionOptions) { self.options = options }

  /// - Parameters:
  ///   - progress: is told, after each record, how many are done, and of how many.
  ///   - isInterrupted: asked before each record; true ends the conversion.
  /// Throws a `DiagnosticList` with every fault of the list and its images, or a `Diagnostic`. Nothing is left then.
  package func run(
    progress: (_ done: Int, _ count: Int) -> Void = { _, _ in }, isInterrupted: () -> Bool = { false }
  ) throws -> ConversionSummary {
    try options.check()
    let targets = try ConversionTargets(options.target, replaces: options.replaces)
    let (list, listFaults) = try options.format.read(options)
    if case .single = options.target, list.labelCount != 1 {
      throw Diagnostic(
        .badList, "a database without labels of its own takes one label a line, not \(list.labelCount)",
        at: SourceLocation(file: list.file))
    }
    let records = ImageRecords(list: list, options: options)
    let order = options.shuffleSeed.map { shuffledOrder(count: list.entries.count, seed: $0) }
    let sizes = SizeCheck(records, isNeeded: options.checksSize)
    var faults = listFaults
    var pack: Pack? = faults.isEmpty || options.skipsBad ? try Pack(targets) : nil
    defer { pack?.discard() }

    try inOrder(
      count: list.entries.count, threads: options.threads,
      size: { (result: Result<ImageRecords.Pair, Diagnostic>) in (try? result.get())?.image.count ?? 0 },
      work: { place in
        Result { () throws(Diagnostic) in
          try records.pair(for: list.entries[order?[place] ?? place], at: place)
        }
      },
      take: { place, result in
        if isInterrupted() { throw Diagnostic(.interrupted, "interrupted; nothing was written") }
        do {
          let pair = try result.get()
          try sizes.check(pair, of: list.entries[order?[place] ?? place])
          try pack?.put(pair)
        } catch let fault as Diagnostic where fault.location != nil {
          faults.append(fault)
          if !options.skipsBad {
            pack?.discard()
            pack = nil
          }
        }
        progress(place + 1, list.entries.count)
      })

    faults.sort { ($0.location?.line ?? 0) < ($1.location?.line ?? 0) }
    guard let pack, pack.records > 0 else { throw DiagnosticList(faults) }
    try pack.finish()
    for i in faults.indices { faults[i].severity = .warning }
    return ConversionSummary(records: pack.records, labelCount: list.labelCount, skipped: faults)
  }
}

/// The databases of a conversion, while they are made.
private final class Pack {
  private(set) var records = 0
  private let folders: StagedFolders
  private let images: LMDBWriter
  private let labels: LMDBWriter?

  init(_ targets: ConversionTargets) throws {
    let folders = try StagedFolders(targets: targets.staged)
    do {
      let databases = targets.building(in: folders.folders)
      for database in databases { try makeFolder(database) }
      images = try LMDBWriter(folder: databases[0])
      labels = databases.count > 1 ? try LMDBWriter(folder: databases[1]) : nil
    } catch {
      folders.discard()
      throw error
    }
    self.folders = folders
  }

  func put(_ pair: ImageRecords.Pair) throws {
    try images.put(key: pair.imageKey, value: pair.image)
    try labels?.put(key: pair.labelsKey, value: pair.labels)
    records += 1
  }

  func finish() throws {
    try images.finish()
    try labels?.finish()
    try folders.putInPlace()
  }

  func discard() { folders.discard() }
}

/// Compares the shape of every image with that of the first one in the list without a fault.
private struct SizeCheck {
  private var expected: (shape: ImageShape, line: Int)?
  private let file: String

  init(_ records: ImageRecords, isNeeded: Bool) {
    file = records.list.file
    guard isNeeded else { return }
    for entry in records.list.entries {
      if let shape = records.shape(of: entry) {
        expected = (shape, entry.line)
        return
      }
    }
  }

  func check(_ pair: ImageRecords.Pair, of entry: LabelList.Entry) throws(Diagnostic) {
    guard let expected, pair.shape != expected.shape else { return }
    throw Diagnostic(
      .badImage,
      "the image is \(pair.shape) pixels (height x width), that of line \(expected.line) is \(expected.shape)",
      at: SourceLocation(file: file, line: entry.line))
  }
}
