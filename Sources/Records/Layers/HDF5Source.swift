import Diagnostics
import HDF5Files
import Nets
import Synchronization
import Tensors

/// The files that an HDF5Data layer reads, looked at on first use and only once.
final class HDF5Source: Sendable {
  struct File: Sendable {
    let path: String
    let rowCount: Int
  }

  /// What all files of the list have in common.
  struct Contents: Sendable {
    var files: [File]
    /// Per dataset: the shape of one row.
    var rowShapes: [Shape]

    var rowCount: Int { files.reduce(0) { $0 + $1.rowCount } }
  }

  /// The file that lists the others.
  let list: String
  /// The datasets that are read: the names of the tops.
  let names: [String]
  private let seen = Mutex<Contents?>(nil)

  init(list: String, names: [String]) {
    self.list = list
    self.names = names
  }

  /// - Throws: `unreadableFile`, `badList`, `badShape` for files that do not fit together.
  func contents() throws -> Contents {
    try seen.withLock { contents in
      if let contents { return contents }
      let new = try look()
      contents = new
      return new
    }
  }

  private func look() throws -> Contents {
    var contents = Contents(files: [], rowShapes: [])
    for path in try paths() {
      let datasets = try open(path)
      let shapes = datasets.map { Shape(Array($0.shape.dropFirst())) }
      if let first = contents.files.first {
        for (index, shape) in shapes.enumerated() where shape != contents.rowShapes[index] {
          throw Diagnostic(
            .badShape,
            "a row of dataset '\(names[index])' is \(shape) in '\(path)', but \(contents.rowShapes[index]) in "
              + "'\(first.path)'; all files of '\(list)' must have rows of one shape")
        }
      } else {
        contents.rowShapes = shapes
      }
      contents.files.append(File(path: path, rowCount: datasets[0].shape[0]))
    }
    guard contents.rowCount > 0 else { throw Diagnostic(.badList, "the files of '\(list)' hold no rows") }
    return contents
  }

  /// The datasets of one file: numbers, with rows, equally many.
  func open(_ path: String) throws -> [HDF5Dataset] {
    let file = try HDF5File(reading: path)
    let datasets = try names.map { name in
      do {
        return try file.dataset(name)
      } catch var fault as Diagnostic {
        fault.notes.append(.init("a top reads the dataset of its own name"))
        throw fault
      }
    }
    for dataset in datasets {
      try dataset.checkIsNumeric()
      guard !dataset.shape.isEmpty else {
        throw Diagnostic(.badShape, "dataset '\(dataset.name)' of '\(path)' is a single value and has no rows")
      }
      guard dataset.shape[0] == datasets[0].shape[0] else {
        throw Diagnostic(
          .badShape,
          "'\(path)' holds \(datasets[0].shape[0]) rows of '\(names[0])', but \(dataset.shape[0]) of '\(dataset.name)'")
      }
    }
    return datasets
  }

  /// The listed paths, parted by blanks or line ends as Caffe reads them; each is looked for from the working
  /// directory, then beside the list.
  private func paths() throws -> [String] {
    let bytes: [UInt8]
    do {
      bytes = try readFile(list.utf8)
    } catch let fault as Diagnostic {
      throw Diagnostic(fault.code, "cannot read the list '\(list)': \(fault.message)")
    }
    if bytes.starts(with: [0x89, 0x48, 0x44, 0x46]) {
      throw Diagnostic(
        .badList, "'\(list)' is an HDF5 file; source must be a text file that lists HDF5 files, one on each line")
    }
    let search = PathSearch(besideFile: list)
    let words = bytes.split { $0 == 0x20 || (0x09...0x0d).contains($0) }
    guard !words.isEmpty else { throw Diagnostic(.badList, "the list '\(list)' names no file") }
    return words.map { word in
      let path = String(decoding: word, as: UTF8.self)
      return search.candidates(for: path).first(where: exists) ?? path
    }
  }
}

/// Reads the rows of a batch.
final class HDF5BatchFiller: RecordFiller, @unchecked Sendable {
  private let source: HDF5Source
  private let contents: HDF5Source.Contents
  private let batchSize: Int
  private let isShuffled: Bool
  private let seed: UInt64
  /// The file that was read last, its datasets open.
  private var current: (file: Int, datasets: [HDF5Dataset]) = (-1, [])
  /// The order of the files in one round, and the place at which each begins.
  private var round: (epoch: Int, files: [Int], starts: [Int]) = (-1, [], [])
  private var rows: (epoch: Int, file: Int, order: [Int]) = (-1, -1, [])

  init(_ source: HDF5Source, batchSize: Int, isShuffled: Bool, seed: UInt64) throws {
    self.source = source
    contents = try source.contents()
    self.batchSize = batchSize
    self.isShuffled = isShuffled
    self.seed = seed
  }

  func key(ofRecordAt place: Int) -> String {
    let (file, row, _) = find(place)
    return "\(contents.files[file].path) row \(row)"
  }

  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws {
    var item = 0
    while item < batchSize {
      let place = firstRecord + pass * batchSize + item
      let (file, row, inFile) = find(place)
      var count = 1
      if !isShuffled { count = min(batchSize - item, contents.files[file].rowCount - inFile) }
      if current.file != file { current = (file, try source.open(contents.files[file].path)) }
      for (index, dataset) in current.datasets.enumerated() {
        guard dataset.shape[0] == contents.files[file].rowCount,
          dataset.shape.dropFirst() == contents.rowShapes[index].dims[...]
        else { throw Diagnostic(.unreadableFile, "'\(contents.files[file].path)' was changed while it was being read") }
        let values = buffers[index].base.assumingMemoryBound(to: Float.self)
        try dataset.read(rows: row..<row + count, into: values + item * dataset.rowCount)
      }
      item += count
    }
  }

  /// Where the record at `place` is: its file, its row there, and how many rows of that file come before it.
  private func find(_ place: Int) -> (file: Int, row: Int, inFile: Int) {
    let (epoch, rest) = place.quotientAndRemainder(dividingBy: contents.rowCount)
    if round.epoch != epoch {
      let count = contents.files.count
      let files =
        isShuffled
        ? RandomStream(seed: seed, RandomStream.part("files"), UInt64(epoch)).permutation(count)
        : Array(0..<count)
      var start = 0
      let starts = files.map { file in
        defer { start += contents.files[file].rowCount }
        return start
      }
      round = (epoch, files, starts)
    }
    // The last that begins at or before it; of several that begin there, all but the last are empty.
    var (low, high) = (0, round.starts.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if round.starts[middle] <= rest { low = middle } else { high = middle }
    }
    let file = round.files[low]
    let inFile = rest - round.starts[low]
    guard isShuffled else { return (file, inFile, inFile) }
    if rows.epoch != epoch || rows.file != file {
      let ofEpoch = RandomStream(seed: seed, RandomStream.part("rows"), UInt64(epoch))
      let stream = RandomStream(seed: ofEpoch.bits(0), UInt64(file))
      rows = (epoch, file, stream.permutation(contents.files[file].rowCount))
    }
    return (file, rows.order[inFile], inFile)
  }
}
