import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A fully connected layer: top = bottom times weights + bias.
///
/// The axes from `axis` on are flattened to K inputs, those before stay. Weights num_output x K (K x num_output with
/// `transpose`), bias num_output. Of a fork for faces: `normalize` sets the weights of each output to length 1 in every
/// pass (1e-6 is added to the square of the length); their gradient stays that of a plain product. Of
/// another, `min_top_axes` gives the top axes of extent 1 until it has as many.
package struct InnerProduct: JoiningLayer, RefusedLayer {
  package static let type = "InnerProduct"
  package static let parameterFields: [String]? = ["inner_product_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: InnerProductParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.innerProductParam
    guard param.numOutput > 0 else {
      throw fields.fault("num_output must be at least 1", at: "inner_product_param.num_output")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let axis = try bottoms[0].canonicalAxis(Int(param.axis))
    let outputs = Int(param.numOutput)
    let inputs = bottoms[0].count(axis...)
    guard inputs > 0 else { throw fields.fault(.badShape, "the bottom is \(bottoms[0]) and has no values to connect") }
    var parameters = [
      ParameterDefinition(
        name: "weights", shape: param.transpose ? [inputs, outputs] : [outputs, inputs], filler: param.weightFiller)
    ]
    if param.biasTerm { parameters.append(.init(name: "bias", shape: [outputs], filler: param.biasFiller)) }
    let top = Array(bottoms[0].dims[..<axis]) + [outputs]
    let more = [Int](repeating: 1, count: max(0, min(Int(param.minTopAxes), 32) - top.count))
    return LayerShapes(tops: [Shape(top + more)], parameters: parameters)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))).map { axis < $0 } == true ? .all : nil
  }

  package func multiplyAdds(of bottoms: [Shape]) throws -> Int { bottoms[0].count * Int(param.numOutput) }

  /// Copying many weights would cost more than the steps that are saved.
  private static let mostJoined = 128

  package func joins(_ other: any Layer) -> Bool {
    guard let other = other as? InnerProduct else { return false }
    return [self, other].allSatisfy {
      !$0.param.transpose && !$0.param.normalize && !$0.param.enableNoise && !$0.param.hasSigmaInit
        && $0.param.numOutput <= Self.mostJoined
    } && param.axis == other.param.axis && param.biasTerm == other.param.biasTerm
  }

  package var refusal: Diagnostic? {
    fields.refusal(param.enableNoise, "inner_product_param.enable_noise", "the weights are used as they are")
      ?? fields.refusal(param.hasSigmaInit, "inner_product_param.sigma_init", "the weights are used as they are")
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if !binding.followers.isEmpty {
      let all = [self] + binding.followers.compactMap { $0.definition as? InnerProduct }
      return try JoinedInnerProducts(
        binding, axis: binding.bottomShapes[0].canonicalAxis(Int(param.axis)),
        outputs: all.map { Int($0.param.numOutput) }, hasBias: param.biasTerm)
    }
    if let refusal { throw refusal }
    let shape = binding.bottomShapes[0]
    let axis = try shape.canonicalAxis(Int(param.axis))
    let learns = binding.runsBackward && binding.learns.contains(true)
    let op = try binding.engine.innerProduct(
      InnerProductDescription(
        bottomShape: shape, rows: shape.count(..<axis), inputs: shape.count(axis...), outputs: Int(param.numOutput),
        hasBias: param.biasTerm, isTransposed: param.transpose, learns: learns,
        bottomGradient: binding.wantsGradient(0)))
    let bottom = binding.bottom(0, in: op.bottomLayout)
    let top = binding.top(0)
    binding.backwardReads(bottoms: learns ? [bottom] : [])
    let scratch = binding.scratch(op.scratchByteCount)
    let factors =
      learns && !binding.learns.contains(false) && op.bottomLayout == .plain
        && ProductFactors.pay(tasks: binding.taskCount, rows: shape.count(..<axis), inputs: shape.count(axis...), top)
      ? ProductFactors(binding, rows: shape.count(..<axis), bottom, top) : nil
    return Run(
      op, bottom, top, binding.parameters, normalization: param.normalize ? (param.transpose, binding.engine) : nil,
      learns: learns, multiplyAdds: top.count * shape.count(axis...), scratch: scratch, factors: factors)
  }

  private final class Run: DescribedRun, FactoredRun {
    private let op: any InnerProductOp
    private let bottom: Blob
    private let top: Blob
    private let weights: Parameter
    private let bias: Parameter?
    /// Given when weights are set to length 1.
    private let normalization: (isTransposed: Bool, engine: any Engine)?
    private let learns: Bool
    private let scratch: Region
    private let factors: ProductFactors?
    let multiplyAdds: (forward: Int, backward: Int)

    init(
      _ op: any InnerProductOp, _ bottom: Blob, _ top: Blob, _ parameters: [Parameter],
      normalization: (isTransposed: Bool, engine: any Engine)?, learns: Bool, multiplyAdds: Int, scratch: Region,
      factors: ProductFactors?
    ) {
      self.op = op
      self.factors = factors
      self.bottom = bottom
      self.top = top
      self.normalization = normalization
      self.learns = learns
      self.multiplyAdds = (multiplyAdds, multiplyAdds * ((learns ? 1 : 0) + (bottom.hasGradient ? 1 : 0)))
      self.scratch = scratch
      weights = parameters[0]
      bias = parameters.count > 1 ? parameters[1] : nil
    }

    var implementation: String { op.implementation }

    func forward() {
      if let normalization { normalizeRows(of: weights, normalization.isTransposed, normalization.engine) }
      op.forward(bottom: bottom.data, weights: weights, bias: bias, top: top.values, scratch: scratch.pointer)
    }

    func backward() {
      if learns { backwardParameters(top.gradients) }
      backwardBottoms()
    }

    private func backwardParameters(_ topGradient: UnsafePointer<Float>) {
      op.backwardParameters(
        bottom: bottom.data, topGradient: topGradient, weights: weights, bias: bias, scratch: scratch.pointer)
    }

    func backwardBottoms() {
      guard bottom.hasGradient else { return }
      op.backwardData(
        topGradient: top.gradients, weights: weights, bottomGradient: bottom.gradient, scratch: scratch.pointer)
    }

    var factored: [Parameter] { factors == nil ? [] : [weights] + [bias].compactMap { $0 } }

    func compare(tasks count: Int, select: (Int) -> Void, _ found: (Int, Int, Double) -> Void) {
      factors?.compare(tasks: count, hasBias: bias != nil, select: select, found)
    }

    func combine(tasks count: Int, select: (Int) -> Void, weight: (Int) -> Float) {
      guard let factors else { return }
      backwardParameters(factors.combine(tasks: count, select: select, weight: weight))
    }
  }

  package static let examples: [LayerExample] = [
    example("four axes flattened", [3, 2, 3, 2], "num_output: 5"),
    example("transposed", [4, 6], "num_output: 3 transpose: true"),
    example("weights of length 1", [4, 6], "num_output: 3 normalize: true", checksGradient: false),
    example("with more axes", [4, 6], "num_output: 3 min_top_axes: 4"),
    example("from axis 2", [2, 3, 5], "num_output: 4 axis: 2"),
    example("without bias", [1, 7], "num_output: 2 bias_term: false"),
  ]

  private static func example(
    _ name: String, _ shape: Shape, _ param: String, checksGradient: Bool = true
  ) -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      """
      layer { name: "ip" type: "InnerProduct" bottom: "in0" top: "ip" inner_product_param { \(param)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """, checksGradient: checksGradient)
  }
}

/// Sets each row of a matrix, or each column, to length 1.
func normalizeRows(of weights: Parameter, _ isTransposed: Bool, _ engine: any Engine) {
  let (rows, width) = (weights.shape[isTransposed ? 1 : 0], weights.shape[isTransposed ? 0 : 1])
  let (rowStep, step) = isTransposed ? (1, rows) : (width, 1)
  engine.parallel(rows, grain: max(1, 4096 / max(1, width))) { from, to in
    for row in from..<to {
      let values = weights.values + row * rowStep
      var square: Float = 0
      for i in 0..<width { square += values[i * step] * values[i * step] }
      let factor = 1 / (square + 1e-6).squareRoot()
      for i in 0..<width { values[i * step] *= factor }
    }
  }
  weights.touch()
}
