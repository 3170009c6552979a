import Tasks
import Testing

/// The rule of task-wise stopping against values computed by hand.
@Suite struct StoppingRuleTests {
  private static func rule(
    _ measure: StoppingRule.Measure = .relative, window: Int = 4, smoothing: Int = 1, tests: Int = 1, min: Int = 0
  ) -> StoppingRule {
    StoppingRule(
      measure: measure, window: window, smoothing: smoothing, tests: tests, minIterations: min, threshold: 3,
      thresholds: ["slow": 9],
      testNet: 0)
  }

  private static func trained(_ losses: [Float], _ rule: StoppingRule) -> StoppingState {
    var state = StoppingState()
    for loss in losses { state.add(trainingLoss: loss, rule) }
    return state
  }

  /// Of 4, 2, 2, 2 the median is 2 and the sum 10: 8 / (10 - 8) = 4. The validation loss rises from 1 to 1.5 with the
  /// weight 0.5: 0.5 / (0.5 x 1) = 1.
  @Test func isTheFormulaOfThePaper() {
    let rule = Self.rule(.paper)
    var state = Self.trained([9, 4, 2, 2, 2], rule)
    let first = state.add(validationLoss: 1, weight: 0.5, threshold: 3, iteration: 10, rule)
    #expect(!first && state.value == 0)
    let second = state.add(validationLoss: 1.5, weight: 0.5, threshold: 3, iteration: 20, rule)
    #expect(second && state.value == 4)
    #expect(state.stoppedAt == 20)
    let third = state.add(validationLoss: 9, weight: 0.5, threshold: 3, iteration: 30, rule)
    #expect(!third && state.stoppedAt == 20)
  }

  /// Without the weight 4 x 0.5 = 2, whatever the weight.
  @Test(arguments: [0.0005, 0.5, 40] as [Float])
  func theWeightCountsForNothingUnlessThePaperIsMeant(_ weight: Float) {
    let rule = Self.rule()
    var state = Self.trained([9, 4, 2, 2, 2], rule)
    _ = state.add(validationLoss: 1, weight: weight, threshold: 1.5, iteration: 10, rule)
    let stops = state.add(validationLoss: 1.5, weight: weight, threshold: 1.5, iteration: 20, rule)
    #expect(stops && state.value == 2)
  }

  /// Mean below the median: the paper's first factor is below zero. Mean and median alike: it is infinite.
  @Test func thePapersTendencyHasNoBounds() {
    let rule = Self.rule(.paper)
    for (losses, isAbove) in [([1, 2, 2, 2], false), ([2, 2, 2, 2], true)] as [([Float], Bool)] {
      var state = Self.trained(losses, rule)
      _ = state.add(validationLoss: 1, weight: 1, threshold: 3, iteration: 1, rule)
      #expect(state.value == 0)
      let stops = state.add(validationLoss: 1.01, weight: 1, threshold: 3, iteration: 2, rule)
      #expect(stops == isAbove && state.value?.isFinite == true)
    }
  }

  @Test func knowsTheBestTest() {
    var state = StoppingState()
    #expect(
      [2, 1.5, .nan, 1.75, 1.5, 1.25].map { state.isBest(validationLoss: $0) } == [
        true, true, false, false, false, true,
      ])
  }

  /// Where the paper's first factor is infinite or below zero, it is at its highest.
  @Test(arguments: [[2, 2, 2, 2], [1, 2, 2, 2], [1, 2, 3, 4]] as [[Float]])
  func aLossThatDoesNotFallGivesTheHighestTendency(_ losses: [Float]) {
    let rule = Self.rule()
    var state = Self.trained(losses, rule)
    _ = state.add(validationLoss: 1, weight: 1, threshold: 0, iteration: 1, rule)
    _ = state.add(validationLoss: 1.25, weight: 1, threshold: 0, iteration: 2, rule)
    #expect(state.value == 2.5)
  }

  /// One bad test is noise.
  @Test func waitsForTestsInARowAndForTheLeastIterations() {
    let rule = Self.rule(tests: 2, min: 50)
    var state = Self.trained([2, 2, 2, 2], rule)
    func test(_ loss: Float, _ iteration: Int) -> Bool {
      state.add(validationLoss: loss, weight: 1, threshold: 3, iteration: iteration, rule)
    }
    #expect(!test(1, 10))
    #expect(!test(2, 20))
    #expect(!test(1, 30))
    #expect(!test(2, 40))
    #expect(test(2, 50))
  }

  /// The mean of two tests: 1.5, 1.25, 2; the lowest is 1.25.
  @Test func smoothsTheValidationLoss() {
    let rule = Self.rule(smoothing: 2)
    var state = Self.trained([2, 2, 2, 2], rule)
    for (loss, value) in [(2, nil), (1, 0), (1.5, 0), (2.5, 6)] as [(Float, Float?)] {
      _ = state.add(validationLoss: loss, weight: 1, threshold: 0, iteration: 1, rule)
      #expect(state.value == value)
    }
    #expect(state.stoppedAt == nil)
  }

  @Test func needsAWholeWindow() {
    let rule = Self.rule()
    var state = Self.trained([2, 2, .nan, 2], rule)
    _ = state.add(validationLoss: 1, weight: 1, threshold: 3, iteration: 1, rule)
    let stops = state.add(validationLoss: 5, weight: 1, threshold: 3, iteration: 2, rule)
    #expect(!stops && state.value == nil)
  }

  @Test func tasksHaveThresholdsOfTheirOwn() {
    #expect(Self.rule().threshold(ofTask: "slow") == 9)
    #expect(Self.rule().threshold(ofTask: "other") == 3)
  }
}
