import Solvers

/// What a look at many values tells.
struct ValueSummary {
  var count = 0
  /// NaN and infinities; the rest is told of finite values alone.
  var nonFinite = 0
  var least = Float.infinity
  var most = -Float.infinity
  private var sum = 0.0
  private var squares = 0.0

  init(_ values: some Collection<Float>) { for value in values { add(value) } }

  init() {}

  mutating func add(_ value: Float) {
    count += 1
    guard value.isFinite else {
      nonFinite += 1
      return
    }
    least = min(least, value)
    most = max(most, value)
    sum += Double(value)
    squares += Double(value) * Double(value)
  }

  private var finite: Double { Double(count - nonFinite) }

  var mean: Double { finite > 0 ? sum / finite : .nan }

  var deviation: Double {
    guard finite > 0 else { return .nan }
    return max(0, squares / finite - mean * mean).squareRoot()
  }

  /// The heads of `cells`.
  static let columns = ["values", "least", "most", "mean", "deviation", "not finite"]

  var cells: [String] {
    guard finite > 0 else { return [CheckText.grouped(count), "-", "-", "-", "-", "\(nonFinite)"] }
    return [
      CheckText.grouped(count), logText(least), logText(most), logText(mean), logText(deviation),
      nonFinite == 0 ? "-" : CheckText.grouped(nonFinite),
    ]
  }
}
