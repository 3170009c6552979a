import CHDF5
import Diagnostics
import Glibc

/// An HDF5 file that is written. A new one is written beside its place and gets there whole, by `finish`; until then
/// whatever was there stays, and without it nothing is left of the new one.
///
/// Datasets are arrays of 4-byte floats unless said otherwise, as Caffe writes them. Groups in a dataset's name are made
/// as needed. It belongs to one thread at a time. Every method throws a `Diagnostic`: `outOfSpace` for a full disk, else
/// `unwritableFile`.
package final class HDF5Writer: @unchecked Sendable {
  package let path: String
  /// Where it is written; `path` itself for a file that is extended.
  private let part: String
  private var handle: Handle?

  /// Begins a new file.
  package init(writing path: String) throws {
    self.path = path
    part = "\(path).part-\(getpid())"
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw Diagnostic(.unwritableFile, "cannot write '\(path)': it is a folder or a device, not a file")
    }
    handle = try quietly {
      guard let handle = Handle(chdf5_create(part), close: H5Fclose) else { throw fault() }
      return handle
    }
  }

  /// Opens a file that is there, to add to it in its place. It is whole again after `finish`.
  package init(extending path: String) throws {
    self.path = path
    part = path
    handle = try quietly {
      guard let handle = Handle(chdf5_extend(path), close: H5Fclose) else { throw fault() }
      return handle
    }
  }

  deinit {
    let wasFinished = handle == nil
    quietly { handle = nil }
    if !wasFinished, part != path { unlink(part) }
  }

  /// Writes `values` as a new dataset.
  package func write(_ name: String, shape: [Int], _ values: UnsafePointer<Float>) throws {
    try quietly {
      guard let space = simple(shape), let dataset = make(name, chdf5_float(), space),
        H5Dwrite(dataset.id, chdf5_float(), chdf5_all(), chdf5_all(), chdf5_default(), values) >= 0
      else { throw fault() }
    }
  }

  package func write(_ name: String, shape: [Int], _ values: [Float]) throws {
    precondition(values.count == shape.reduce(1, *))
    try values.withUnsafeBufferPointer { buffer in
      // An empty array has no address, and an empty dataset reads none.
      var none: Float = 0
      try withUnsafePointer(to: &none) { try write(name, shape: shape, buffer.baseAddress ?? $0) }
    }
  }

  /// Writes one 4-byte integer as a dataset of shape 1.
  package func write(_ name: String, _ value: Int32) throws {
    try quietly {
      var value = value
      guard let space = simple([1]), let dataset = make(name, chdf5_int(), space),
        H5Dwrite(dataset.id, chdf5_int(), chdf5_all(), chdf5_all(), chdf5_default(), &value) >= 0
      else { throw fault() }
    }
  }

  /// Writes a text as a single value: a string of fixed length that ends with a zero.
  package func write(_ name: String, _ text: String) throws {
    try quietly {
      let bytes = Array(text.utf8) + [0]
      guard let type = Handle(H5Tcopy(chdf5_c_string()), close: H5Tclose), H5Tset_size(type.id, bytes.count) >= 0,
        let space = Handle(H5Screate(H5S_SCALAR), close: H5Sclose), let dataset = make(name, type.id, space),
        H5Dwrite(dataset.id, type.id, chdf5_all(), chdf5_all(), chdf5_default(), bytes) >= 0
      else { throw fault() }
    }
  }

  /// Makes an empty group; it is no fault when it is there.
  package func makeGroup(_ name: String) throws {
    try quietly {
      guard let handle else { preconditionFailure("the file is finished") }
      if Handle(H5Gopen2(handle.id, name, chdf5_default()), close: H5Gclose) != nil { return }
      guard let links = intermediateGroups(),
        Handle(H5Gcreate2(handle.id, name, links.id, chdf5_default(), chdf5_default()), close: H5Gclose) != nil
      else { throw fault() }
    }
  }

  /// Adds `values`, of `shape`, at the end of a dataset along the first axis; the first call makes it.
  package func append(_ name: String, shape: [Int], _ values: UnsafePointer<Float>) throws {
    precondition(!shape.isEmpty)
    try quietly {
      guard let handle else { preconditionFailure("the file is finished") }
      let dataset: Handle
      if let existing = Handle(H5Dopen2(handle.id, name, chdf5_default()), close: H5Dclose) {
        dataset = existing
      } else {
        dataset = try makeGrowing(name, shape)
      }
      guard let old = Handle(H5Dget_space(dataset.id), close: H5Sclose) else { throw fault() }
      var extents = [hsize_t](repeating: 0, count: shape.count)
      guard H5Sget_simple_extent_dims(old.id, &extents, nil) >= 0 else { throw fault() }
      var start = [hsize_t](repeating: 0, count: shape.count)
      start[0] = extents[0]
      extents[0] += hsize_t(shape[0])
      guard H5Dset_extent(dataset.id, extents) >= 0, let space = Handle(H5Dget_space(dataset.id), close: H5Sclose),
        H5Sselect_hyperslab(space.id, H5S_SELECT_SET, start, nil, shape.map { hsize_t($0) }, nil) >= 0,
        let memory = simple(shape),
        H5Dwrite(dataset.id, chdf5_float(), memory.id, space.id, chdf5_default(), values) >= 0
      else { throw fault() }
    }
  }

  /// Closes the file and puts it in its place.
  package func finish() throws {
    try quietly {
      guard let open = handle, H5Fflush(open.id, H5F_SCOPE_GLOBAL) >= 0 else { throw fault() }
    }
    let file = open(part, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw writeFault(String(cString: strerror(errno)), errno) }
    defer { close(file) }
    quietly { handle = nil }
    do {
      guard fsync(file) == 0 || errno == EINVAL else { throw writeFault(String(cString: strerror(errno)), errno) }
      guard rename(part, path) == 0 else { throw writeFault(String(cString: strerror(errno)), errno) }
    } catch {
      if part != path { unlink(part) }
      throw error
    }
  }

  // MARK: Calls of the library

  private func simple(_ shape: [Int]) -> Handle? {
    shape.isEmpty
      ? Handle(H5Screate(H5S_SCALAR), close: H5Sclose)
      : Handle(H5Screate_simple(Int32(shape.count), shape.map { hsize_t($0) }, nil), close: H5Sclose)
  }

  private func intermediateGroups() -> Handle? {
    guard let links = Handle(chdf5_link_creation(), close: H5Pclose) else { return nil }
    return H5Pset_create_intermediate_group(links.id, 1) >= 0 ? links : nil
  }

  private func make(_ name: String, _ type: hid_t, _ space: Handle, layout: Handle? = nil) -> Handle? {
    guard let handle else { preconditionFailure("the file is finished") }
    guard let links = intermediateGroups() else { return nil }
    return Handle(
      H5Dcreate2(handle.id, name, type, space.id, links.id, layout?.id ?? chdf5_default(), chdf5_default()),
      close: H5Dclose)
  }

  /// A dataset without rows, in chunks of about a mebibyte.
  private func makeGrowing(_ name: String, _ shape: [Int]) throws -> Handle {
    let rowBytes = max(1, shape.dropFirst().reduce(4, *))
    var extents = shape.map { hsize_t($0) }
    extents[0] = 0
    var limits = extents
    limits[0] = chdf5_unlimited()
    var chunk = shape.map { hsize_t(max(1, $0)) }
    chunk[0] = hsize_t(max(1, (1 << 20) / rowBytes))
    guard let layout = Handle(chdf5_dataset_creation(), close: H5Pclose),
      H5Pset_chunk(layout.id, Int32(chunk.count), chunk) >= 0,
      let space = Handle(H5Screate_simple(Int32(shape.count), extents, limits), close: H5Sclose),
      let dataset = make(name, chdf5_float(), space, layout: layout)
    else { throw fault() }
    return dataset
  }

  private func fault() -> Diagnostic {
    let (reason, code) = lastFault()
    return writeFault(reason, code)
  }

  private func writeFault(_ reason: String, _ code: Int32?) -> Diagnostic {
    let isFull = code.map { [ENOSPC, EDQUOT, EFBIG].contains($0) } ?? false
    return Diagnostic(isFull ? .outOfSpace : .unwritableFile, "cannot write '\(path)': \(reason)")
  }
}
