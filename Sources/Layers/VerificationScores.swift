/// What the distances of pairs, some of them alike, amount to.
struct VerificationScores {
  private struct Pair {
    let distance: Float
    let isAlike: Bool
    /// The place among the pairs, in the order in which they came.
    let place: Int
  }

  /// By rising distance; what is no number is farthest.
  private let pairs: [Pair]
  private let alike: Int
  private var unlike: Int { pairs.count - alike }

  init(_ pairs: [(distance: Float, isAlike: Bool)]) {
    self.pairs = pairs.enumerated().map { place, pair in
      Pair(distance: pair.distance.isNaN ? .infinity : pair.distance, isAlike: pair.isAlike, place: place)
    }.sorted { ($0.distance, $0.place) < ($1.distance, $1.place) }
    alike = pairs.count(where: \.isAlike)
  }

  /// The mean accuracy over the folds (0 for less than two pairs), and its standard error: the deviation between folds over the root of their number.
  func accuracy(folds wanted: Int) -> (mean: Float, standardError: Float) {
    let folds = min(wanted, pairs.count)
    guard folds > 1 else { return (0, 0) }
    let shares = (0..<folds).map { fold in
      let members = (fold * pairs.count / folds)..<((fold + 1) * pairs.count / folds)
      let threshold = bestThreshold(without: members)
      let right = pairs.count { members.contains($0.place) && ($0.distance < threshold) == $0.isAlike }
      return Double(right) / Double(members.count)
    }
    let mean = shares.reduce(0, +) / Double(folds)
    let variance = shares.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(folds - 1)
    return (Float(mean), Float((variance / Double(folds)).squareRoot()))
  }

  /// Half-way between the two distances where most pairs but `members` are judged rightly; the lowest of several.
  private func bestThreshold(without members: Range<Int>) -> Float {
    var previous: Float?
    var (alikeBelow, unlikeBelow) = (0, 0)
    var best = (gain: 0, threshold: -Float.infinity)
    for pair in pairs where !members.contains(pair.place) {
      if let previous, pair.distance > previous, alikeBelow - unlikeBelow > best.gain {
        best = (alikeBelow - unlikeBelow, previous + (pair.distance - previous) / 2)
      }
      if pair.isAlike { alikeBelow += 1 } else { unlikeBelow += 1 }
      previous = pair.distance
    }
    // Beyond all of them.
    return alikeBelow - unlikeBelow > best.gain ? .infinity : best.threshold
  }

  /// The share of alike pairs that are nearer than a threshold which at most `rate` of the unlike ones are.
  func trueAcceptRate(at rate: Float) -> Float {
    var best: Float = 0
    forEachThreshold { alikeBelow, unlikeBelow in
      if Double(unlikeBelow) <= Double(rate) * Double(unlike) { best = Float(alikeBelow) / Float(max(1, alike)) }
    }
    return best
  }

  /// Shares of unlike and alike pairs below each threshold, where the curve turns.
  var rocCorners: [(x: Float, y: Float)] {
    guard alike > 0, unlike > 0 else { return [] }
    var counts = [(x: 0, y: 0)]
    forEachThreshold { alikeBelow, unlikeBelow in
      let new = (x: unlikeBelow, y: alikeBelow)
      if counts.count > 1 {
        let (a, b) = (counts[counts.count - 2], counts[counts.count - 1])
        if (b.x - a.x) * (new.y - b.y) == (b.y - a.y) * (new.x - b.x) { counts.removeLast() }
      }
      counts.append(new)
    }
    return counts.map { (Float($0.x) / Float(unlike), Float($0.y) / Float(alike)) }
  }

  /// Tells how many pairs of either kind are below each threshold that parts distances, in rising order.
  private func forEachThreshold(_ body: (_ alikeBelow: Int, _ unlikeBelow: Int) -> Void) {
    var below = (alike: 0, unlike: 0)
    for (index, pair) in pairs.enumerated() {
      if pair.isAlike { below.alike += 1 } else { below.unlike += 1 }
      if index + 1 == pairs.count || pairs[index + 1].distance > pair.distance { body(below.alike, below.unlike) }
    }
  }
}
