import CaffeSchema
import Tensors

// What else the assumed shapes may be, when a layer does not fit them.
extension ShapeSearch {
  /// Where a bottom of the layer at fault comes from.
  private struct Origin: Hashable {
    /// A layer with assumed tops, and which of them.
    var layer: Int
    var top: Int
    /// The pieces of Slice layers in between: the channels before the piece, how many pieces, whether it is the last.
    var cuts: [Cut]
  }

  private struct Cut: Hashable {
    /// Channels before this piece, and how many it has, where the Slice says so.
    var start: Int?
    var size: Int?
    var pieces: Int
    var isLast: Bool
  }

  /// All revisions of one shape that the layer at fault may fit better, the likeliest first.
  func revisions(of attempt: Attempt, at index: Int) -> [[Int: [Shape]]] {
    let graph = attempt.graph
    let bottoms = layers[index].parameter.bottom.compactMap { name in graph.values.lastIndex { $0.name == name } }
    var likely: [[Int: [Shape]]] = together(attempt, bottoms).map { [$0] } ?? []
    var others: [[Int: [Shape]]] = []
    for (position, bottom) in bottoms.enumerated() {
      let siblings = bottoms.indices.filter { $0 != position }.map { graph.values[bottoms[$0]].shape.dims }
      for origin in origins(of: bottom, attempt) {
        guard let shapes = attempt.shapes[origin.layer], let outline = outlines[origin.layer]?[origin.top],
          given[layers[origin.layer].parameter.top[origin.top]] == nil
        else { continue }
        let present = shapes[origin.top].dims
        func add(_ wanted: [[Int]], to list: inout [[Int: [Shape]]]) {
          for dims in wanted {
            guard let shape = outline.fitted(dims), shape != shapes[origin.top] else { continue }
            let alike = shapes.indices.filter { shapes[$0] == shapes[origin.top] }
            for tops in alike.count > 1 ? [[origin.top], alike] : [alike] {
              let revision = revised(attempt, origin.layer, tops, shape)
              if !list.contains(revision) { list.append(revision) }
            }
          }
        }
        let likenesses = siblings.flatMap { ShapeSearch.likenesses($0) }
        let scaled = likenesses.flatMap { ShapeSearch.scaled(present, graph.values[bottom].shape.dims, to: $0) }
        add(
          sequenced(index, present, graph.values[bottom].shape, siblings)
            + reshaped(index, present, graph.values[bottom].shape)
            + (isFirstOfImages(origin.layer, graph) ? enlarged(index, present, graph.values[bottom].shape) : [])
            + likenesses.compactMap { uncut($0, origin.cuts, present) } + scaled, to: &likely)
        // What a layer of a detector that is not known makes is mostly regions.
        add((isGuessed(origin.layer) ? [[128, 5]] : []) + ShapeSearch.variants(of: present), to: &others)
      }
    }
    return likely + others.filter { !likely.contains($0) } + largerBatches(attempt)
  }

  /// Whether a layer's tops are taken to be like its bottoms, for want of knowing better.
  private func isGuessed(_ layer: Int) -> Bool {
    foreign.contains(layer) || (layers[layer].parameter.type == "Python" && !layers[layer].parameter.bottom.isEmpty)
  }

  /// All bottoms that layers of unknown types make, at once, with the planes of the first that no such layer makes; nil
  /// where there are not several.
  private func together(_ attempt: Attempt, _ bottoms: [Int]) -> [Int: [Shape]]? {
    let values = bottoms.map { attempt.graph.values[$0] }
    let unknown = values.filter { isGuessed($0.producer) && outlines[$0.producer]?[$0.top].extents == nil }
    guard unknown.count > 1, let like = values.first(where: { !isGuessed($0.producer) && $0.shape.rank == 4 })?.shape
    else { return nil }
    var revision = attempt.shapes
    for value in unknown where value.shape.rank > 1 {
      revision[value.producer]?[value.top] = [like[0], value.shape[1], like[2], like[3]]
    }
    return revision == attempt.shapes ? nil : revision
  }

  /// Of what a layer reads as steps x streams: as many of them as a sibling has.
  private func sequenced(_ index: Int, _ present: [Int], _ bottom: Shape, _ siblings: [[Int]]) -> [[Int]] {
    guard ["LSTM", "RNN"].contains(layers[index].parameter.type) else { return [] }
    let pairs = siblings.filter { $0.count > 1 }.map { [present.first ?? 1, $0[0]] }
    guard present.count == 4 else { return pairs + siblings.filter { $0.count > 1 }.map { [$0[0], $0[1]] } }
    let steps = siblings.compactMap(\.first)
    let shrinks = max(1, bottom.extent(0))
    return steps.flatMap { steps in
      // The steps are a side of the image, or what layers in between leave of it.
      [(present[2], steps), (steps, present[3])].map { [present[0], present[1], $0, $1] }
        + [(present[2], present[3] / shrinks * steps), (present[2] / shrinks * steps, present[3])]
        .map { [present[0], present[1], $0, $1] }
    }
  }

  /// With another shape for some tops of a layer.
  private func revised(_ attempt: Attempt, _ layer: Int, _ tops: [Int], _ shape: Shape) -> [Int: [Shape]] {
    var revision = attempt.shapes
    for top in tops where outlines[layer]?[top].fitted(shape.dims) == shape { revision[layer]?[top] = shape }
    // What was guessed from other blobs is guessed anew.
    for later in revision.keys where later > layer && !layers[later].parameter.bottom.isEmpty {
      if outlines[later] != nil { revision[later] = nil }
    }
    return revision
  }

  /// Sources whose batch nobody tells with two records instead of one: layers may need pairs.
  private func largerBatches(_ attempt: Attempt) -> [[Int: [Shape]]] {
    let open = attempt.shapes.keys.filter { layer in
      outlines[layer]?.allSatisfy { $0.extents == nil && $0.batch == nil } == true
        && attempt.shapes[layer]?.allSatisfy { $0.dims.first == 1 } == true
        && layers[layer].parameter.bottom.isEmpty
    }
    guard !open.isEmpty else { return [] }
    var revision = attempt.shapes
    for layer in open { revision[layer] = attempt.shapes[layer]?.map { Shape([2] + $0.dims.dropFirst()) } }
    return [revision]
  }

  /// A source with as many records, or with records of as many values, as fill the shape that a Reshape layer gives to
  /// `bottom`, which is made of it.
  private func reshaped(_ index: Int, _ source: [Int], _ bottom: Shape) -> [[Int]] {
    guard layers[index].parameter.type == "Reshape", let batch = source.first, bottom.count > 0 else { return [] }
    // 0 keeps the bottom's extent.
    let wanted = layers[index].parameter.reshapeParam.shape.dim.enumerated().map { axis, extent in
      extent == 0 ? bottom.extent(axis) : Int(extent)
    }
    // What -1 stands for is at least 1.
    guard !wanted.isEmpty, wanted.allSatisfy({ $0 == -1 || (1..<100_000).contains($0) }) else { return [] }
    let (values, overflows) = wanted.reduce((1, false)) { product, extent in
      let (value, overflow) = product.0.multipliedReportingOverflow(by: max(1, extent))
      return (value, product.1 || overflow)
    }
    guard !overflows else { return [] }
    // Steps x streams x images of the channels that there are.
    if wanted.count == 5, bottom.rank == 4, wanted[2] == bottom[1] {
      return ShapeSearch.scaled(source, bottom.dims, to: [wanted[0] * wanted[1]] + wanted[2...])
    }
    let more = values % bottom.count == 0 ? [[batch * (values / bottom.count)] + source.dropFirst()] : []
    let record = source.dropFirst().reduce(1, *)
    let (scaled, tooLarge) = record.multipliedReportingOverflow(by: values)
    guard !tooLarge, scaled % bottom.count == 0, scaled > 0 else { return more }
    return more + [[batch, scaled / bottom.count], [batch, 1, 1, scaled / bottom.count]]
  }

  /// Whether a layer makes images from what is none.
  private func isFirstOfImages(_ layer: Int, _ graph: Graph) -> Bool {
    let bottoms = layers[layer].parameter.bottom.compactMap { name in graph.values.last { $0.name == name } }
    return bottoms.allSatisfy { $0.shape.rank != 4 }
  }

  /// A source of images that are as much larger as the kernel of a pooling or convolution is than its bottom.
  private func enlarged(_ index: Int, _ source: [Int], _ bottom: Shape) -> [[Int]] {
    let (pooling, convolution) = (layers[index].parameter.poolingParam, layers[index].parameter.convolutionParam)
    let kernel = max(pooling.kernelSize, pooling.kernelH, pooling.kernelW, convolution.kernelSize.max() ?? 0)
    guard source.count == 4, bottom.rank == 4, bottom[2] > 0, bottom[3] > 0, kernel < 1000 else { return [] }
    let sides = (2...3).map { (source[$0] * Int(kernel) + bottom[$0] - 1) / bottom[$0] }
    return sides[0] > source[2] ? [[source[0], source[1]] + sides] : []
  }

  /// A source of images for which what is made of it, now `bottom`, would be `wanted`, if sizes go along.
  ///
  /// - Returns: of sizes in proportion, and of as many pixels as each position now stands for.
  private static func scaled(_ source: [Int], _ bottom: [Int], to wanted: [Int]) -> [[Int]] {
    guard source.count == 4, bottom.count == 4, wanted.count == 4, bottom != wanted else { return [] }
    guard bottom.allSatisfy({ $0 > 0 }) else { return [] }
    let channels = bottom[1] == source[1] ? wanted[1] : source[1]
    let records = wanted[0] % bottom[0] == 0 ? source[0] * wanted[0] / bottom[0] : source[0]
    let inProportion = (2...3).map { source[$0] * wanted[$0] / bottom[$0] }
    let byStride = (2...3).map { wanted[$0] * max(1, (2 * source[$0] + bottom[$0]) / (2 * bottom[$0])) }
    return [[records, channels] + inProportion, [records, channels] + byStride]
  }

  /// The assumed tops that a value is made from, those with the fewest layers in between first.
  private func origins(of value: Int, _ attempt: Attempt) -> [Origin] {
    var found: [Origin] = []
    var open: [(value: Int, cuts: [Cut])] = [(value, [])]
    var seen: Set<Int> = [value]
    while !open.isEmpty {
      let (value, cuts) = open.removeFirst()
      let made = attempt.graph.values[value]
      let node = attempt.graph.nodes[made.producer]
      if attempt.shapes[made.producer] != nil {
        found.append(Origin(layer: made.producer, top: made.top, cuts: cuts))
        if node.bottoms.isEmpty { continue }
      }
      let cut = ShapeSearch.cut(node, top: made.top)
      for bottom in node.bottoms where seen.insert(bottom).inserted {
        open.append((bottom, cut.map { [$0] + cuts } ?? cuts))
      }
    }
    return found
  }

  private static func cut(_ node: Graph.Node, top: Int) -> Cut? {
    guard node.fields.parameter.type == "Slice" else { return nil }
    let points = node.fields.parameter.sliceParam.slicePoint.map(Int.init)
    let start = points.isEmpty ? nil : top == 0 ? 0 : points.indices.contains(top - 1) ? points[top - 1] : nil
    let end = points.indices.contains(top) ? points[top] : nil
    return Cut(
      start: start, size: start.flatMap { start in end.map { $0 - start } }, pieces: node.tops.count,
      isLast: top == node.tops.count - 1)
  }

  /// What a blob before the cuts must be for the piece to be `dims`; nil where the cuts fix the piece.
  private func uncut(_ dims: [Int], _ cuts: [Cut], _ present: [Int]) -> [Int]? {
    var whole = dims
    for cut in cuts.reversed() {
      let channels = whole.count > 1 ? whole[1] : 1
      if let size = cut.size, size != channels { return nil }
      let all =
        cut.size != nil ? present.dropFirst().first ?? 1 : cut.start.map { $0 + channels } ?? channels * cut.pieces
      whole = [whole.first ?? 1, all] + whole.dropFirst(2)
    }
    return whole
  }

  /// Shapes that go well beside a bottom of shape `dims`: its own, one value for each position, one for each record.
  private static func likenesses(_ dims: [Int]) -> [[Int]] {
    guard let batch = dims.first else { return [[1]] }
    let perPosition = dims.count > 1 ? [[batch, 1] + dims.dropFirst(2)] : []
    let flat =
      dims.count > 2 ? [[batch, dims.dropFirst().reduce(1, *)], [batch, dims.dropFirst(2).reduce(1, *)]] : []
    return [dims] + perPosition + flat + [[batch, 1], [batch]] + (dims.count > 2 ? [Array(dims.prefix(2))] : [])
  }

  /// Other sizes of images, other lengths of vectors, other numbers of axes.
  private static func variants(of dims: [Int]) -> [[Int]] {
    let batch = dims.first ?? 1
    // Regions and sizes of images, for layers that read them; clips.
    let boxes = [[128, 5], [1, 3], [batch, 3, 16, 112, 112], [1, 1, 1, 7], [1, 1, 1, 8]]
    guard dims.count == 4 else {
      return [[batch], [batch, 1], [batch, 64], [batch, 3, 224, 224], [batch, 1, 224, 224], [batch, 1, 28, 28]] + boxes
    }
    let sides =
      [256, 320, 448, 512, 300, 416, 128, 96, 64, 32, 28, 48, 24, 12, 321, 500].map { [batch, dims[1], $0, $0] }
      + [[batch, dims[1], 640, 1024]]
    let channels = [3, 1, 2, 6, 4, 10].map { [batch, $0, dims[2], dims[3]] }
    return channels + sides + [[batch, 1, 28, 28], [batch, 1, 1, 1]] + boxes
  }
}
