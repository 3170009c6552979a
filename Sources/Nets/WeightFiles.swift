import CaffeSchema
import Diagnostics
import Glibc
import HDF5Files
import Tensors

/// Files of weights, in the two forms of the format.
extension NetSource {
  /// The weights in a `.caffemodel` of either version, in today's form, or in a `.caffemodel.h5`.
  ///
  /// - Throws: `unreadableFile` or `badWeights`; a solver state given by mistake is told so.
  package static func readWeights(_ path: String) throws -> NetParameter {
    if path.hasSuffix(".solverstate") || path.hasSuffix(".solverstate.h5") {
      throw Diagnostic(
        .badWeights,
        "'\(path)' is a solver state, not weights; resume from it with --snapshot, or give the .caffemodel here")
    }
    if isHDF5(path) { return try readHDF5Weights(path) }
    return try NetSource(parameter: readBinary(path, as: NetParameter.self), file: path).parameter
  }

  /// Caffe's HDF5 weights: a group `data` with a group for each layer, in which a dataset for each parameter is named by
  /// its position; a shared parameter is at its owner's alone. There is no net definition in it.
  ///
  /// Layer names with slashes are groups in groups.
  private static func readHDF5Weights(_ path: String) throws -> NetParameter {
    let file = try HDF5File(reading: path)
    guard file.kind(of: "data") == .group else {
      throw Diagnostic(
        .badWeights,
        file.kind(of: "history") == .group
          ? "'\(path)' is a solver state, not weights; resume from it with --snapshot"
          : "'\(path)' holds no weights: it has no group 'data'")
    }
    var net = NetParameter()
    var places: [String: Int] = [:]
    for name in try file.datasetNames() where name.hasPrefix("data/") {
      let parts = name.split(separator: "/")
      guard parts.count > 2, let index = Int(parts[parts.count - 1]), (0..<64).contains(index) else {
        throw Diagnostic(.badWeights, "'\(path)': '\(name)' is no parameter of a layer")
      }
      let layer = parts[1..<(parts.count - 1)].joined(separator: "/")
      let place = places[layer] ?? net.layer.count
      if places.updateValue(place, forKey: layer) == nil {
        net.layer.append(LayerParameter.with { $0.name = layer })
      }
      let dataset = try file.dataset(name)
      while net.layer[place].blobs.count <= index { net.layer[place].blobs.append(BlobProto()) }
      net.layer[place].blobs[index].shape.dim = dataset.shape.map(Int64.init)
      net.layer[place].blobs[index].data = try dataset.floats()
    }
    return net
  }
}

extension Net {
  /// Writes the parameters in Caffe's HDF5 form; see `NetSource.readWeights`.
  ///
  /// - Parameter gradients: adds the gradients as the group `diff` (`snapshot_diff`).
  /// - Throws: `unwritableFile`, `outOfSpace`.
  package func writeHDF5(to path: String, gradients: Bool) throws {
    let writer = try HDF5Writer(writing: path)
    for node in graph.nodes { try writer.makeGroup("data/\(node.fields.name)") }
    for entry in parameterTable.unique {
      let parameter = entry.parameter
      try writer.write("data/\(entry.layerName)/\(entry.index)", shape: parameter.shape.dims, parameter.values)
    }
    for (node, parameters) in zip(graph.nodes, parameterTable.byLayer) where gradients {
      try writer.makeGroup("diff/\(node.fields.name)")
      for (index, parameter) in parameters.enumerated() {
        try writer.write(
          "diff/\(node.fields.name)/\(index)", shape: parameter.shape.dims, parameter.settledGradients())
      }
    }
    try writer.finish()
  }
}

/// Whether a file begins as HDF5 files do.
package func isHDF5(_ path: String) -> Bool {
  guard let file = fopen(path, "re") else { return false }
  defer { fclose(file) }
  var start = [UInt8](repeating: 0, count: 8)
  return fread(&start, 1, start.count, file) == start.count
    && start == [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]
}
