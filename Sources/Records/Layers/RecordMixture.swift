import CaffeSchema

/// From which of several sources each place of an endless sequence of records comes.
///
/// A period of the sequence holds a fixed number of records of each source, spread as evenly as they can be; it repeats
/// without end. Which record comes is a function of its place alone, as all in the data is, so that databases of images
/// and of labels that are mixed alike stay in step.
struct RecordMixture: Sendable {
  /// Of each place of a period: its source, and how many of that source came before it.
  private let places: [(source: Int32, before: Int32)]
  /// Records of each source in a period.
  private let shares: [Int]

  /// To how many parts weights are told apart.
  static let parts = 1000

  /// - Parameters:
  ///   - counts: records of each source, which are the shares of a mixture in proportion.
  ///   - weights: the shares of a mixture by weight, which are rounded to thousandths, but none to nothing.
  init(_ mixing: DataParameter.Mixing, counts: [Int], weights: [Float]) {
    switch mixing {
    // One source is a period of one record.
    case _ where counts.count == 1: shares = [1]
    case .inProportion: shares = counts
    case .inTurn: shares = counts.map { _ in 1 }
    case .byWeight:
      let sum = weights.reduce(0, +)
      shares = weights.map { max(1, Int(($0 / sum * Float(RecordMixture.parts)).rounded())) }
    }
    // Record i of n is due at (i + 1/2) / n of the period; of those due at once, the first source's comes first.
    var due = shares.enumerated().flatMap { source, share in
      (0..<share).map { (at: (Double($0) + 0.5) / Double(share), source: Int32(source), before: Int32($0)) }
    }
    due.sort { ($0.at, $0.source) < ($1.at, $1.source) }
    places = due.map { ($0.source, $0.before) }
  }

  /// The source of the record at a place, and the record's place in the sequence of that source alone.
  func source(of place: Int) -> (source: Int, place: Int) {
    let (source, before) = places[place % places.count]
    return (Int(source), place / places.count * shares[Int(source)] + Int(before))
  }
}
