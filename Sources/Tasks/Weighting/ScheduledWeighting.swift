import CaffeSchema

/// SCHEDULE: weights that the user gives, each from an iteration on; 1 before the first.
struct ScheduledWeighting: LossWeighting {
  var state: WeightingState = [:]
  /// Per task, in the order of their iterations.
  private let pieces: [[TaskWeight]]

  init(_ pieces: [[TaskWeight]]) { self.pieces = pieces }

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    pieces.map { pieces in
      pieces.last { Int($0.iteration) <= moment.iteration }.map { Double($0.weight) } ?? 1
    }
  }
}
