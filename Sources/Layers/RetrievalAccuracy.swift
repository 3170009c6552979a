import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// How well the nearest neighbours of an embedding tell its label: recall@K and mean average precision.
///
/// Bottoms: embeddings N x C, labels N. Each record whose label at least one other has is looked for among all other
/// records of the test. Tops: for each K of `recall_at` the share of records that have one of their label among the K
/// nearest (Jegou, Douze, Schmid, PAMI 2011); optionally the mean over records of the average precision: the mean, over
/// the others of its label, of the share of its label among all that are as near. All are of the whole test, not means
/// over its batches. Of records at one distance those of other labels count as nearer. `distance` is EUCLIDEAN or COSINE
/// (1 - the cosine, a vector of length 0 being at 1 from all). Records with a NaN label are left out. With `mtl test
/// --plots` the layer draws recall over K.
package struct RetrievalAccuracy: Layer {
  package static let type = "RetrievalAccuracy"
  package static let parameterFields: [String]? = ["retrieval_accuracy_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...2
  package static let topCount = 1...Int.max

  private let fields: LayerFields
  private let param: RetrievalAccuracyParameter
  private let neighbours: [Int]

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.retrievalAccuracyParam
    neighbours = param.recallAt.isEmpty ? [1] : param.recallAt.map(Int.init)
    if let index = param.recallAt.firstIndex(of: 0) {
      throw fields.fault("recall_at must be at least 1", at: "retrieval_accuracy_param.recall_at[\(index)]")
    }
    let tops = fields.parameter.top.count
    guard tops == neighbours.count || tops == neighbours.count + 1 else {
      throw fields.fault(
        "has \(tops) tops, but needs \(neighbours.count) for recall_at and takes 1 more for the mean average precision",
        at: "top[0]")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[1].count == bottoms[0].extent(0) else {
      throw fields.fault(
        .badShape, "the \(bottoms[0].extent(0)) embeddings need a label each, but the labels are \(bottoms[1])",
        at: "bottom[1]")
    }
    return LayerShapes(tops: fields.parameter.top.map { _ in .scalar })
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let metric = Metric(
      engine: binding.engine, embeddings: binding.bottom(0), labels: binding.bottom(1), neighbours: neighbours,
      isCosine: param.distance == .cosine, tops: binding.topShapes.count)
    return GatheringRun(metric, binding.topShapes.indices.map { binding.top($0) })
  }

  private struct Metric: GatheringMetric {
    let engine: any Engine
    let embeddings: Blob
    let labels: Blob
    let neighbours: [Int]
    let isCosine: Bool
    let tops: Int

    private var dimensions: Int { embeddings.count / max(1, embeddings.shape.extent(0)) }

    /// The label, then the embedding, of length 1 for cosines.
    var width: Int { 1 + dimensions }

    func gather(into rows: GatheredRows) {
      for n in 0..<labels.count {
        let x = UnsafeBufferPointer(start: embeddings.values + n * dimensions, count: dimensions)
        let length = isCosine ? x.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot() : 1
        let factor = length == 0 ? 0 : Float(1 / length)
        rows.append([labels.values[n]] + x.map { $0 * factor })
      }
    }

    func labelledCount(in rows: GatheredRows) -> Int { rows.count - unlabelled(rows) }

    private func unlabelled(_ rows: GatheredRows) -> Int {
      (0..<rows.count).count { rows.values[$0 * width].isNaN }
    }

    /// Of the records whose label another one has.
    private func rankings(_ rows: GatheredRows) -> [NeighbourRanking] {
      var rankings = [NeighbourRanking?](repeating: nil, count: rows.count)
      rankings.withUnsafeMutableBufferPointer { rankings in
        rows.values.withUnsafeBufferPointer { values in
          engine.parallel(rows.count, grain: 8) { from, to in
            for query in from..<to {
              rankings[query] = NeighbourRanking(of: query, in: values, width: width, isCosine: isCosine)
            }
          }
        }
      }
      return rankings.compactMap { $0 }
    }

    func values(over rows: GatheredRows) -> [[Float]] {
      let rankings = rankings(rows)
      func share(_ sum: Double) -> Float { Float(sum / Double(max(1, rankings.count))) }
      let values =
        neighbours.map { k in share(Double(rankings.count { $0.firstRank <= k })) } + [
          share(rankings.reduce(0) { $0 + $1.averagePrecision })
        ]
      return values.prefix(tops).map { [$0] }
    }

    func curves(over rows: GatheredRows) -> [MetricCurve] {
      let rankings = rankings(rows)
      guard !rankings.isEmpty else { return [] }
      let points = (1...min(100, max(1, rows.count - 1))).map { k in
        (x: Float(k), y: Float(rankings.count { $0.firstRank <= k }) / Float(rankings.count))
      }
      return [
        MetricCurve(
          "recall", title: "recall@K", x: .init("K", isLogarithmic: true), y: .init("share of records"), points: points)
      ]
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two recalls", inputs: [.normal([8, 3]), .labels([8], classes: 3)],
      """
      layer { name: "r" type: "RetrievalAccuracy" bottom: "in0" bottom: "in1" top: "recall@1" top: "recall@3"
        top: "mAP" retrieval_accuracy_param { recall_at: 1 recall_at: 3 } }
      """, phase: .test, checksGradient: false),
    LayerExample(
      "cosine", inputs: [.normal([8, 3]), .labels([8], classes: 3)],
      """
      layer { name: "r" type: "RetrievalAccuracy" bottom: "in0" bottom: "in1" top: "recall@1"
        retrieval_accuracy_param { distance: COSINE } }
      """, phase: .test, checksGradient: false),
  ]
}

/// Where the records of a query's label are among all others by their distance to it.
struct NeighbourRanking {
  /// Of the nearest one, from 1.
  let firstRank: Int
  /// In 0 ... 1.
  let averagePrecision: Double

  /// - Parameter rows: of `width` numbers: a label, then an embedding.
  /// - Returns: nil for a record without a label, or whose label no other has.
  init?(of query: Int, in rows: UnsafeBufferPointer<Float>, width: Int, isCosine: Bool) {
    let label = rows[query * width]
    if label.isNaN { return nil }
    var alike: [Float] = []
    var others: [Float] = []
    for row in 0..<(rows.count / width) where row != query && !rows[row * width].isNaN {
      let distance = NeighbourRanking.distance(rows, query * width + 1, row * width + 1, width - 1, isCosine: isCosine)
      if rows[row * width] == label { alike.append(distance) } else { others.append(distance) }
    }
    guard !alike.isEmpty else { return nil }
    alike.sort()
    // How many of the others are at least as near as the first, second, … of the label, but not as the one before it.
    var nearer = [Int](repeating: 0, count: alike.count + 1)
    for distance in others {
      var (low, high) = (0, alike.count)
      while low < high {
        let middle = (low + high) / 2
        if alike[middle] < distance { low = middle + 1 } else { high = middle }
      }
      nearer[low] += 1
    }
    firstRank = nearer[0] + 1
    var (passed, sum) = (0, 0.0)
    for index in alike.indices {
      passed += nearer[index]
      sum += Double(index + 1) / Double(index + 1 + passed)
    }
    averagePrecision = sum / Double(alike.count)
  }

  /// The square of the distance, or 1 - the product; what is no number is farthest.
  private static func distance(
    _ values: UnsafeBufferPointer<Float>, _ a: Int, _ b: Int, _ count: Int, isCosine: Bool
  ) -> Float {
    guard let bytes = UnsafeRawPointer(values.baseAddress) else { return 0 }
    // Eight sums at a time: one alone would wait for each addition.
    var sums = SIMD8<Float>.zero
    var i = 0
    while i + 8 <= count {
      let x = (bytes + (a + i) * 4).loadUnaligned(as: SIMD8<Float>.self)
      let y = (bytes + (b + i) * 4).loadUnaligned(as: SIMD8<Float>.self)
      sums += isCosine ? x * y : (x - y) * (x - y)
      i += 8
    }
    var sum = sums.sum()
    while i < count {
      sum +=
        isCosine ? values[a + i] * values[b + i] : (values[a + i] - values[b + i]) * (values[a + i] - values[b + i])
      i += 1
    }
    let distance = isCosine ? 1 - sum : sum
    return distance.isNaN ? .infinity : distance
  }
}
