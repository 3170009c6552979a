import CaffeSchema
import Diagnostics
import FoundationEssentials

/// Makes records of the images and labels of a list.
struct ImageRecords: Sendable {
  /// The two records of one line of the list.
  struct Pair: Sendable {
    let imageKey: [UInt8]
    let image: [UInt8]
    let labelsKey: [UInt8]
    let labels: [UInt8]
    /// Of the image as it is kept.
    let shape: ImageShape
  }

  let list: LabelList
  let options: ConversionOptions

  /// Reads, decodes and packs what one line tells of.
  ///
  /// - Parameter place: the number that the keys begin with.
  /// Throws a `Diagnostic` (`badImage`) at the line.
  func pair(for entry: LabelList.Entry, at place: Int) throws(Diagnostic) -> Pair {
    let path = list.path(of: entry)
    do {
      let longest = RecordKey.longestPath(count: list.entries.count, longestKey: LMDBWriter.longestKey)
      guard path.count <= longest else {
        throw Diagnostic(.badImage, "the path has \(path.count) bytes; keys have room for \(longest)")
      }
      let (datum, shape, labels) = try record(of: entry)
      return try Pair(
        imageKey: RecordKey.image(at: place, path: path),
        image: labelled(datum, with: labels).serializedBytes(),
        labelsKey: RecordKey.labels(at: place, path: path), labels: labelDatum(labels).serializedBytes(),
        shape: shape)
    } catch let fault as Diagnostic {
      throw fault.within(at: SourceLocation(file: list.file, line: entry.line))
    } catch {
      // serializedBytes fails for required fields and sizes beyond 2 GiB only.
      throw Diagnostic(
        .badImage, "image '\(shown(path))' is too large for a record",
        at: SourceLocation(file: list.file, line: entry.line))
    }
  }

  /// The shape that the image of this line is kept in; nil for one with a fault.
  func shape(of entry: LabelList.Entry) -> ImageShape? { try? record(of: entry).shape }

  private func record(
    of entry: LabelList.Entry
  ) throws -> (datum: Datum, shape: ImageShape, labels: ArraySlice<Float>) {
    let path = list.path(of: entry)
    var labels = list.labels(of: entry)
    let bytes = try contents(of: path, "image")
    if let landmarks = options.format.landmarks, landmarks.areBeside {
      labels = try points(beside: path, landmarks.points) + labels.dropFirst(2 * landmarks.points)
    }
    do {
      var image = try Image(decoding: bytes, as: options.isGray ? .gray : .color)
      if let landmarks = options.format.landmarks { try landmarks.apply(to: &image, &labels) }
      if let crop = options.crop { image = try image.middle(height: crop.height, width: crop.width) }
      if let size = options.size { image = image.resized(height: size.height, width: size.width) }
      var datum = Datum()
      switch options.storage {
      case .pixels:
        datum.channels = Int32(image.channels)
        datum.height = Int32(image.height)
        datum.width = Int32(image.width)
        datum.data = Data(image.planes)
      case .encoded(let format):
        let own = ImageFormat(extension: String(shown(path).split(separator: ".").last ?? ""))
        let fits = options.keepsFittingFiles && options.size == nil && !options.isGray && own == format ?? own
        datum.data = Data(try fits && own != nil ? bytes : image.encoded(as: format ?? own ?? .png))
      case .file:
        datum.data = Data(bytes)
      }
      datum.encoded = options.storage != .pixels
      return (datum, ImageShape(image), labels)
    } catch let fault as Diagnostic {
      throw Diagnostic(fault.code, "cannot read image '\(shown(path))': \(fault.message)")
    }
  }

  private func labelled(_ datum: Datum, with labels: ArraySlice<Float>) -> Datum {
    var datum = datum
    // The format has one integer here; what it cannot hold is in the label database.
    let first = labels.dropFirst(options.format.landmarks.map { 2 * $0.points } ?? 0).first ?? .nan
    datum.label = first.isNaN ? -1 : Int32(max(-2_147_483_648, min(2_147_483_520, first)))
    return datum
  }

  private func labelDatum(_ labels: ArraySlice<Float>) -> Datum {
    var datum = Datum()
    datum.channels = Int32(labels.count)
    datum.height = 1
    datum.width = 1
    datum.floatData = Array(labels)
    return datum
  }

  /// The points of the file that has the picture's name and ends in `.pts`.
  private func points(beside path: ArraySlice<UInt8>, _ count: Int) throws -> ArraySlice<Float> {
    let name = path.lastIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") } ?? path.startIndex
    let end = path[name...].lastIndex(of: UInt8(ascii: ".")) ?? path.endIndex
    let file = path[..<end] + Array(".pts".utf8)
    return try PointFile.points(contents(of: file, "points"), file: shown(file), count: count)[...]
  }

  /// The bytes of the first file that the path can mean.
  ///
  /// - Parameter kind: what it is, for messages.
  private func contents(of path: ArraySlice<UInt8>, _ kind: String) throws -> [UInt8] {
    var first: Diagnostic?
    for candidate in candidates(for: path) {
      do {
        return try readFile(candidate)
      } catch let fault as Diagnostic {
        first = first ?? Diagnostic(.badImage, "cannot read \(kind) '\(shown(candidate[...]))': \(fault.message)")
      }
    }
    throw first ?? Diagnostic(.badImage, "the path is empty")
  }

  private func candidates(for path: ArraySlice<UInt8>) -> [[UInt8]] {
    let slash = UInt8(ascii: "/")
    let isAbsolute = path.first == slash
    func joined(_ folder: String) -> [UInt8] {
      folder.isEmpty ? Array(path) : Array(folder.utf8) + [slash] + path
    }
    var candidates: [[UInt8]]
    if let root = options.root {
      candidates = [joined(root)] + (isAbsolute ? [Array(path)] : [])
    } else {
      candidates = [Array(path)] + (isAbsolute ? [] : [joined(parentFolder(of: list.file))])
    }
    // Lists made on other systems part folders with backslashes.
    if path.contains(UInt8(ascii: "\\")) {
      candidates += candidates.map { $0.map { $0 == UInt8(ascii: "\\") ? slash : $0 } }
    }
    return candidates
  }

  private func shown(_ path: ArraySlice<UInt8>) -> String { String(decoding: path, as: UTF8.self) }
}

extension Image {
  /// Throws a `Diagnostic` (`badImage`) when it is smaller than that.
  fileprivate func middle(height part: Int, width partWidth: Int) throws -> Image {
    guard part <= height, partWidth <= width else {
      throw Diagnostic(
        .badImage, "it is \(height) x \(width) pixels, smaller than the crop of \(part) x \(partWidth)")
    }
    return cropped(top: (height - part) / 2, left: (width - partWidth) / 2, height: part, width: partWidth)
  }
}

/// Height, width and channels of a kept image.
struct ImageShape: Equatable, CustomStringConvertible, Sendable {
  let height: Int
  let width: Int
  let channels: Int

  init(_ image: Image) {
    height = image.height
    width = image.width
    channels = image.channels
  }

  var description: String { "\(height) x \(width)" }
}
