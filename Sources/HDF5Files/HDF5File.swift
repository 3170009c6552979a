import CHDF5
import Diagnostics
import Glibc

/// An HDF5 file, open for reading: a tree of groups with datasets in it.
///
/// Names are paths from the root, with or without the slash at their beginning: `data/conv1/0`. The file is opened
/// without HDF5's locks, so that folders and file systems that cannot lock serve as well; nobody may write to it
/// meanwhile. Threads may share it.
package final class HDF5File: Sendable {
  package enum Kind: Sendable {
    case group, dataset
  }

  /// The path as the user gave it.
  package let path: String
  private let handle: Handle

  /// Throws a `Diagnostic` (`unreadableFile`) for a path that is missing or holds something else, and for a file that
  /// is damaged.
  package init(reading path: String) throws {
    self.path = path
    try checkIsFile(path)
    handle = try quietly {
      let access = Handle(chdf5_file_access(), close: H5Pclose)
      let handle = access.flatMap { access in
        H5Pset_file_locking(access.id, false, true)
        return Handle(chdf5_open(path, access.id), close: H5Fclose)
      }
      guard let handle else {
        let isHDF5 = H5Fis_hdf5(path) > 0
        let fault = isHDF5 ? "it is damaged or cut short" : "it is no HDF5 file"
        throw Diagnostic(.unreadableFile, "cannot read '\(path)': \(fault)")
      }
      return handle
    }
  }

  /// What is at a name; nil for nothing.
  package func kind(of name: String) -> Kind? {
    quietly {
      guard let object = Handle(H5Oopen(handle.id, name, chdf5_default()), close: H5Oclose) else { return nil }
      switch H5Iget_type(object.id) {
      case H5I_GROUP: return .group
      case H5I_DATASET: return .dataset
      default: return nil
      }
    }
  }

  /// The names in a group, byte by byte in order (so `10` comes before `2`), without those of the groups within.
  ///
  /// Throws a `Diagnostic` (`unreadableFile`) when there is no such group.
  package func names(in group: String = "/") throws -> [String] {
    try quietly {
      var information = H5G_info_t()
      guard let opened = Handle(H5Gopen2(handle.id, group, chdf5_default()), close: H5Gclose),
        H5Gget_info(opened.id, &information) >= 0
      else { throw fault("holds no group '\(group)'") }
      return try (0..<information.nlinks).map { place in
        let size = H5Lget_name_by_idx(opened.id, ".", H5_INDEX_NAME, H5_ITER_INC, place, nil, 0, chdf5_default())
        var name = [CChar](repeating: 0, count: max(0, size) + 1)
        guard size >= 0,
          H5Lget_name_by_idx(
            opened.id, ".", H5_INDEX_NAME, H5_ITER_INC, place, &name, name.count, chdf5_default()) >= 0
        else { throw fault("is damaged: the names in group '\(group)' cannot be read") }
        return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
    }
  }

  /// The paths of all datasets, in whatever group, without the slash at their beginning.
  ///
  /// Throws a `Diagnostic` (`unreadableFile`) for a damaged file.
  package func datasetNames() throws -> [String] {
    try quietly {
      final class Found { var names: [String] = [] }
      let found = Found()
      // Every object is visited once, so links in a circle end.
      let code = H5Ovisit2(
        handle.id, H5_INDEX_NAME, H5_ITER_INC,
        { _, name, information, context in
          guard let name, let information, let context else { return -1 }
          if information.pointee.type == H5O_TYPE_DATASET {
            Unmanaged<Found>.fromOpaque(context).takeUnretainedValue().names.append(String(cString: name))
          }
          return 0
        }, Unmanaged.passUnretained(found).toOpaque(), H5O_INFO_BASIC)
      guard code >= 0 else { throw fault("is damaged: its groups cannot be read") }
      return found.names
    }
  }

  /// Opens a dataset.
  ///
  /// Throws a `Diagnostic` (`unreadableFile`) that names what the file holds instead, when there is none of this name.
  package func dataset(_ name: String) throws -> HDF5Dataset {
    do {
      return try quietly { try HDF5Dataset(name, of: handle, path: path) }
    } catch let fault as Diagnostic {
      if kind(of: name) == .dataset { throw fault }
      let held = try datasetNames()
      let shown = held.prefix(10).map { "'\($0)'" }.joined(separator: ", ") + (held.count > 10 ? ", …" : "")
      let near = nearestName(to: name, among: held).map { "; did you mean '\($0)'?" } ?? ""
      throw self.fault(
        "holds no dataset '\(name)', but " + (held.isEmpty ? "no dataset at all" : shown + near))
    }
  }

  private func fault(_ message: String) -> Diagnostic { Diagnostic(.unreadableFile, "'\(path)' \(message)") }
}

/// What HDF5 reports with one error for all, or not at all.
private func checkIsFile(_ path: String) throws {
  var status = stat()
  guard stat(path, &status) == 0 else {
    if errno == ENOENT || errno == ENOTDIR { throw Diagnostic(.unreadableFile, "there is no file '\(path)'") }
    throw Diagnostic(.unreadableFile, "cannot read '\(path)': \(String(cString: strerror(errno)))")
  }
  if status.st_mode & S_IFMT == S_IFDIR {
    throw Diagnostic(.unreadableFile, "cannot read '\(path)': it is a folder, not a file")
  }
  guard access(path, R_OK) == 0 else {
    throw Diagnostic(.unreadableFile, "cannot read '\(path)': \(String(cString: strerror(errno)))")
  }
  if status.st_size == 0 { throw Diagnostic(.unreadableFile, "'\(path)' is empty") }
}
