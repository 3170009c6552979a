import Compute
import Nets
import Tensors

/// Finds triplets among the records of a batch.
protocol TripletMiner {
  /// The records that have what labels they need.
  var labelledCount: Int { get }

  /// Calls `body` with anchor, positive, negative, and by how much the negative should be farther.
  ///
  /// - Parameter distances: N x N.
  func forEach(
    _ distances: UnsafePointer<Float>,
    _ body: (_ anchor: Int, _ positive: Int, _ negative: Int, _ margin: Float) -> Void)
}

/// Half the mean of max(margin + d(a, p) - d(a, n), 0) over triplets that are found in the batch: those that cost
/// something, or all. Without any, loss and gradient are 0. The gradient of a distance of 0 is 0.
final class BatchTripletRun: LossRun {
  private let miner: any TripletMiner
  private let embeddings: Blob
  private let loss: Blob
  private let isSquared: Bool
  private let averagesOverAll: Bool
  private let count: Int
  private let width: Int
  private let distances: Region
  /// How often a distance, of row to column, is one to a positive, minus how often to a negative; of triplets that cost.
  private let weights: Region
  private var triplets = 0

  init(_ binding: LayerBinding, _ miner: any TripletMiner, isSquared: Bool, averagesOverAll: Bool) {
    self.miner = miner
    embeddings = binding.bottom(0)
    loss = binding.top(0)
    self.isSquared = isSquared
    self.averagesOverAll = averagesOverAll
    count = embeddings.shape.extent(0)
    width = embeddings.count / max(1, count)
    distances = binding.workspace(count * count * MemoryLayout<Float>.stride)
    weights = binding.workspace(count * count * MemoryLayout<Float>.stride)
    binding.backwardReads(bottoms: [embeddings])
  }

  var labelledCount: Int { miner.labelledCount }

  private func matrix(_ region: Region) -> UnsafeMutablePointer<Float> {
    region.pointer.assumingMemoryBound(to: Float.self)
  }

  func forward() {
    let (distances, weights) = (matrix(distances), matrix(weights))
    measure(into: distances)
    weights.update(repeating: 0, count: count * count)
    var sum = 0.0
    var (all, costly) = (0, 0)
    miner.forEach(distances) { anchor, positive, negative, margin in
      let (toPositive, toNegative) = (anchor * count + positive, anchor * count + negative)
      let cost = margin + distances[toPositive] - distances[toNegative]
      all += 1
      // What is no number counts, so that it shows.
      if cost <= 0 { return }
      costly += 1
      sum += Double(cost)
      weights[toPositive] += 1
      weights[toNegative] -= 1
    }
    triplets = averagesOverAll ? all : costly
    loss.values[0] = Float(sum / Double(max(1, triplets)) / 2)
  }

  private func measure(into distances: UnsafeMutablePointer<Float>) {
    for i in 0..<count {
      distances[i * count + i] = 0
      for j in 0..<i {
        let (x, y) = (embeddings.values + i * width, embeddings.values + j * width)
        var square = 0.0
        for k in 0..<width { square += Double(x[k] - y[k]) * Double(x[k] - y[k]) }
        let distance = Float(isSquared ? square : square.squareRoot())
        distances[i * count + j] = distance
        distances[j * count + i] = distance
      }
    }
  }

  func backward() {
    guard embeddings.hasGradient else { return }
    let (distances, weights) = (matrix(distances), matrix(weights))
    let factor = loss.gradients[0] / Float(max(1, triplets)) / 2
    embeddings.gradients.update(repeating: 0, count: count * width)
    for i in 0..<count {
      let (x, dx) = (embeddings.values + i * width, embeddings.gradients + i * width)
      for j in 0..<count where j != i {
        // The distance counts in triplets of either as anchor.
        let weight = weights[i * count + j] + weights[j * count + i]
        let distance = distances[i * count + j]
        guard weight != 0, distance != 0 else { continue }
        let slope = factor * weight * (isSquared ? 2 : 1 / distance)
        let y = embeddings.values + j * width
        for k in 0..<width { dx[k] += slope * (x[k] - y[k]) }
      }
    }
  }
}

/// Triplets of records of which two have one label and the third another one.
struct LabelTripletMiner: TripletMiner {
  enum Choice {
    /// All triplets.
    case all
    /// For each anchor the farthest positive and the negative that costs most (Hermans, Beyer, Leibe, arXiv 1703.07737).
    case hardest
    /// For each anchor and positive the nearest negative beyond the positive, or, where none is, the farthest one
    /// (Schroff, Kalenichenko, Philbin, CVPR 2015).
    case semiHard
  }

  let choice: Choice
  let margin: Float
  let labels: Blob
  /// N x A: what a record has is above 0.
  let attributes: Blob?

  var labelledCount: Int { (0..<labels.count).count { !labels.values[$0].isNaN } }

  func forEach(_ distances: UnsafePointer<Float>, _ body: (Int, Int, Int, Float) -> Void) {
    let count = labels.count
    for anchor in 0..<count where !labels.values[anchor].isNaN {
      let row = distances + anchor * count
      switch choice {
      case .all:
        forEachPositive(anchor) { positive in
          forEachNegative(anchor) { body(anchor, positive, $0, margin(anchor, $0)) }
        }
      case .hardest:
        var (positive, negative): (Int?, Int?) = (nil, nil)
        forEachPositive(anchor) { p in
          if positive.map({ row[p] > row[$0] }) ?? true { positive = p }
        }
        forEachNegative(anchor) { n in
          let cost = margin(anchor, n) - row[n]
          if negative.map({ cost > margin(anchor, $0) - row[$0] }) ?? true { negative = n }
        }
        if let positive, let negative { body(anchor, positive, negative, margin(anchor, negative)) }
      case .semiHard:
        forEachPositive(anchor) { positive in
          if let negative = semiHardNegative(anchor, row, beyond: row[positive]) {
            body(anchor, positive, negative, margin(anchor, negative))
          }
        }
      }
    }
  }

  private func semiHardNegative(_ anchor: Int, _ row: UnsafePointer<Float>, beyond distance: Float) -> Int? {
    var (nearest, farthest): (Int?, Int?) = (nil, nil)
    forEachNegative(anchor) { n in
      if row[n] > distance, nearest.map({ row[n] < row[$0] }) ?? true { nearest = n }
      if farthest.map({ row[n] > row[$0] }) ?? true { farthest = n }
    }
    return nearest ?? farthest
  }

  private func forEachPositive(_ anchor: Int, _ body: (Int) -> Void) {
    for other in 0..<labels.count where other != anchor && labels.values[other] == labels.values[anchor] { body(other) }
  }

  private func forEachNegative(_ anchor: Int, _ body: (Int) -> Void) {
    for other in 0..<labels.count where labels.values[other] != labels.values[anchor] && !labels.values[other].isNaN {
      body(other)
    }
  }

  private func margin(_ a: Int, _ b: Int) -> Float {
    guard let attributes else { return margin }
    return margin * (1 - LabelTripletMiner.overlap(attributes, a, b))
  }

  /// What both have over what either has; 1 where neither has anything.
  private static func overlap(_ attributes: Blob, _ a: Int, _ b: Int) -> Float {
    let width = attributes.count / attributes.shape.extent(0)
    var (both, either) = (0, 0)
    for i in 0..<width {
      let (x, y) = (attributes.values[a * width + i] > 0, attributes.values[b * width + i] > 0)
      if x && y { both += 1 }
      if x || y { either += 1 }
    }
    return either == 0 ? 1 : Float(both) / Float(either)
  }
}
