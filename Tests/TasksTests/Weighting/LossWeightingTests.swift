import CaffeSchema
import Foundation
import Testing

@testable import Tasks

/// The weightings that are functions of the losses, by hand and at the points where their equations rest.
@Suite struct LossWeightingTests {
  private func moment(_ iteration: Int, round: Int = 4) -> WeightingMoment {
    WeightingMoment(iteration: iteration, rate: 0.1, roundIterations: round, seed: 5)
  }

  private func expect(_ a: [Double], _ b: [Double], _ tolerance: Double = 1e-12) {
    #expect(a.count == b.count)
    for (x, y) in zip(a, b) { #expect(abs(x - y) <= tolerance, "\(a) \(b)") }
  }

  static func all(_ tasks: Int) -> [(name: String, weighting: any LossWeighting)] {
    [
      ("UNCERTAINTY", UncertaintyWeighting(tasks: tasks, rate: nil, floor: 0.05, normalizes: true)),
      ("UNCERTAINTY of the paper", UncertaintyWeighting(tasks: tasks, rate: nil, floor: 0.05, normalizes: false)),
      ("DWA", DynamicWeightAverage(tasks: tasks, temperature: 2, period: 2)), ("RLW", RandomWeighting()),
      ("GLS", GeometricLossStrategy()), ("FAMO", FastAdaptiveWeighting(tasks: tasks, rate: 0.025, decay: 0.01)),
      ("STCH", SmoothChebyshevWeighting(tasks: tasks, smoothness: 1, period: 1)),
    ]
  }

  /// Losses of all sizes, absent ones among them, through many iterations.
  @Test func weightsStayFinite() {
    for tasks in [1, 2, 40] {
      for (name, start) in Self.all(tasks) {
        var weighting = start
        for iteration in 0..<30 {
          let losses = (0..<tasks).map { task in
            (task + iteration) % 5 == 0 ? 0 : pow(10, Double((task * 7 + iteration) % 9) - 5)
          }
          let weights = weighting.weights(losses, moment(iteration))
          #expect(weights.count == tasks && weights.allSatisfy { $0.isFinite && $0 >= 0 }, "\(name) \(weights)")
          weighting.learn(losses, moment(iteration))
          weighting.learn(outcome: losses.map { 0.9 * $0 }, of: losses, moment(iteration))
          #expect(weighting.state.values.allSatisfy { $0.allSatisfy(\.isFinite) }, "\(name) \(weighting.state)")
        }
        let none = [Double](repeating: 0, count: tasks)
        let before = weighting.state
        #expect(weighting.weights(none, moment(30)).allSatisfy { $0.isFinite }, "\(name)")
        weighting.learn(outcome: none, of: none, moment(30))
        #expect(weighting.state == before, "\(name)")
      }
    }
  }

  @Test func equalTasksGetOne() {
    for (name, start) in Self.all(3) where name != "RLW" {
      var weighting = start
      for iteration in 0..<12 {
        let losses = [Double](repeating: 1, count: 3)
        expect(weighting.weights(losses, moment(iteration)), [1, 1, 1], 1e-9)
        weighting.learn(losses, moment(iteration))
        weighting.learn(outcome: losses, of: losses, moment(iteration))
      }
    }
  }

  @Test func schedule() {
    func piece(_ iteration: UInt32, _ weight: Float) -> TaskWeight {
      var piece = TaskWeight()
      (piece.iteration, piece.weight) = (iteration, weight)
      return piece
    }
    let weighting = ScheduledWeighting([[piece(10, 0.5), piece(20, 0)], []])
    expect(weighting.weights([1, 1], moment(9)), [1, 1])
    expect(weighting.weights([1, 1], moment(10)), [0.5, 1])
    expect(weighting.weights([1, 1], moment(19)), [0.5, 1])
    expect(weighting.weights([1, 1], moment(1000)), [0, 1])
  }

  @Test func uncertaintyRestsWhereTheWeightedLossIsOne() {
    var weighting = UncertaintyWeighting(tasks: 3, rate: nil, floor: 0.05, normalizes: false)
    weighting.learn([0.5, 3, 0], moment(0))
    // s - 0.1 (1 - exp(-s) L)
    expect(weighting.state["log_variance"] ?? [], [-0.05, 0.2, 0])
    for iteration in 0..<2000 { weighting.learn([0.5, 3, 0], moment(iteration)) }
    expect(weighting.weights([0.5, 3, 0], moment(0)), [2, 1.0 / 3, 1], 1e-6)
    // A loss of a thousand moves s by 1.
    var far = UncertaintyWeighting(tasks: 1, rate: 0.5, floor: 0, normalizes: false)
    far.learn([1000], moment(0))
    expect(far.state["log_variance"] ?? [], [1])
  }

  /// In the ratio 1/0.5 to 1/2, with the mean 1.
  @Test func uncertaintyWeightsHaveTheMeanOne() {
    var weighting = UncertaintyWeighting(tasks: 2, rate: nil, floor: 0.05, normalizes: true)
    for iteration in 0..<2000 { weighting.learn([0.5, 2], moment(iteration)) }
    expect(weighting.weights([0.5, 2], moment(0)), [1.6, 0.4], 1e-6)
  }

  /// The loss of a task that is learned by heart counts as a twentieth of its first one; without a floor the weight grows
  /// as far as a Float holds.
  @Test func uncertaintyWeightsHaveABound() {
    var weighting = UncertaintyWeighting(tasks: 2, rate: 1, floor: 0.05, normalizes: false)
    var free = UncertaintyWeighting(tasks: 2, rate: 1, floor: 0, normalizes: false)
    for iteration in 0..<3000 {
      let losses = iteration == 0 ? [2, 4] : [1e-9, 4]
      weighting.learn(losses, moment(iteration))
      free.learn(losses, moment(iteration))
    }
    expect(weighting.weights([1, 1], moment(0)), [10, 0.25], 1e-6)
    #expect(free.weights([1, 1], moment(0))[0] > 1e8)
    for iteration in 0..<3000 { free.learn([1e-40, 4], moment(iteration)) }
    expect([log(free.weights([1, 1], moment(0))[0])], [60], 1e-9)
  }

  /// Means 4 and 2 of the first period, 2 and 2 of the second: r = 0.5 and 1, T = 2.
  @Test func dynamicWeightAverage() {
    var weighting = DynamicWeightAverage(tasks: 2, temperature: 2, period: nil)
    for (iteration, losses) in [[5, 2], [3, 2], [2, 2], [2, 2.0]].enumerated() {
      expect(weighting.weights(losses, moment(iteration, round: 2)), [1, 1])
      weighting.learn(losses, moment(iteration, round: 2))
    }
    let (a, b) = (exp(0.25), exp(0.5))
    expect(weighting.weights([1, 1], moment(4, round: 2)), [2 * a / (a + b), 2 * b / (a + b)])
  }

  @Test func randomWeightsAreOfTheIteration() {
    let weighting = RandomWeighting()
    let losses = [1.0, 1, 1, 1]
    #expect(weighting.weights(losses, moment(7)) == weighting.weights(losses, moment(7)))
    #expect(weighting.weights(losses, moment(7)) != weighting.weights(losses, moment(8)))
    var sum = [Double](repeating: 0, count: 4)
    for iteration in 0..<4000 {
      let weights = weighting.weights(losses, moment(iteration))
      #expect(abs(weights.reduce(0, +) - 4) < 1e-9)
      sum = zip(sum, weights).map { $0 + $1 }
    }
    for value in sum { #expect(abs(value / 4000 - 1) < 0.05) }
  }

  /// The gradient of 2 sqrt(a b) is sqrt(b / a) and sqrt(a / b).
  @Test func geometricMean() {
    expect(GeometricLossStrategy().weights([4, 1], moment(0)), [0.5, 2])
    expect(GeometricLossStrategy().weights([4, 0, 1], moment(0)), [0.5, 1, 2])
  }

  @Test func famoFollowsTheTaskThatFallsLeast() {
    var weighting = FastAdaptiveWeighting(tasks: 2, rate: 0.025, decay: 0)
    // z / L, to the mean 1.
    expect(weighting.weights([1, 4], moment(0)), [1.6, 0.4])
    weighting.learn(outcome: [0.5, 4], of: [1, 4], moment(0))
    // Adam's first step is the rate, against the sign of the gradient 1/4 (log 2).
    expect(weighting.state["logit"] ?? [], [-0.025, 0.025], 1e-8)
    for _ in 0..<100 { weighting.learn(outcome: [0.5, 4], of: [1, 4], moment(0)) }
    let weights = weighting.weights([1, 1], moment(0))
    #expect(weights[1] > 1.5)
    // Where both fall alike it rests.
    var still = FastAdaptiveWeighting(tasks: 2, rate: 0.025, decay: 0)
    still.learn(outcome: [0.5, 2], of: [1, 4], moment(0))
    expect(still.state["logit"] ?? [], [0, 0])
  }

  @Test func chebyshevFollowsTheTaskThatIsWorst() {
    var weighting = SmoothChebyshevWeighting(tasks: 2, smoothness: 0.5, period: 1)
    for iteration in 0..<5 {
      // 1 / L, to the mean 1.
      expect(weighting.weights([1, 3], moment(iteration)), [1.5, 0.5])
      weighting.learn([2, 4], moment(iteration))
    }
    // Scales 2 and 4: L / n = 0.5 and 1; to the power 1 / mu: 0.25 and 1; over L: 0.25 and 0.25.
    expect(weighting.weights([1, 4], moment(5)), [1, 1])
    // 1 and 0.5: 1 and 0.25; over L: 0.5 and 0.125.
    expect(weighting.weights([2, 2], moment(5)), [1.6, 0.4])
  }

  /// In a run that goes on with it from iteration 100, the scale is measured in the fifth period from there.
  @Test func chebyshevCountsFromWhereItBegins() {
    var weighting = SmoothChebyshevWeighting(tasks: 2, smoothness: 0.5, period: 1)
    for iteration in 100..<105 {
      expect(weighting.weights([1, 3], moment(iteration)), [1.5, 0.5])
      weighting.learn([2, 4], moment(iteration))
    }
    expect(weighting.weights([2, 2], moment(105)), [1.6, 0.4])
  }
}
