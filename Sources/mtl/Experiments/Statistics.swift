/// A mean with the interval that holds the true one with 95 % confidence (Student's t).
struct Estimate: Codable, Equatable {
  var mean: Double
  /// Half of the interval; nil for a single value.
  var margin: Double?

  /// The 97.5 % quantiles of Student's t with 1, 2, … degrees of freedom; beyond them it is nearly normal.
  private static let quantiles = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
  ]

  /// nil of no values.
  init?(_ values: [Double]) {
    guard !values.isEmpty else { return nil }
    let mean = values.reduce(0, +) / Double(values.count)
    self.mean = mean
    guard values.count > 1 else { return }
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
    let freedom = values.count - 1
    let quantile = freedom <= Estimate.quantiles.count ? Estimate.quantiles[freedom - 1] : 1.96
    margin = quantile * (variance / Double(values.count)).squareRoot()
  }
}
