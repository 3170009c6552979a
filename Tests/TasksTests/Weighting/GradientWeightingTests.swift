import Nets
import Tensors
import Testing

@testable import Tasks

/// The weightings that are functions of the gradients' inner products, against hand-computed cases and against the
/// equations that define them.
@Suite struct GradientWeightingTests {
  static let moment = WeightingMoment(iteration: 3, rate: 0.1, roundIterations: 10, seed: 5)

  /// Each with its scale-free parameters at their defaults.
  static func all(_ tasks: Int) -> [(name: String, weighting: any GradientWeighting)] {
    [
      ("GRADNORM", GradientNormalization(tasks: tasks, asymmetry: 1.5, rate: 0.025)),
      ("IMTL", ImpartialWeighting(tasks: tasks, rate: nil)), ("PCGRAD", ProjectedConflicts()),
      ("CAGRAD", ConflictAverse(radius: 0.5)), ("MGDA", MinimumNorm()), ("NASH", NashBargaining(interval: 1)),
      ("ALIGNED", AlignedWeighting()), ("UPGRAD", UnconflictingProjection()),
    ]
  }

  static func gram(_ gradients: [[Double]]) -> GramMatrix {
    GramMatrix(gradients.map { a in gradients.map { b in zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } } })
  }

  /// Gradients of about the same direction, or of none, that differ in length by up to the factor 30.
  static func gradients(_ tasks: Int, _ size: Int, leaning: Double, seed: UInt64) -> [[Double]] {
    let stream = RandomStream(seed: seed)
    return (0..<tasks).map { task in
      let length = 0.1 + 3 * stream.uniformDouble(1_000_000 + task)
      return (0..<size).map { length * (stream.uniformDouble(task * size + $0) - 0.5 + leaning) }
    }
  }

  static func sum(_ weights: [Double], _ gradients: [[Double]]) -> [Double] {
    gradients[0].indices.map { index in zip(weights, gradients).reduce(0) { $0 + $1.0 * $1.1[index] } }
  }

  static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

  private func weights(_ weighting: some GradientWeighting, _ gradients: [[Double]]) -> [Double] {
    var weighting = weighting
    return weighting.weights(Self.gram(gradients), gradients.map { _ in 1 }, Self.moment)
  }

  static let cases: [(tasks: Int, size: Int, leaning: Double)] = [
    (2, 3, 0), (2, 10, 0.3), (3, 5, 0), (5, 20, 0.1), (8, 4, 0), (12, 100, -0.05), (40, 200, 0), (40, 30, 0.2),
  ]

  // MARK: For all

  @Test func tasksThatAreAlikeGetOne() {
    for tasks in [2, 3, 7, 40] {
      // Orthogonal, of one length.
      let orthogonal = (0..<tasks).map { task in (0..<tasks).map { $0 == task ? 0.3 : 0 } }
      let same = (0..<tasks).map { _ in [0.2, -0.5, 1] }
      for (name, weighting) in Self.all(tasks) {
        for (gradients, kind) in [(orthogonal, "orthogonal"), (same, "same")] {
          // A bargain over one gradient: K a |g|^2 = 1 / a; the conflict-averse step goes c |g0| further.
          let expected =
            kind == "same" && name == "NASH"
            ? 1 / Double(tasks).squareRoot() : name == "CAGRAD" ? 1.5 / 1.25 : 1.0
          for weight in weights(weighting, gradients) {
            #expect(abs(weight - expected) < 1e-5, "\(name), \(tasks) tasks, \(kind): \(weight)")
          }
        }
      }
    }
  }

  /// Zero gradients, equal ones, opposite ones, one task, lengths that differ a million times.
  @Test func degenerateGradientsGiveFiniteWeights() {
    let g = [0.5, -1, 2.0]
    let minus = g.map { -$0 }
    let cases: [[[Double]]] = [
      [g], [[0, 0, 0]], [g, [0, 0, 0]], [[0, 0, 0], [0, 0, 0]], [g, g], [g, minus], [g, minus, g],
      [g, g.map { 1e-6 * $0 }], [g, minus.map { 1e-6 * $0 }], [g, [0, 0, 0], minus, [1, 0, 0], g],
      [[1, 0, 0], [1, 1e-9, 0]],
    ]
    for gradients in cases {
      for (name, weighting) in Self.all(gradients.count) {
        let weights = weights(weighting, gradients)
        #expect(weights.count == gradients.count && weights.allSatisfy(\.isFinite), "\(name) \(gradients): \(weights)")
        if gradients.count == 1 { #expect(weights == [1], "\(name)") }
      }
    }
  }

  /// A task without a label in the batch: the others' weights are as if it were not there, and so is what comes next.
  @Test func aTaskWithoutALabelIsNotThere() {
    let gradients = Self.gradients(3, 6, leaning: 0.1, seed: 4)
    let withAbsent = [gradients[0], [0, 0, 0, 0, 0, 0], gradients[1], gradients[2]]
    for ((name, weighting), (_, small)) in zip(Self.all(4), Self.all(3)) where name != "PCGRAD" {
      var (weighting, small) = (weighting, small)
      let few = small.weights(Self.gram(gradients), [1, 2, 3], Self.moment)
      let all = weighting.weights(Self.gram(withAbsent), [1, 0, 2, 3], Self.moment)
      for (a, b) in zip(few, [all[0], all[2], all[3]]) { #expect(abs(a - b) < 1e-9, "\(name): \(few), \(all)") }
      for (key, values) in weighting.state where values.count == 4 {
        #expect(values[1] == (key == "first_loss" || key == "log_scale" ? 0 : 1), "\(name) \(key): \(values)")
      }
    }
  }

  // MARK: Each by its equations

  @Test(arguments: cases) func imtlProjectsEquallyOnEach(_ tasks: Int, _ size: Int, _ leaning: Double) {
    guard size >= tasks else { return }
    let gradients = Self.gradients(tasks, size, leaning: leaning, seed: 1)
    let weights = ImpartialWeighting.weights(Self.gram(gradients))
    #expect(abs(weights.reduce(0, +) - Double(tasks)) < 1e-9 * Double(tasks) * weights.map(abs).max()!)
    let step = Self.sum(weights, gradients)
    let projections = gradients.map { Self.dot(step, $0) / Self.dot($0, $0).squareRoot() }
    let size = Self.dot(step, step).squareRoot()
    for projection in projections { #expect(abs(projection - projections[0]) < 1e-6 * size) }
  }

  /// |g1| = 1, |g2| = 2 at a right angle: a1 = 2 a2, of the sum 2.
  @Test func imtlOfTwo() {
    let weights = weights(ImpartialWeighting(tasks: 2, rate: nil), [[1, 0], [0, 2]])
    #expect(abs(weights[0] - 4.0 / 3) < 1e-12 && abs(weights[1] - 2.0 / 3) < 1e-12)
  }

  /// exp(s) L - s: down 0.1 (exp(s) L - 1), L given as scaled.
  @Test func imtlScalesLosses() {
    var weighting = ImpartialWeighting(tasks: 3, rate: nil)
    #expect(weighting.scales([3, 1, 1], Self.moment) == [1, 1, 1])
    _ = weighting.weights(Self.gram([[1, 0, 0], [0, 1, 0], [0, 0, 0]]), [3, 1, 0], Self.moment)
    #expect(weighting.state["log_scale"]!.map { ($0 * 1e9).rounded() / 1e9 } == [-0.2, 0, 0])
  }

  @Test(arguments: cases) func mgdaIsTheShortestMixture(_ tasks: Int, _ size: Int, _ leaning: Double) {
    let gradients = Self.gradients(tasks, size, leaning: leaning, seed: 2)
    let weights = weights(MinimumNorm(), gradients).map { $0 / Double(tasks) }
    #expect(abs(weights.reduce(0, +) - 1) < 1e-9)
    let step = Self.sum(weights, gradients)
    let square = Self.dot(step, step)
    let scale = gradients.map { Self.dot($0, $0) }.reduce(0, +) / Double(tasks)
    for (weight, gradient) in zip(weights, gradients) {
      #expect(weight >= 0)
      // The optimality conditions: d g_i >= |d|^2, and equal where the weight is not 0.
      let product = Self.dot(step, gradient)
      #expect(product >= square - 1e-8 * scale)
      if weight > 1e-9 { #expect(abs(product - square) < 1e-8 * scale) }
    }
  }

  /// Of (1, 0) and (0, 2): w1 = 4 / 5, w2 = 1 / 5, by hand.
  @Test func mgdaOfTwo() {
    let weights = weights(MinimumNorm(), [[1, 0], [0, 2]])
    #expect(abs(weights[0] - 1.6) < 1e-8 && abs(weights[1] - 0.4) < 1e-8)
    // The short one lies between: it alone.
    #expect(self.weights(MinimumNorm(), [[1, 0], [3, 1]]).map { ($0 * 1e9).rounded() / 1e9 } == [2, 0])
  }

  @Test(arguments: cases) func nashSolvesItsEquation(_ tasks: Int, _ size: Int, _ leaning: Double) {
    let gram = Self.gram(Self.gradients(tasks, size, leaning: leaning, seed: 3)).scaled(
      to: Array(0..<tasks)
    ).gram
    let a = NashBargaining.solve(gram)
    for (value, product) in zip(a, gram.times(a)) {
      #expect(value > 0)
      // The ridge is a part of it.
      #expect(abs((product + 1e-6 * value) * value - 1) < 1e-9)
    }
  }

  /// At a right angle a_i |g_i|^2 = 1 / a_i: a = 1 / |g|, here times the mean square's root.
  @Test func nashOfTwo() {
    let weights = weights(NashBargaining(interval: 1), [[1, 0], [0, 2]])
    #expect(abs(weights[0] - 2.5.squareRoot()) < 1e-5 && abs(weights[1] - 2.5.squareRoot() / 2) < 1e-5)
  }

  @Test func nashKeepsItsSolutionBetween() {
    var weighting = NashBargaining(interval: 4)
    var moment = Self.moment
    let first = weighting.weights(Self.gram([[1, 0], [0, 2]]), [1, 1], moment)
    moment.iteration = 5
    #expect(weighting.weights(Self.gram([[9, 0], [0, 2]]), [1, 1], moment) == first)
    moment.iteration = 8
    #expect(weighting.weights(Self.gram([[9, 0], [0, 2]]), [1, 1], moment) != first)
  }

  /// A batch with labels of one task alone, whose gradient may be of quite another size than those that were bargained over.
  @Test func nashOfOneAmongSeveral() {
    var weighting = NashBargaining(interval: 1)
    let first = weighting.weights(Self.gram([[1e-3, 0], [0, 2]]), [1, 1], Self.moment)
    #expect(first[0] > 100)
    #expect(weighting.weights(Self.gram([[2, 0], [0, 0]]), [1, 0], Self.moment)[0] == 1)
    // What is left when all others have stopped shares nothing.
    var alone = NashBargaining(interval: 1)
    alone.state["weight"] = [5]
    #expect(alone.weights(GramMatrix([[0]]), [1], Self.moment) == [1])
  }

  /// When one of three tasks has stopped, the other two share the weight 2.
  @Test func gradnormSharesWhatTasksThereAre() {
    var weighting = GradientNormalization(tasks: 2, asymmetry: 1.5, rate: 0.025)
    weighting.state["weight"] = [0.3, 0.6]
    let weights = weighting.weights(Self.gram([[1, 0], [0, 1]]), [1, 1], Self.moment)
    #expect(abs(weights[0] + weights[1] - 2) < 1e-12 && weights[0] < weights[1])
    var alone = GradientNormalization(tasks: 1, asymmetry: 1.5, rate: 0.025)
    alone.state["weight"] = [0.3]
    #expect(alone.weights(GramMatrix([[0]]), [1], Self.moment) == [1])
  }

  @Test(arguments: cases) func upgradConflictsWithNone(_ tasks: Int, _ size: Int, _ leaning: Double) {
    let gradients = Self.gradients(tasks, size, leaning: leaning, seed: 4)
    let step = Self.sum(weights(UnconflictingProjection(), gradients), gradients)
    let scale = gradients.map { Self.dot($0, $0) }.reduce(0, +) / Double(tasks)
    for gradient in gradients { #expect(Self.dot(step, gradient) > -1e-6 * scale * Double(tasks)) }
  }

  /// (1, 0) and (-1, 1): projected onto where neither suffers, (1/2, 1/2) and (0, 1).
  @Test func upgradOfTwo() {
    let gradients = [[1.0, 0], [-1, 1]]
    let step = Self.sum(weights(UnconflictingProjection(), gradients), gradients)
    #expect(abs(step[0] - 0.5) < 1e-6 && abs(step[1] - 1.5) < 1e-6)
  }

  /// Not where no step helps all: what is least harm to the worst there is not of this form.
  @Test(arguments: cases.filter { $0.size > 4 }) func cagradStaysInItsBall(_ tasks: Int, _ size: Int, _ leaning: Double)
  {
    let gradients = Self.gradients(tasks, size, leaning: leaning, seed: 5)
    for radius in [0, 0.2, 0.5, 0.9] {
      // Undo what scales the step.
      let weights = weights(ConflictAverse(radius: radius), gradients).map {
        $0 * (1 + radius * radius) / Double(tasks)
      }
      let step = Self.sum(weights, gradients)
      let mean = Self.sum([Double](repeating: 1 / Double(tasks), count: tasks), gradients)
      let way = Self.dot(zip(step, mean).map { $0 - $1 }, zip(step, mean).map { $0 - $1 }).squareRoot()
      let bound = radius * Self.dot(mean, mean).squareRoot()
      #expect(abs(way - bound) < 1e-4 * max(bound, 1e-3))
      // No other step of the ball helps the worst task more: steps towards mixtures and at random.
      let worst = gradients.map { Self.dot(step, $0) }.min()!
      let stream = RandomStream(seed: 9)
      for trial in 0..<100 {
        let direction = Self.sum((0..<tasks).map { stream.uniformDouble(trial * tasks + $0) }, gradients)
        let length = Self.dot(direction, direction).squareRoot()
        let other = zip(mean, direction).map { $0 + bound * $1 / length }
        #expect(gradients.map { Self.dot(other, $0) }.min()! <= worst + 1e-4 * abs(worst) + 1e-6)
      }
    }
  }

  @Test(arguments: cases) func alignedGradientsHaveTheConditionOne(_ tasks: Int, _ size: Int, _ leaning: Double) {
    let gram = Self.gram(Self.gradients(tasks, size, leaning: leaning, seed: 6)).scaled(to: Array(0..<tasks)).gram
    let balance = AlignedWeighting.balance(gram)
    // The inner products of the new gradients: B G B.
    var product = GramMatrix(tasks)
    for row in 0..<tasks {
      let right = gram.times((0..<tasks).map { balance[$0, row] })
      for (column, value) in balance.times(right).enumerated() { product[column, row] = value }
    }
    let values = SymmetricEigen(product).values.sorted(by: >)
    let rank = min(tasks, size)
    for value in values[..<rank] { #expect(abs(value - values[0]) < 1e-6 * values[0]) }
    for value in values[rank...] { #expect(abs(value) < 1e-6 * values[0]) }
  }

  /// At a right angle each is made as long as the shortest.
  @Test func alignedOfTwo() {
    let weights = weights(AlignedWeighting(), [[1, 0], [0, 2]])
    #expect(abs(weights[0] - 1) < 1e-12 && abs(weights[1] - 0.5) < 1e-12)
  }

  /// (1, 0) and (-1, 1): each loses its part against the other, (1/2, 1/2) and (0, 1).
  @Test func pcgradOfTwo() {
    let gradients = [[1.0, 0], [-1, 1]]
    let step = Self.sum(weights(ProjectedConflicts(), gradients), gradients)
    #expect(abs(step[0] - 0.5) < 1e-12 && abs(step[1] - 1.5) < 1e-12)
    #expect(weights(ProjectedConflicts(), [[1, 0], [1, 1]]) == [1, 1])
  }

  /// What the authors' algorithm makes of vectors, in the same order.
  @Test(arguments: cases) func pcgradIsTheAlgorithmOnVectors(_ tasks: Int, _ size: Int, _ leaning: Double) {
    let gradients = Self.gradients(tasks, size, leaning: leaning, seed: 7)
    var expected = [Double](repeating: 0, count: size)
    for task in 0..<tasks {
      var projected = gradients[task]
      let stream = RandomStream(
        seed: Self.moment.seed, RandomStream.part("conflicts of task \(task)"), UInt64(Self.moment.iteration))
      for other in stream.permutation(tasks) where other != task {
        let product = Self.dot(projected, gradients[other])
        guard product < 0 else { continue }
        let factor = product / Self.dot(gradients[other], gradients[other])
        projected = zip(projected, gradients[other]).map { $0 - factor * $1 }
      }
      expected = zip(expected, projected).map { $0 + $1 }
    }
    let step = Self.sum(weights(ProjectedConflicts(), gradients), gradients)
    for (a, b) in zip(step, expected) { #expect(abs(a - b) < 1e-9 * Double(tasks)) }
  }

  @Test func gradnormRestsWhereNormsSuitTheRates() {
    // Equal progress: equal weighted norms. |g| = 1 and 4: w = 1.6 and 0.4.
    var weighting = GradientNormalization(tasks: 2, asymmetry: 1.5, rate: 0.025)
    let gram = Self.gram([[1, 0], [0, 4]])
    var weights: [Double] = []
    for _ in 0..<500 { weights = weighting.weights(gram, [2, 3], Self.moment) }
    #expect(abs(weights[0] - 1.6) < 0.05 && abs(weights[1] - 0.4) < 0.05)
    #expect(abs(weights.reduce(0, +) - 2) < 1e-12)
    // At the fixed point nothing moves.
    weighting.state = ["weight": [1.6, 0.4], "first_loss": [2, 3]]
    let still = weighting.weights(gram, [1, 1.5], Self.moment)
    #expect(abs(still[0] - 1.6) < 1e-12 && abs(still[1] - 0.4) < 1e-12)
    // One step by hand: norms 1 and 4, mean 2.5 of each; the first is too short, the second too long.
    weighting.state = ["weight": [1, 1], "first_loss": [2, 3]]
    let step = weighting.weights(gram, [2, 3], Self.moment)
    let (a, b) = (1 + 0.025 / 2.5, 1 - 0.025 * 4 / 2.5)
    #expect(abs(step[0] - 2 * a / (a + b)) < 1e-12 && abs(step[1] - 2 * b / (a + b)) < 1e-12)
    // The task that has learned less is to have the longer gradient.
    weighting.state = ["weight": [1, 1], "first_loss": [2, 3]]
    for _ in 0..<300 { weights = weighting.weights(Self.gram([[1, 0], [0, 1]]), [2, 0.3], Self.moment) }
    #expect(weights[0] > 1.8)
  }
}
