import CaffeSchema
import Diagnostics
import Tensors

/// A database of blobs' values, one record for each entry of a batch: what Caffe's `extract_features` writes.
///
/// A record is a Datum with float_data, keyed by its number in ten digits. The database is made beside its place and put
/// there by `finish`.
package final class FeatureDatabase: FeatureStore {
  private let folders: StagedFolders
  private let writer: LMDBWriter
  private var count = 0

  /// - Throws: `existingTarget` for a path where something stands, unless it is an LMDB and `replaces`;
  ///   `unwritableFile`, `outOfSpace`.
  package init(_ path: String, replaces: Bool) throws {
    let targets = try ConversionTargets(.single(path), replaces: replaces)
    let folders = try StagedFolders(targets: targets.staged)
    do {
      let database = targets.building(in: folders.folders)[0]
      try makeFolder(database)
      writer = try LMDBWriter(folder: database)
    } catch {
      folders.discard()
      throw error
    }
    self.folders = folders
  }

  package func count(of blob: String) -> Int { count }

  package func add(_ values: [Float], of blob: String, _ shape: Shape) throws {
    let width = shape.count / max(1, shape.extent(0))
    let records = values.count / max(1, width)
    for record in 0..<records {
      var datum = Datum()
      // A Datum has three axes: the rest goes into the last.
      datum.channels = Int32(shape.extent(1))
      datum.height = Int32(shape.extent(2))
      datum.width = Int32(width / max(1, shape.extent(1) * shape.extent(2)))
      datum.floatData = Array(values[record * width..<(record + 1) * width])
      let digits = String(count)
      let key = String(repeating: "0", count: max(0, 10 - digits.count)) + digits
      try writer.put(key: Array(key.utf8), value: Array(try bytes(of: datum)))
      count += 1
    }
  }

  private func bytes(of datum: Datum) throws -> [UInt8] {
    do {
      return try datum.serializedBytes()
    } catch {
      throw Diagnostic(.badRecord, "features of \(datum.floatData.count) values are too large for a record")
    }
  }

  package func finish() throws {
    try writer.finish()
    try folders.putInPlace()
  }

  package func discard() { folders.discard() }
}
