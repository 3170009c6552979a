import CaffeSchema
import Diagnostics
import Tensors

/// A net's graph, with assumed shapes where the sources of its data are absent.
///
/// What an outline leaves open is guessed from the layers that read the top: what feeds convolutions is an image of
/// 3 x 224 x 224, what a Slice cuts has as many channels as it cuts, what a loss compares is shaped like its scores.
/// When a layer then does not fit, other guesses are tried as long as one gets further down the net.
package struct ShapeAssumptions {
  /// What was assumed of one layer.
  package struct Assumption {
    package let fields: LayerFields
    package let tops: [(name: String, shape: Shape)]
    /// Whether the caller gave all of them.
    package let isGiven: Bool
    /// Whether the layer's fields tell all of them.
    package let isKnown: Bool
    /// Whether nobody here knows the layer's type, or the layer has fields that are not supported.
    package let isForeign: Bool
  }

  /// As far as it could be built.
  package let graph: Graph
  /// Why it could not be built further.
  package let fault: (any Error)?
  package let assumptions: [Assumption]
  /// Blobs that layers read and none makes, of a net that is an excerpt of another; they are taken as its inputs.
  package let excerptInputs: [String]

  /// - Parameters:
  ///   - layers: of one phase, with their places.
  ///   - given: shapes by the name of a top, to be taken instead of assumed ones; also of layers without bottoms that
  ///     have shapes of their own, such as Input, and of layers of unknown type.
  ///   - declaredInputs: names that the file gives as inputs, without shapes.
  /// - Throws: `badArgument` when `given` names a top that is nobody's, or one that follows from other blobs.
  package init(
    layers: [(parameter: LayerParameter, places: FieldPlaces)], phase: Phase, paths: PathSearch,
    catalogue: LayerCatalogue, given: [String: Shape] = [:], declaredInputs: [String] = []
  ) throws {
    excerptInputs = ShapeAssumptions.inputs(missingIn: layers.map(\.parameter), declared: declaredInputs)
    var layers = layers
    if !excerptInputs.isEmpty {
      var input = LayerParameter()
      (input.name, input.type, input.top) = ("input", "Input", excerptInputs)
      layers.insert((input, FieldPlaces(file: layers.first?.places.location("")?.file)), at: 0)
    }
    var search = ShapeSearch(layers: layers, phase: phase, paths: paths, catalogue: catalogue, given: given)
    let attempt = try search.run()
    graph = attempt.graph
    fault = attempt.fault?.error
    assumptions = attempt.shapes.sorted { $0.key < $1.key }.map { index, tops in
      let names = layers[index].parameter.top
      return Assumption(
        fields: search.fields(index), tops: Array(zip(names, tops)), isGiven: names.allSatisfy { given[$0] != nil },
        isKnown: search.outlines[index]?.allSatisfy { $0.shape != nil } ?? false,
        isForeign: search.foreign.contains(index))
    }
  }
}

extension ShapeAssumptions {
  /// The bottoms that no layer makes, of a net that nothing feeds; otherwise those that are declared. None if one is a
  /// likely slip of the pen for a blob that there is.
  private static func inputs(missingIn layers: [LayerParameter], declared: [String]) -> [String] {
    let made = Set(layers.flatMap(\.top))
    let isExcerpt = !layers.contains { $0.bottom.isEmpty }
    var missing: [String] = []
    for name in layers.flatMap(\.bottom) where !made.contains(name) && !missing.contains(name) {
      if isExcerpt || declared.contains(name) { missing.append(name) }
    }
    // What is no more than its inputs is no excerpt.
    let isNet = layers.count > missing.count
    return !isNet || missing.contains { isSlip($0, among: made) } ? [] : missing
  }
}

/// The search for shapes that fit.
struct ShapeSearch {
  struct Attempt {
    /// Of the tops of layers whose own shapes are not known, by the layers' indices.
    var shapes: [Int: [Shape]]
    var graph: Graph
    var fault: Graph.Fault?

    /// How many layers fit.
    var reach: Int { graph.nodes.count }
  }

  let layers: [(parameter: LayerParameter, places: FieldPlaces)]
  let phase: Phase
  let paths: PathSearch
  let catalogue: LayerCatalogue
  let given: [String: Shape]
  /// Of the layers in `Attempt.shapes`, unless all is given.
  private(set) var outlines: [Int: [TopOutline]] = [:]
  /// The layers that nobody here knows, or that have fields that are not supported.
  private(set) var foreign: Set<Int> = []
  private var builtLayers = 0
  private var sidesteps = 0
  private var tried: Set<[Int: [Shape]]> = []

  /// How many layers are added at most, over all graphs that are tried.
  private static let mostLayers = 20_000
  private static let mostSidesteps = 3

  init(
    layers: [(parameter: LayerParameter, places: FieldPlaces)], phase: Phase, paths: PathSearch,
    catalogue: LayerCatalogue, given: [String: Shape]
  ) {
    self.layers = layers
    self.phase = phase
    self.paths = paths
    self.catalogue = catalogue
    self.given = given
  }

  func fields(_ index: Int) -> LayerFields {
    LayerFields(parameter: layers[index].parameter, places: layers[index].places, phase: phase, paths: paths)
  }

  mutating func run() throws -> Attempt {
    var attempt = build(try givenShapes())
    while attempt.fault != nil, let next = step(from: attempt) { attempt = next }
    return attempt
  }

  /// Builds the graph with these shapes, and with first guesses for all further tops that are open.
  private mutating func build(_ shapes: [Int: [Shape]]) -> Attempt {
    var options = GraphOptions()
    options.givenTops = shapes
    while true {
      let (graph, fault) = Graph.partial(
        layers: layers, phase: phase, paths: paths, catalogue: catalogue, options: options)
      builtLayers += graph.nodes.count + 1
      if let fault, options.givenTops[fault.layer] == nil, let first = firstGuess(fault, graph) {
        options.givenTops[fault.layer] = first
      } else {
        return Attempt(shapes: options.givenTops, graph: graph, fault: fault)
      }
    }
  }

  /// The next attempt that gets further, or, a few times, one that fails at the same layer in another way; nil when there
  /// is none.
  private mutating func step(from attempt: Attempt) -> Attempt? {
    guard let fault = attempt.fault else { return nil }
    var best: Attempt?
    var beside: Attempt?
    for shapes in revisions(of: attempt, at: fault.layer) where tried.insert(shapes).inserted {
      guard builtLayers < ShapeSearch.mostLayers else { break }
      let next = build(shapes)
      guard let nextFault = next.fault else { return next }
      if next.reach > best?.reach ?? attempt.reach { best = next }
      if beside == nil, next.reach == attempt.reach, "\(nextFault.error)" != "\(fault.error)" { beside = next }
    }
    if best == nil, beside != nil, sidesteps < ShapeSearch.mostSidesteps {
      sidesteps += 1
      return beside
    }
    return best
  }

  // MARK: Shapes that the caller gives

  /// Of the layers that have shapes of their own or are unknown; the others' come in when their sources are missed.
  private func givenShapes() throws -> [Int: [Shape]] {
    var shapes: [Int: [Shape]] = [:]
    for name in given.keys.sorted() {
      let makers = layers.indices.filter { layers[$0].parameter.top.contains(name) }
      if makers.isEmpty {
        let near = nearestName(to: name, among: Set(layers.flatMap(\.parameter.top)).sorted())
        throw Diagnostic(
          .badArgument, "no layer has a top '\(name)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      }
      for maker in makers { shapes[maker] = try givenShapes(ofLayer: maker, named: name) }
    }
    return shapes
  }

  private func givenShapes(ofLayer index: Int, named name: String) throws -> [Shape]? {
    let parameter = layers[index].parameter
    guard catalogue.knows(parameter.type) else {
      let shapes = parameter.top.compactMap { given[$0] }
      return shapes.count == parameter.top.count ? shapes : nil
    }
    let definition = try catalogue.define(fields(index))
    guard parameter.bottom.isEmpty else {
      // It comes in with the first guess, once the bottoms are known.
      if definition is any AbsentSourceLayer { return nil }
      throw Diagnostic(.badArgument, "the shape of '\(name)' follows from the bottoms of layer '\(parameter.name)'")
    }
    guard let own = try? definition.shapes(of: []).tops else { return nil }
    return zip(parameter.top, own).map { given[$0] ?? $1 }
  }

  // MARK: First guesses

  private mutating func firstGuess(_ fault: Graph.Fault, _ graph: Graph) -> [Shape]? {
    let index = fault.layer
    let fields = fields(index)
    if catalogue.isForeign(fields.parameter.type) { return foreignGuess(fields, index, graph) }
    let definition: any Layer
    do {
      definition = try catalogue.define(fields)
    } catch let fault as Diagnostic where fault.code == .unsupported {
      return foreignGuess(fields, index, graph)
    } catch { return nil }
    let bottoms = fields.parameter.bottom.compactMap { name in graph.values.last { $0.name == name }?.shape }
    guard let layer = definition as? any AbsentSourceLayer else {
      // Its shapes are known, and only running it is refused.
      guard (fault.error as? Diagnostic)?.code == .unsupported, let tops = try? definition.shapes(of: bottoms).tops,
        tops.count == fields.parameter.top.count
      else { return nil }
      foreign.insert(index)
      self.outlines[index] = tops.map(TopOutline.exactly)
      return tops
    }
    guard bottoms.count == fields.parameter.bottom.count,
      let outlines = layer.outlinesWithoutSource(bottoms: bottoms)
    else { return nil }
    self.outlines[index] = outlines
    return zip(fields.parameter.top, outlines).map { given[$0] ?? guess($1, read: $0, after: index) }
  }

  /// Of a layer whose type nobody here knows: one value for a loss or metric; what the layer computes that its fields
  /// are of, such as `convolution_param`; else the shapes of its bottoms.
  private mutating func foreignGuess(_ fields: LayerFields, _ index: Int, _ graph: Graph) -> [Shape]? {
    let tops = fields.parameter.top
    let bottoms = fields.parameter.bottom.compactMap { name in graph.values.last { $0.name == name }?.shape }
    guard bottoms.count == fields.parameter.bottom.count else { return nil }
    foreign.insert(index)
    if UnknownLayer.role(ofType: fields.parameter.type) != .transform {
      outlines[index] = tops.map { _ in .exactly(.scalar) }
      return tops.map { given[$0] ?? .scalar }
    }
    if let shapes = likeness(of: fields, bottoms) {
      outlines[index] = shapes.map(TopOutline.exactly)
      return zip(tops, shapes).map { given[$0] ?? $1 }
    }
    guard !bottoms.isEmpty else {
      let outlines = tops.indices.map { sourceOutline(fields.parameter, top: $0) }
      self.outlines[index] = outlines
      return zip(tops, outlines).map { given[$0] ?? guess($1, read: $0, after: index) }
    }
    outlines[index] = tops.map { _ in .unknown }
    return tops.indices.map { given[tops[$0]] ?? resized(fields.parameter.type, bottoms, top: $0) }
  }

  /// What the fields of Caffe's own sources tell of a source of another type.
  private func sourceOutline(_ layer: LayerParameter, top: Int) -> TopOutline {
    let list = layer.imageDataParam
    let batches: [UInt32] = [
      layer.hasImageDataParam ? list.batchSize : 0, layer.dataParam.batchSize, layer.windowDataParam.batchSize,
      layer.hdf5DataParam.batchSize,
    ]
    let batch = batches.max() ?? 0
    guard batch > 0 else { return .unknown }
    let rows = TopOutline.rows(Int(batch))
    let images = layer.transformParam.imageOutline(batch: Int(batch), height: list.newHeight, width: list.newWidth)
    // They may be clips as well, or have other channels.
    guard top == 0, let sides = images.extents?.suffix(2), let height = sides.first, let width = sides.last,
      let height, let width
    else { return rows }
    return rows.usually([Int(batch), 3, height, width])
  }

  /// The bottom of a top's place; of a layer that by its name resizes to another blob, with that one's planes.
  private func resized(_ type: String, _ bottoms: [Shape], top: Int) -> Shape {
    let bottom = bottoms[min(top, bottoms.count - 1)]
    let words = ["interp", "resiz", "resampl", "upsampl", "crop", "warp"]
    guard top == 0, bottoms.count > 1, bottom.rank == 4, bottoms[1].rank == 4,
      words.contains(where: { type.lowercased().contains($0) })
    else { return bottom }
    return [bottom[0], bottom[1], bottoms[1][2], bottoms[1][3]]
  }

  /// The tops of the known layer whose fields a layer is given; with its first bottom alone, where that takes but one.
  private func likeness(of fields: LayerFields, _ bottoms: [Shape]) -> [Shape]? {
    guard let likeness = likeness(of: fields.parameter) else { return nil }
    var parameter = fields.parameter
    parameter.type = likeness
    for count in Set([bottoms.count, min(1, bottoms.count)]).sorted(by: >) {
      parameter.bottom = Array(fields.parameter.bottom.prefix(count))
      let known = LayerFields(parameter: parameter, places: fields.places, phase: phase, paths: paths)
      if let shapes = try? catalogue.define(known).shapes(of: Array(bottoms.prefix(count))).tops,
        shapes.count == fields.parameter.top.count
      {
        return shapes
      }
    }
    return nil
  }

  /// The type whose fields a layer is given.
  private func likeness(of layer: LayerParameter) -> String? {
    if layer.hasConvolutionParam { return layer.type.lowercased().contains("deconv") ? "Deconvolution" : "Convolution" }
    if layer.hasInnerProductParam { return "InnerProduct" }
    if layer.hasPoolingParam { return "Pooling" }
    if layer.hasConcatParam { return "Concat" }
    if layer.hasReshapeParam { return "Reshape" }
    return layer.hasRoiPoolingParam ? "ROIPooling" : nil
  }

  /// Side of an image of unknown size.
  private static let side = 224
  /// Values of a vector of unknown length.
  private static let length = 64

  private func guess(_ outline: TopOutline, read name: String, after index: Int) -> Shape {
    if let shape = outline.shape { return shape }
    if let usual = outline.usual, let shape = outline.fitted(usual) { return shape }
    if let objects = outline.fitted([1, 1, 1, 8]), holdsObjects(name, after: index) { return objects }
    let cut = channels(cutFrom: name, after: index)
    let isImage = outline.isImages || feedsWindows(name, after: index)
    guard let extents = outline.extents else {
      let batch = outline.batch ?? 1
      if isImage { return [batch, cut ?? 3, ShapeSearch.side, ShapeSearch.side] }
      return cut.map { [batch, $0] } ?? (isConnected(name, after: index) ? [batch, ShapeSearch.length] : [batch])
    }
    let usual = isImage ? [1, cut ?? 3, ShapeSearch.side, ShapeSearch.side] : [1, cut ?? ShapeSearch.length, 1, 1]
    return Shape(extents.indices.map { extents[$0] ?? (usual.indices.contains($0) ? usual[$0] : 1) })
  }

  private func readers(of name: String, after index: Int) -> [LayerParameter] {
    layers[(index + 1)...].map(\.parameter).filter { $0.bottom.contains(name) }
  }

  /// Whether a layer of SSD reads a blob as the objects of images.
  private func holdsObjects(_ name: String, after index: Int) -> Bool {
    let places = ["MultiBoxLoss": 3, "MultiBoxFocalLoss": 3, "DetectionEvaluate": 1]
    return readers(of: name, after: index).contains { layer in
      places[layer.type].map { layer.bottom.indices.contains($0) && layer.bottom[$0] == name } ?? false
    }
  }

  /// The channels that a Slice takes a blob apart into; where it leaves the size of pieces open, of one each for labels
  /// and of three each for images.
  private func channels(cutFrom name: String, after index: Int) -> Int? {
    guard let slice = readers(of: name, after: index).first(where: { $0.type == "Slice" }) else { return nil }
    let param = slice.sliceParam
    guard param.hasSliceDim ? param.sliceDim == 1 : param.axis == 1 else { return nil }
    let points = param.slicePoint.map(Int.init)
    guard let last = points.last else { return slice.top.count * (feedsWindows(name, after: index) ? 3 : 1) }
    return last + last - (points.dropLast().last ?? 0)
  }

  /// Whether a layer that looks at windows of an image is among those that a blob reaches through simple layers.
  private func feedsWindows(_ name: String, after index: Int) -> Bool {
    reaches(name, after: index) { layer in
      layer.hasConvolutionParam || layer.hasPoolingParam || ["LRN", "SPP", "Im2col", "Crop"].contains(layer.type)
    }
  }

  private func isConnected(_ name: String, after index: Int) -> Bool {
    reaches(name, after: index) { $0.type == "InnerProduct" }
  }

  private func reaches(_ name: String, after index: Int, _ isWanted: (LayerParameter) -> Bool) -> Bool {
    let simple: Set<String> = [
      "Slice", "Split", "Concat", "Power", "Scale", "Bias", "BatchNorm", "BN", "Eltwise", "ReLU", "Dropout", "Flip",
      "Permute", "MVN", "Normalize",
    ]
    var open = [name]
    var seen: Set<String> = [name]
    while let blob = open.popLast() {
      for layer in readers(of: blob, after: index) {
        if isWanted(layer) { return true }
        guard simple.contains(layer.type) else { continue }
        for top in layer.top where seen.insert(top).inserted { open.append(top) }
      }
    }
    return false
  }
}
