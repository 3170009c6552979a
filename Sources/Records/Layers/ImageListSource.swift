import Diagnostics
import Nets
import Synchronization
import Tensors

/// The images that a list names, with their labels. The list is read on first use and only once.
final class ImageListSource: Sendable {
  struct Contents: Sendable {
    let list: LabelList
    /// What is put before each path.
    let folder: String
  }

  let path: String
  private let root: String
  private let labelCount: Int?
  private let search: PathSearch
  private let channels: ImageChannels
  /// What every image is resized to, before anything else; nil leaves them as they are.
  private let size: (height: Int, width: Int)?
  private let seen = Mutex<Contents?>(nil)

  /// - Parameters:
  ///   - root: put before each path, as it is; it may be empty.
  ///   - labelCount: the number of labels of each line; nil takes it from the first.
  init(
    path: String, root: String, labelCount: Int?, search: PathSearch, channels: ImageChannels,
    size: (height: Int, width: Int)?
  ) {
    self.path = path
    self.root = root
    self.labelCount = labelCount
    self.search = search
    self.channels = channels
    self.size = size
  }

  /// - Throws: `unreadableFile`, `badList`, or a `DiagnosticList` of the lines with faults.
  func contents() throws -> Contents {
    try seen.withLock { contents in
      if let contents { return contents }
      let (list, faults) = try LabelList.read(path, labelCount: labelCount, pathsMayHoldBlanks: true)
      if !faults.isEmpty { throw DiagnosticList(Array(faults.prefix(10)) + rest(of: faults)) }
      let new = Contents(list: list, folder: folder(for: list))
      contents = new
      return new
    }
  }

  private func rest(of faults: [Diagnostic]) -> [Diagnostic] {
    guard faults.count > 10 else { return [] }
    return [Diagnostic(.badList, "\(faults.count - 10) more lines of '\(path)' have faults")]
  }

  /// The first place where the first image is: as the list has it, then beside the net, then beside the list.
  private func folder(for list: LabelList) -> String {
    let besideList = PathSearch(besideFile: path).directory.map { $0 + "/" } ?? ""
    let folders =
      search.candidates(for: root)
      + (root.hasPrefix("/") ? [] : [besideList + root])
    return folders.first { exists(Array($0.utf8) + list.path(of: list.entries[0])) } ?? root
  }

  /// The bytes of an image's path.
  private func path(of entry: LabelList.Entry, _ contents: Contents) -> [UInt8] {
    Array(contents.folder.utf8) + contents.list.path(of: entry)
  }

  /// Looks whether all images are there, so that a missing one is not found after hours.
  ///
  /// - Throws: `unreadableFile` with the first that is missing.
  func checkImagesExist() throws {
    let contents = try contents()
    let missing = contents.list.entries.filter { !exists(path(of: $0, contents)) }
    guard let first = missing.first else { return }
    throw Diagnostic(
      .unreadableFile,
      "\(missing.count) of \(contents.list.entries.count) images are missing; the first is "
        + "'\(String(decoding: path(of: first, contents), as: UTF8.self))'",
      at: SourceLocation(file: path, line: first.line))
  }

  /// Decodes and resizes the image at a position of the list.
  ///
  /// - Throws: `unreadableFile`, `badImage`, at the line of the list.
  func image(at position: Int) throws -> Image {
    let contents = try contents()
    let entry = contents.list.entries[position]
    do {
      let bytes = try readFile(path(of: entry, contents))
      let image = try Image(decoding: bytes, as: channels)
      return size.map { image.resized(height: $0.height, width: $0.width) } ?? image
    } catch let fault as Diagnostic {
      throw self.fault(position, contents, fault.code, fault.message)
    }
  }

  func fault(_ position: Int, _ contents: Contents, _ code: Diagnostic.Code, _ message: String) -> Diagnostic {
    let entry = contents.list.entries[position]
    return Diagnostic(
      code, "image '\(String(decoding: path(of: entry, contents), as: UTF8.self))': \(message)",
      at: SourceLocation(file: path, line: entry.line))
  }
}

/// Reads the images of a batch and their labels.
final class ImageBatchFiller: RecordFiller, @unchecked Sendable {
  private let source: ImageListSource
  private let contents: ImageListSource.Contents
  private let preparation: Preparation
  private let places: RecordPlaces
  private let batchSize: Int
  private let seed: UInt64
  private let motion: LabelMotion?

  init(
    _ source: ImageListSource, _ preparation: Preparation, motion: LabelMotion?, _ order: RecordOrder, batchSize: Int,
    draws seed: UInt64
  ) throws {
    self.source = source
    contents = try source.contents()
    self.preparation = preparation
    places = RecordPlaces(order)
    self.batchSize = batchSize
    self.seed = seed
    self.motion = motion
  }

  func key(ofRecordAt place: Int) -> String {
    String(decoding: contents.list.path(of: contents.list.entries[places.position(of: place)]), as: UTF8.self)
  }

  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws {
    let values = buffers[0].base.assumingMemoryBound(to: Float.self)
    for item in 0..<batchSize {
      let place = firstRecord + pass * batchSize + item
      let position = places.position(of: place)
      let image = try source.image(at: position)
      let draws = RandomStream.ofRecord(at: place, seed: seed)
      do throws(Preparation.Misfit) {
        try preparation.run(
          RecordValues(image), draws: draws, into: values + item * preparation.output.count)
      } catch {
        throw source.fault(position, contents, .badRecord, error.reason)
      }
      if buffers.count > 1 {
        let labels = buffers[1].base.assumingMemoryBound(to: Float.self) + item * contents.list.labelCount
        for (index, label) in contents.list.labels(of: contents.list.entries[position]).enumerated() {
          labels[index] = label
        }
        motion?.apply(
          labels, picture: preparation.augmentation.resizing?.output ?? (image.height, image.width), draws: draws)
      }
    }
  }
}
