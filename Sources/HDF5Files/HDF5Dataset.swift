import CHDF5
import Diagnostics
import Glibc

/// An array of an HDF5 file. Threads may share it; it keeps its file open.
///
/// Numbers of any kind (integers, floats of 2, 4 or 8 bytes, either byte order) are converted to the kind asked for.
/// Every method throws a `Diagnostic` (`unreadableFile`) for contents of another kind and for a damaged file.
package final class HDF5Dataset: Sendable {
  package let name: String
  /// The extents, outermost first; none for a single value.
  package let shape: [Int]
  private let path: String
  private let handle: Handle
  private let kind: H5T_class_t

  package var count: Int { shape.reduce(1, *) }
  /// The values of one row: all that have the same index of the first axis.
  package var rowCount: Int { shape.dropFirst().reduce(1, *) }

  init(_ name: String, of file: Handle, path: String) throws {
    self.name = name
    self.path = path
    let access = Handle(chdf5_dataset_access(), close: H5Pclose)
    // Rows are read a few at a time, and a compressed chunk must not be unpacked for each of them.
    if let access { H5Pset_chunk_cache(access.id, 10_007, 256 << 20, 0.75) }
    guard let handle = Handle(H5Dopen2(file.id, name, access?.id ?? chdf5_default()), close: H5Dclose) else {
      throw damaged(path, name)
    }
    self.handle = handle
    guard let type = Handle(H5Dget_type(handle.id), close: H5Tclose),
      let space = Handle(H5Dget_space(handle.id), close: H5Sclose)
    else { throw damaged(path, name) }
    kind = H5Tget_class(type.id)
    guard H5Sget_simple_extent_type(space.id) != H5S_NULL else {
      throw Diagnostic(.unreadableFile, "dataset '\(name)' of '\(path)' has no shape and holds nothing")
    }
    let rank = H5Sget_simple_extent_ndims(space.id)
    var dims = [hsize_t](repeating: 0, count: max(0, Int(rank)))
    guard rank >= 0, H5Sget_simple_extent_dims(space.id, &dims, nil) >= 0 else { throw damaged(path, name) }
    shape = dims.map { Int(clamping: $0) }
    // A damaged header may have extents whose product is no number.
    let (values, overflows) = shape.reduce((1, false)) { product, extent in
      let (value, overflows) = product.0.multipliedReportingOverflow(by: extent)
      return (value, product.1 || overflows)
    }
    guard !overflows, values <= Int.max / 8, HDF5Dataset.isStored(handle, type, count: values) else {
      throw damaged(path, name)
    }
  }

  /// Whether as much is stored as the shape says, where that can be seen: chunks may be compressed, and a dataset that
  /// was never written has nothing stored.
  private static func isStored(_ dataset: Handle, _ type: Handle, count: Int) -> Bool {
    guard let layout = Handle(H5Dget_create_plist(dataset.id), close: H5Pclose),
      H5Pget_layout(layout.id) == H5D_CONTIGUOUS
    else { return true }
    let stored = H5Dget_storage_size(dataset.id)
    return stored == 0 || stored / hsize_t(max(1, H5Tget_size(type.id))) >= hsize_t(count)
  }

  /// All values, converted to Float.
  package func floats() throws -> [Float] {
    try checkIsNumeric()
    try checkFits(bytes: 4)
    return try quietly {
      try [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
        guard H5Dread(handle.id, chdf5_float(), chdf5_all(), chdf5_all(), chdf5_default(), buffer.baseAddress) >= 0
        else { throw unreadable() }
        initialized = count
      }
    }
  }

  /// The rows `rows`, converted to Float, into `values`, which has room for `rows.count * rowCount`.
  package func read(rows: Range<Int>, into values: UnsafeMutablePointer<Float>) throws {
    precondition(!shape.isEmpty && rows.lowerBound >= 0 && rows.upperBound <= shape[0])
    if rows.isEmpty || rowCount == 0 { return }
    try checkIsNumeric()
    try quietly {
      var start = [hsize_t](repeating: 0, count: shape.count)
      var extents = shape.map { hsize_t($0) }
      start[0] = hsize_t(rows.lowerBound)
      extents[0] = hsize_t(rows.count)
      guard let space = Handle(H5Dget_space(handle.id), close: H5Sclose),
        H5Sselect_hyperslab(space.id, H5S_SELECT_SET, start, nil, extents, nil) >= 0,
        let memory = Handle(H5Screate_simple(Int32(shape.count), extents, nil), close: H5Sclose),
        H5Dread(handle.id, chdf5_float(), memory.id, space.id, chdf5_default(), values) >= 0
      else { throw unreadable() }
    }
  }

  /// All values of a dataset of integers.
  package func integers() throws -> [Int] {
    guard kind == H5T_INTEGER else { throw fault("holds \(kindName), where integers are wanted") }
    try checkFits(bytes: 8)
    return try quietly {
      try [Int](unsafeUninitializedCapacity: count) { buffer, initialized in
        guard H5Dread(handle.id, chdf5_llong(), chdf5_all(), chdf5_all(), chdf5_default(), buffer.baseAddress) >= 0
        else { throw unreadable() }
        initialized = count
      }
    }
  }

  /// The text of a dataset that holds one string, of fixed or variable length.
  package func string() throws -> String {
    guard kind == H5T_STRING, count == 1 else {
      throw fault("holds \(count == 1 ? kindName : "\(count) values"), where one text is wanted")
    }
    return try quietly {
      guard let type = Handle(H5Dget_type(handle.id), close: H5Tclose) else { throw unreadable() }
      if H5Tis_variable_str(type.id) > 0 {
        var text: UnsafeMutablePointer<CChar>?
        guard H5Dread(handle.id, type.id, chdf5_all(), chdf5_all(), chdf5_default(), &text) >= 0, let text else {
          throw unreadable()
        }
        defer { H5free_memory(text) }
        return String(cString: text)
      }
      let size = H5Tget_size(type.id)
      guard size < 1 << 20 else { throw fault("holds a text of \(size) bytes, which is too long") }
      var bytes = [UInt8](repeating: 0, count: size)
      guard H5Dread(handle.id, type.id, chdf5_all(), chdf5_all(), chdf5_default(), &bytes) >= 0 else {
        throw unreadable()
      }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// Throws a `Diagnostic` (`unreadableFile`) unless the values are integers or floats.
  package func checkIsNumeric() throws {
    guard kind == H5T_INTEGER || kind == H5T_FLOAT else {
      throw fault("holds \(kindName), where numbers are wanted")
    }
  }

  /// A damaged header may speak of more values than there is memory for.
  private func checkFits(bytes: Int) throws {
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    guard count < memory / bytes else { throw fault("holds \(count) values, more than this machine's memory") }
  }

  private var kindName: String {
    switch kind {
    case H5T_INTEGER: "integers"
    case H5T_FLOAT: "floating-point numbers"
    case H5T_STRING: "text"
    case H5T_ENUM: "an enumeration (Booleans?)"
    case H5T_COMPOUND: "records of several fields"
    default: "values that are no numbers"
    }
  }

  private func unreadable() -> Diagnostic { fault("cannot be read: \(lastFault().reason)") }

  private func fault(_ message: String) -> Diagnostic {
    Diagnostic(.unreadableFile, "dataset '\(name)' of '\(path)' \(message)")
  }
}

private func damaged(_ path: String, _ name: String) -> Diagnostic {
  Diagnostic(.unreadableFile, "dataset '\(name)' of '\(path)' is damaged")
}
