import CaffeSchema
import Diagnostics
import Tensors

/// What became of a file of weights.
package struct WeightReport: Sendable {
  /// Layers of the net that took weights.
  package var loaded: [String] = []
  /// Layers of the file with weights that the net has no layer for.
  package var unused: [String] = []
  /// Layers of the net with parameters that the file does not hold.
  package var missing: [String] = []
}

extension Net {
  /// Takes over weights by layer name.
  ///
  /// - Parameters:
  ///   - origin: the file's name, for messages.
  ///   - requiresAll: whether a layer that the file does not hold is a fault.
  /// - Throws: `badWeights` for every layer whose blobs do not fit, with both shapes, or are missing; then nothing has
  ///   been changed.
  @discardableResult
  package func load(_ weights: NetParameter, from origin: String, requiresAll: Bool = false) throws -> WeightReport {
    var report = WeightReport()
    var copies: [(BlobProto, Parameter)] = []
    var faults: [Diagnostic] = []
    for layer in weights.layer where !layer.blobs.isEmpty {
      guard let target = graph.nodes.firstIndex(where: { $0.fields.name == layer.name }),
        !parameterTable.byLayer[target].isEmpty
      else {
        report.unused.append(layer.name)
        continue
      }
      do {
        try check(layer, fits: target, origin)
      } catch let fault as Diagnostic {
        faults.append(fault)
      }
      copies += zip(layer.blobs, parameterTable.byLayer[target]).filter { !$0.0.isAbsent }
      if !report.loaded.contains(layer.name) { report.loaded.append(layer.name) }
    }
    let owners = parameterTable.unique.map(\.layerName)
    report.missing = owners.indices.filter { $0 == owners.firstIndex(of: owners[$0]) }.map { owners[$0] }
      .filter { !report.loaded.contains($0) }
    if requiresAll, faults.isEmpty { faults = report.missing.map { missing($0, from: origin) } }
    if faults.count == 1 { throw faults[0] }
    if !faults.isEmpty { throw DiagnosticList(faults) }
    for (proto, parameter) in copies {
      proto.copyValues(to: parameter.values)
      parameter.touch()
    }
    return report
  }

  private func missing(_ layer: String, from origin: String) -> Diagnostic {
    let shapes = parameterTable.unique.filter { $0.layerName == layer }.map { "\($0.name) \($0.parameter.shape)" }
    return Diagnostic(
      .badWeights,
      "'\(origin)' is of another net: it has no layer '\(layer)', which is wanted with \(shapes.joined(separator: ", "))"
    )
  }

  private func check(_ layer: LayerParameter, fits target: Int, _ origin: String) throws {
    let node = graph.nodes[target]
    let parameters = parameterTable.byLayer[target]
    func fault(_ message: String) -> Diagnostic {
      node.fields.fault(
        .badWeights, message,
        notes: [.init("to learn this layer from the start, give it a name that the file does not have")])
    }
    // HDF5 files hold a shared parameter at its owner alone.
    let isWhole = parameters.indices.allSatisfy { index in
      layer.blobs.indices.contains(index) && !layer.blobs[index].isAbsent
        || !parameterTable.unique.contains { $0.layer == target && $0.index == index }
    }
    guard layer.blobs.count <= parameters.count, isWhole else {
      let held = layer.blobs.count { !$0.isAbsent }
      throw fault("has \(parameters.count) parameters, but \(origin) holds \(held) for it")
    }
    for (index, (proto, parameter)) in zip(layer.blobs, parameters).enumerated() where !proto.isAbsent {
      let name = node.parameters[index].name
      guard proto.holds(parameter.shape) else {
        throw fault("\(name) is \(parameter.shape), but \(origin) holds \(Shape(proto.dims))")
      }
      guard proto.valueCount == parameter.count else {
        throw fault("\(origin) is damaged: \(name) should have \(parameter.count) values and has \(proto.valueCount)")
      }
    }
  }

  /// The whole definition, all phases, with the present values of every parameter: what a `.caffemodel` holds.
  ///
  /// Its `state` has the stages and the level that the net was built in, so that a test needs not be told them again. Caffe
  /// takes the layers alone from a file of weights (`Net::CopyTrainedLayersFrom` in BVLC/caffe, src/caffe/net.cpp).
  ///
  /// - Parameter gradients: adds the gradients as `diff` (`snapshot_diff`).
  package func snapshot(gradients: Bool = false) -> NetParameter {
    var snapshot = source.parameter
    if !state.stage.isEmpty { snapshot.state.stage = state.stage }
    if state.hasLevel { snapshot.state.level = state.level }
    for index in snapshot.layer.indices {
      guard let node = graph.nodes.firstIndex(where: { $0.fields.name == snapshot.layer[index].name }) else { continue }
      snapshot.layer[index].blobs = parameterTable.byLayer[node].map { BlobProto($0, gradients: gradients) }
    }
    return snapshot
  }
}

extension BlobProto {
  /// Values of a shape.
  package init(values: UnsafePointer<Float>, shape: Shape) {
    self.init()
    self.shape.dim = shape.dims.map(Int64.init)
    data = Array(UnsafeBufferPointer(start: values, count: shape.count))
  }

  /// A parameter's values, and its gradients when asked.
  package init(_ parameter: Parameter, gradients: Bool = false) {
    self.init(values: parameter.values, shape: parameter.shape)
    if gradients { diff = Array(UnsafeBufferPointer(start: parameter.settledGradients(), count: parameter.count)) }
  }

  /// Whether the file holds no blob in this place.
  var isAbsent: Bool { !hasShape && dims.isEmpty && valueCount == 0 }

  package var valueCount: Int { data.isEmpty ? doubleData.count : data.count }

  /// Whether the shape fits; the old form of four extents fits a shape that it extends with ones in front.
  package func holds(_ shape: Shape) -> Bool {
    if dims == shape.dims { return true }
    guard !hasShape, shape.rank <= 4 else { return false }
    return dims == [Int](repeating: 1, count: 4 - shape.rank) + shape.dims
  }

  package func copyValues(to values: UnsafeMutablePointer<Float>) {
    if data.isEmpty {
      for (index, value) in doubleData.enumerated() { values[index] = Float(value) }
    } else {
      data.withUnsafeBufferPointer { buffer in
        if let base = buffer.baseAddress { values.update(from: base, count: buffer.count) }
      }
    }
  }
}
