import CaffeSchema
import Diagnostics
import Tensors

/// The mean of all records of a database, value by value: what `mean_file` subtracts.
package struct MeanImage: Sendable {
  /// C x H x W.
  package let shape: Shape
  /// In the order of the shape.
  package let values: [Float]
  /// How many records it was taken over.
  package let count: Int

  /// - Parameters:
  ///   - progress: is told, after each record, how many are done, and of how many.
  ///   - isInterrupted: asked before each record; true ends it.
  /// - Throws: `badDatabase`; `badRecord` for records that cannot be decoded or differ from the first in shape;
  ///   `interrupted`.
  package init(
    ofDatabase path: String, progress: (_ done: Int, _ count: Int) -> Void = { _, _ in },
    isInterrupted: () -> Bool = { false }
  ) throws {
    let source = RecordSource(path: path, channels: .asStored)
    let database = try source.database()
    let cursor = try database.makeCursor()
    let shape = try source.firstShape()
    var sums = [Double](repeating: 0, count: shape.count)
    for done in 0..<database.count {
      if isInterrupted() { throw Diagnostic(.interrupted, "interrupted; nothing was written") }
      let record = try cursor.next()
      let values = try source.decode(record).values
      guard values.shape == shape else {
        throw source.fault(
          record,
          "is \(values.shape), the first one is \(shape); a mean needs records of one size (resize them when they "
            + "are converted)")
      }
      MeanImage.add(values, to: &sums)
      progress(done + 1, database.count)
    }
    self.shape = shape
    count = database.count
    values = sums.map { Float($0 / Double(database.count)) }
  }

  private static func add(_ record: RecordValues, to sums: inout [Double]) {
    sums.withUnsafeMutableBufferPointer { sums in
      switch record.storage {
      case .planes(let data):
        data.withUnsafeBytes { bytes in for i in 0..<sums.count { sums[i] += Double(bytes[i]) } }
      case .floats(let values):
        values.withUnsafeBufferPointer { values in for i in 0..<sums.count { sums[i] += Double(values[i]) } }
      case .image(let image):
        let area = image.height * image.width
        image.pixels.withUnsafeBufferPointer { pixels in
          for channel in 0..<image.channels {
            for i in 0..<area { sums[channel * area + i] += Double(pixels[i * image.channels + channel]) }
          }
        }
      }
    }
  }

  /// The mean of each channel: values for `mean_value`.
  package var channelMeans: [Float] {
    let area = shape.count / max(1, shape[0])
    return (0..<shape[0]).map { channel in
      Float(values[channel * area..<(channel + 1) * area].reduce(0.0) { $0 + Double($1) } / Double(max(1, area)))
    }
  }

  /// As `mean_file` holds it: 1 x C x H x W.
  package var blob: BlobProto {
    var blob = BlobProto()
    blob.num = 1
    blob.channels = Int32(shape[0])
    blob.height = Int32(shape[1])
    blob.width = Int32(shape[2])
    blob.data = values
    return blob
  }
}
