import Compute
import ComputeCases
import Tensors
import Testing

/// What every engine promises beyond its numbers; see `Engine`.
@Suite struct ContractTests {
  /// A product with a beta adds to what was there.
  static let overwriting = OpCase.small.filter { opCase in
    if case .product(let product) = opCase.operation { product.beta == 0 } else { true }
  }

  /// Every run is loaded with NaN in all that a pass must write, and each pass is run twice.
  @Test(arguments: TestedEngine.allCases, overwriting)
  func topsAndBottomGradientsAreOverwritten(_ engine: TestedEngine, _ opCase: OpCase) throws {
    let run = try OpRun(opCase, on: engine.make())
    run.load(opCase.inputs())
    for pass in run.passes where pass != .backwardParameters {
      run.run(pass)
      let first = run.results(of: pass)
      run.run(pass)
      for (result, again) in zip(first, run.results(of: pass)) {
        #expect(result.values.allSatisfy { $0.isFinite }, "\(result.name)")
        #expect(result.values == again.values, "\(result.name)")
      }
    }
  }

  @Test(arguments: TestedEngine.allCases, OpCase.small.filter { $0.weightShape != nil })
  func parameterGradientsAreAddedUp(_ engine: TestedEngine, _ opCase: OpCase) throws {
    let run = try OpRun(opCase, on: engine.make())
    run.load(opCase.inputs())
    guard run.passes.contains(.backwardParameters) else { return }
    run.run(.forward)
    run.run(.backwardParameters)
    let once = run.results(of: .backwardParameters)
    #expect(once.contains { $0.values.contains { $0 != 0 } })
    run.run(.backwardParameters)
    for (single, double) in zip(once, run.results(of: .backwardParameters)) {
      let fault = discrepancy(double.values, from: single.values.map { 2 * $0 }, tolerance: 1e-5)
      #expect(fault == nil, "\(single.name)")
    }
    // Loading clears the gradients: the next addition overwrites.
    run.load(opCase.inputs())
    run.run(.forward)
    run.run(.backwardParameters)
    for (single, again) in zip(once, run.results(of: .backwardParameters)) {
      #expect(single.values == again.values, "\(single.name)")
    }
  }

  @Test(arguments: TestedEngine.allCases, OpCase.small.filter { !$0.inPlacePasses.isEmpty })
  func inPlaceEqualsOutOfPlace(_ engine: TestedEngine, _ opCase: OpCase) throws {
    let apart = try OpRun(opCase, on: engine.make())
    let inPlace = try OpRun(opCase, on: engine.make(), isInPlace: true)
    #expect(inPlace.passes == opCase.inPlacePasses)
    let inputs = opCase.inputs()
    apart.load(inputs)
    inPlace.load(inputs)
    for pass in inPlace.passes {
      apart.run(pass)
      inPlace.run(pass)
      for (result, expected) in zip(inPlace.results(of: pass), apart.results(of: pass)) {
        #expect(discrepancy(result.values, from: expected.values, tolerance: 0) == nil, "\(result.name)")
      }
    }
  }

  /// A softmax over one channel is 1 whatever it reads, and a normalised value may be rectified to 0 in either case.
  static let dependingOnTheirBottoms = OpCase.small.filter { opCase in
    switch opCase.operation {
    case .softmax(let softmax): softmax.channels > 1
    case .batchNorm(let norm): !norm.rectifies
    case .convolution(let convolution): !convolution.rectifies
    default: true
    }
  }

  /// A NaN in the bottom makes NaN of exactly those tops that change when the element becomes very large.
  @Test(arguments: TestedEngine.allCases, dependingOnTheirBottoms)
  func nanReachesWhatDependsOnIt(_ engine: TestedEngine, _ opCase: OpCase) throws {
    let run = try OpRun(opCase, on: engine.make())
    let inputs = opCase.inputs()
    func tops(bottom: Int, element: Int, value: Float) -> [Float] {
      var changed = inputs
      changed.bottoms[bottom][element] = value
      run.load(changed)
      run.run(.forward)
      return run.results(of: .forward)[0].values
    }
    for bottom in inputs.bottoms.indices {
      let count = inputs.bottoms[bottom].count
      for element in Set([0, count / 2, count - 1]) {
        let base = tops(bottom: bottom, element: element, value: inputs.bottoms[bottom][element])
        let large = tops(bottom: bottom, element: element, value: 1000)
        let nan = tops(bottom: bottom, element: element, value: .nan)
        for index in base.indices {
          if base[index] != large[index] {
            #expect(nan[index].isNaN, "element \(element) of bottom \(bottom), top \(index)")
          } else {
            #expect(nan[index] == base[index], "element \(element) of bottom \(bottom), top \(index)")
          }
        }
      }
    }
  }

  /// Weights can learn while the bias does not, and the other way round.
  @Test(arguments: TestedEngine.allCases, [(1, 0), (0, 1)] as [(Float, Float)])
  func gradientsAreMadeOnlyForWhatLearns(_ engine: TestedEngine, _ rates: (weights: Float, bias: Float)) throws {
    let engine = try engine.make()
    let convolution = try engine.convolution(
      ConvolutionDescription(
        batch: 1, bottomChannels: 1, topChannels: 1, bottomExtents: [2, 2], topExtents: [2, 2], kernel: [1, 1],
        stride: [1, 1], padBefore: [0, 0], dilation: [1, 1], hasBias: true))
    let product = try engine.innerProduct(
      InnerProductDescription(bottomShape: [1, 4], rows: 1, inputs: 4, outputs: 4, hasBias: true))
    let bottom = Memory(byteCount: max(16, convolution.bottomLayout.byteCount(for: [1, 1, 2, 2])))
    let topGradient = Memory(byteCount: max(16, convolution.topLayout.byteCount(for: [1, 1, 2, 2])))
    let scratch = Memory(byteCount: max(convolution.scratchByteCount, product.scratchByteCount))
    for (weightShape, biasShape) in [([1, 1, 1, 1], [1]), ([4, 4], [4])] as [(Shape, Shape)] {
      let weights = Parameter(shape: weightShape, learningRateMultiplier: rates.weights)
      let bias = Parameter(shape: biasShape, learningRateMultiplier: rates.bias)
      if weightShape.rank == 4 {
        convolution.backwardParameters(
          bottom: bottom.base, topGradient: topGradient.base, weights: weights, bias: bias, scratch: scratch.base)
      } else {
        product.backwardParameters(
          bottom: bottom.base, topGradient: topGradient.base.assumingMemoryBound(to: Float.self), weights: weights,
          bias: bias, scratch: scratch.base)
      }
      #expect(weights.gradientIsClear == (rates.weights == 0))
      #expect(bias.gradientIsClear == (rates.bias == 0))
    }
  }

  @Test(arguments: TestedEngine.allCases, [0, 1, 7, 64, 1000])
  func parallelCoversTheRangeOnce(_ engine: TestedEngine, _ count: Int) throws {
    let engine = try engine.make()
    let grain = 10
    let memory = Memory(byteCount: (count + 1) * MemoryLayout<Int>.stride)
    nonisolated(unsafe) let visits = memory.base.assumingMemoryBound(to: Int.self)
    engine.parallel(count, grain: grain) { from, to in
      if to - from < min(grain, count) { visits[count] += 1 }
      for i in from..<to { visits[i] += 1 }
    }
    #expect((0..<count).allSatisfy { visits[$0] == 1 })
    #expect(visits[count] == 0, "a piece is smaller than the grain")
  }
}
