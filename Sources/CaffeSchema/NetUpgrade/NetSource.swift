import Diagnostics

/// A net as its author wrote it, in today's form: every layer in `layer`, inputs as a layer of type Input.
///
/// Layers of all phases are in it; nothing is filtered. The upgrade follows Caffe's `upgrade_proto.cpp`, and differs
/// where Caffe drops what was written: a file that mixes `layers` and `layer` keeps both, in the order of the text.
package struct NetSource: Sendable {
  package var parameter: NetParameter
  /// The places of each of `parameter.layer`.
  package var layerPlaces: [FieldPlaces]
  /// The places of the net's own fields.
  package var places: FieldPlaces
  /// The file that it came from.
  package var file: String?
  /// Inputs that are named without a shape, and made by no layer.
  package private(set) var shapelessInputs: [String] = []
  /// What the upgrade had to leave out.
  package var warnings: [Diagnostic] = []

  /// Reads a net prototxt. Throws what `TextFile.read` throws, and the faults of `init(parameter:places:file:)`.
  package static func read(path: String) throws -> NetSource { try read(path: path, leavesOutForeign: false) }

  /// The same.
  ///
  /// - Parameter leavesOutForeign: whether fields of forks, unknown here, are left out with a warning: for looking at
  ///   nets. A net that is to run must be read without.
  package static func read(path: String, leavesOutForeign: Bool) throws -> NetSource {
    let text = try TextFile<NetParameter>.read(path: path, leavesOutForeign: leavesOutForeign)
    // What has no layers besides is no net.
    if leavesOutForeign, text.message.layer.isEmpty, text.message.layers.isEmpty { return try read(path: path) }
    var source = try NetSource(
      parameter: text.message, places: text.places, file: text.file, foreignTypes: text.leftOut.layerTypes)
    source.warnings = text.leftOut.warnings + source.warnings
    return source
  }

  /// From a text; `file` is its name in messages.
  package init(text: String, file: String) throws {
    let text = try parseText(text, as: NetParameter.self, file: file)
    try self.init(parameter: text.message, places: text.places, file: file)
  }

  /// From a message in any form: of a `.caffemodel`, or one inside a solver.
  ///
  /// Throws a `Diagnostic` for a layer of 2013 of unknown type, a padding layer that no convolution or pooling follows,
  /// and inputs whose sizes do not match them in number.
  /// - Parameters:
  ///   - places: those of the message; without them, `file` stands for every place.
  ///   - foreignTypes: types of layers in `layers` that the schema does not know, by the layer's number.
  package init(
    parameter: NetParameter, places: FieldPlaces? = nil, file: String? = nil, foreignTypes: [Int: String] = [:]
  ) throws {
    self.parameter = parameter
    let places = places ?? FieldPlaces(file: file)
    self.places = places
    self.file = file
    layerPlaces = parameter.layer.indices.map { places.scoped(to: "layer[\($0)]") }
    if !parameter.layers.isEmpty { try upgradeLayers(foreignTypes) }
    if !parameter.input.isEmpty { try upgradeInputs() }
    upgradeMultiLabelImages()
    freezeBatchNorm()
    warnOfIdleTransforms()
    warnOfFieldsWithoutEffect()
  }

  /// A layer with its places, and its position in the text for those that have one.
  private struct PlacedLayer {
    var layer: LayerParameter
    var places: FieldPlaces
    var position: FieldPlaces.Position?
  }

  private mutating func upgradeLayers(_ foreignTypes: [Int: String]) throws {
    var placed = try old2013Layers().map { old in
      let path = "layers[\(old.index)]"
      var (layer, moved) =
        old.layer.hasLayer
        ? try upgradedFrom2013(old.layer, at: places.scoped(to: path)) : upgradedFrom2014(old.layer, path: path)
      layer.moveTransforms(moved: &moved)
      if let type = foreignTypes[old.index] { layer.type = NetSource.modernName(type) }
      return PlacedLayer(
        layer: layer, places: places.upgraded(from: path, moved: moved), position: places.exactPosition(path))
    }
    for (index, layer) in parameter.layer.enumerated() {
      placed.append(
        PlacedLayer(
          layer: layer, places: layerPlaces[index], position: places.exactPosition("layer[\(index)]")))
    }
    if placed.allSatisfy({ $0.position != nil }) {
      placed.sort { a, b in
        guard let a = a.position, let b = b.position else { return false }
        return (a.line, a.column) < (b.line, b.column)
      }
    }
    parameter.layers = []
    parameter.layer = placed.map(\.layer)
    layerPlaces = placed.map(\.places)
  }

  /// VIDEO_DATA as VideoData, the way in which forks named their types later; BN stays.
  private static func modernName(_ type: String) -> String {
    let words = type.split(separator: "_")
    guard words.count > 1 else { return type }
    return words.map { $0.prefix(1).uppercased() + $0.dropFirst().lowercased() }.joined()
  }

  private mutating func upgradedFrom2014(
    _ old: V1LayerParameter, path: String
  ) -> (LayerParameter, moved: [String: String]) {
    if old.type == .crop {
      warnings.append(
        Diagnostic(
          .unsupported, "CROP of 2014 aligned its bottoms by the layers between them; Crop cuts at offset 0",
          severity: .warning, layer: Diagnostic.Layer(name: old.name, type: "Crop"), at: places.location(path)))
    }
    return old.upgraded()
  }

  private mutating func upgradedFrom2013(
    _ old: V1LayerParameter, at places: FieldPlaces
  ) throws -> (LayerParameter, moved: [String: String]) {
    var upgrade = V0Upgrade(old, places: places)
    let layer = try upgrade.upgraded()
    warnings += upgrade.warnings
    return (layer, upgrade.moved)
  }

  // MARK: Inputs

  private mutating func upgradeInputs() throws {
    let names = parameter.input
    var layer = LayerParameter()
    layer.name = "input"
    layer.type = "Input"
    layer.top = names
    var moved = ["": "input[0]"]
    for index in names.indices { moved["top[\(index)]"] = "input[\(index)]" }

    if !parameter.inputShape.isEmpty {
      guard parameter.inputShape.count == names.count else {
        throw Diagnostic(
          .badShape, "\(names.count) input, but \(parameter.inputShape.count) input_shape: give one for each",
          at: places.location("input_shape"))
      }
      layer.inputParam.shape = parameter.inputShape
      for index in names.indices { moved["input_param.shape[\(index)]"] = "input_shape[\(index)]" }
    } else if !parameter.inputDim.isEmpty {
      let dims = parameter.inputDim
      guard dims.count == 4 * names.count else {
        throw Diagnostic(
          .badShape,
          "\(names.count) input, but \(dims.count) input_dim: give four for each (N, C, H, W), or input_shape",
          at: places.location("input_dim"))
      }
      for index in names.indices {
        var shape = BlobShape()
        shape.dim = dims[4 * index..<4 * index + 4].map(Int64.init)
        layer.inputParam.shape.append(shape)
        moved["input_param.shape[\(index)]"] = "input_dim[\(4 * index)]"
        for axis in 0..<4 { moved["input_param.shape[\(index)].dim[\(axis)]"] = "input_dim[\(4 * index + axis)]" }
      }
    } else {
      // Weights that old versions of Caffe wrote name inputs alone.
      warnOfInputs(names.filter { name in !parameter.layer.contains { $0.top.contains(name) } })
    }
    if layer.hasInputParam {
      parameter.layer.insert(layer, at: 0)
      layerPlaces.insert(places.upgraded(from: "", moved: moved), at: 0)
    }
    parameter.input = []
    parameter.inputShape = []
    parameter.inputDim = []
  }

  private mutating func warnOfInputs(_ names: [String]) {
    shapelessInputs = names
    for name in names {
      warnings.append(
        Diagnostic(
          .badShape, "input '\(name)' has no input_shape or input_dim, and is left out", severity: .warning,
          at: places.location("input")))
    }
  }

  // MARK: Fields with another meaning today

  /// Older BatchNorm layers gave lr_mult 0 for each of their three statistics; later ones never train them.
  private mutating func freezeBatchNorm() {
    for index in parameter.layer.indices
    where parameter.layer[index].type == "BatchNorm" && parameter.layer[index].param.count == 3 {
      let layer = parameter.layer[index]
      if let wrong = layer.param.firstIndex(where: { $0.hasLrMult && $0.lrMult != 0 }) {
        warnings.append(
          Diagnostic(
            .badParameter,
            "lr_mult \(layer.param[wrong].lrMult) is taken as 0: the parameters are running statistics",
            severity: .warning, layer: Diagnostic.Layer(name: layer.name, type: layer.type),
            at: layerPlaces[index].location("param[\(wrong)].lr_mult")))
      }
      for blob in 0..<3 {
        parameter.layer[index].param[blob].lrMult = 0
        parameter.layer[index].param[blob].decayMult = 0
      }
    }
  }

  /// In `layer`, Caffe takes the transformation from transform_param alone.
  private mutating func warnOfIdleTransforms() {
    for (layer, places) in zip(parameter.layer, layerPlaces) {
      for (field, holder) in layer.idleTransforms() {
        warnings.append(
          Diagnostic(
            .badParameter, "'\(field)' has no effect in '\(holder)'; write it in 'transform_param'",
            severity: .warning, layer: Diagnostic.Layer(name: layer.name, type: layer.type),
            at: places.location("\(holder).\(field)")))
      }
    }
  }

  /// Each field once, at the first layer that has it.
  private mutating func warnOfFieldsWithoutEffect() {
    var seen: Set<String> = []
    func warn(_ path: String, _ name: String, _ places: FieldPlaces, _ layer: Diagnostic.Layer?) {
      guard seen.insert(name).inserted else { return }
      warnings.append(
        Diagnostic(
          .noEffect, "\(name) has no effect here: it tunes another program and changes no result", severity: .warning,
          layer: layer, at: places.location(path)))
    }
    for given in givenFields(of: self) where fieldsWithoutEffect["NetParameter"]?.contains(given.name) == true {
      warn(given.name, given.name, places, nil)
    }
    for (layer, places) in zip(parameter.layer, layerPlaces) {
      let identity = Diagnostic.Layer(name: layer.name, type: layer.type)
      for given in givenFields(of: layer) {
        if fieldsWithoutEffect["LayerParameter"]?.contains(given.name) == true {
          warn(given.name, given.name, places, identity)
        }
        for field in given.fields where fieldsWithoutEffect[given.message ?? ""]?.contains(field) == true {
          warn("\(given.name).\(field)", "\(field) of \(given.name)", places, identity)
        }
      }
    }
  }
}
