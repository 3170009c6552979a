import Diagnostics
import Glibc
import HDF5Files
import Tensors

/// Keeps blobs' values, batch after batch, where they can be read again. What was not finished is not there.
package protocol FeatureStore: AnyObject {
  /// Adds a batch of a blob's values; `shape` is one batch, whose first axis counts the records. There may be fewer
  /// records than it says.
  func add(_ values: [Float], of blob: String, _ shape: Shape) throws
  /// The records of a blob so far.
  func count(of blob: String) -> Int
  func finish() throws
  func discard()
}

/// An HDF5 file of blobs' values: a dataset for each blob, under its name, that grows with each batch. An HDF5Data layer
/// reads it.
package final class FeatureFile: FeatureStore {
  private var writer: HDF5Writer?
  private var counts: [String: Int] = [:]

  /// - Throws: `existingTarget` for a file that is there, unless it `replaces`; `unwritableFile`.
  package init(_ path: String, replaces: Bool) throws {
    if access(path, F_OK) == 0, !replaces {
      throw Diagnostic(.existingTarget, "'\(path)' exists; use --force to replace it")
    }
    writer = try HDF5Writer(writing: path)
  }

  package func add(_ values: [Float], of blob: String, _ shape: Shape) throws {
    let dims = shape.rank == 0 ? [1] : shape.dims
    let width = dims.dropFirst().reduce(1, *)
    let records = values.count / max(1, width)
    try values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      try writer?.append(blob, shape: [records] + dims.dropFirst(), base)
    }
    counts[blob, default: 0] += records
  }

  package func count(of blob: String) -> Int { counts[blob] ?? 0 }

  package func finish() throws {
    try writer?.finish()
    writer = nil
  }

  package func discard() { writer = nil }
}
