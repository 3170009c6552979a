import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The elementwise sum (with `coeff`), product or maximum of two or more bottoms of one shape.
package struct Eltwise: AbsorbingLayer {
  package static let type = "Eltwise"
  package static let parameterFields: [String]? = ["eltwise_param"]
  package static let bottomCount = 2...Int.max
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: EltwiseParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.eltwiseParam
    try fields.refuse(
      param.allowSingleBatchInput, "eltwise_param.allow_single_batch_input", "all bottoms have one shape; use Tile")
    guard param.coeff.isEmpty || param.coeff.count == fields.parameter.bottom.count else {
      throw fields.fault(
        "\(param.coeff.count) coeff values are given for \(fields.parameter.bottom.count) bottoms; give one per bottom",
        at: "eltwise_param.coeff[0]")
    }
    guard param.coeff.isEmpty || param.operation == .sum else {
      throw fields.fault("coeff goes with operation SUM only", at: "eltwise_param.coeff[0]")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if let index = bottoms.firstIndex(where: { $0 != bottoms[0] }) {
      throw fields.fault(
        .badShape,
        "all bottoms must have one shape, but bottom 0 is \(bottoms[0]) and bottom \(index) is \(bottoms[index])")
    }
    return LayerShapes(tops: [bottoms[0]])
  }

  /// Whether it is the sum of two bottoms as they are.
  var isPlainSum: Bool {
    param.operation == .sum && fields.parameter.bottom.count == 2 && param.coeff.allSatisfy { $0 == 1 }
  }

  package func absorbs(_ followers: [FollowingLayer]) -> Int {
    guard param.operation == .sum, let rectifier = followers.first?.definition as? ReLU, rectifier.isPlain else {
      return 0
    }
    return 1
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    param.operation == .sum ? try bindSum(binding) : bindLoop(binding)
  }

  private func bindSum(_ binding: LayerBinding) throws -> any LayerRun {
    let count = binding.bottomShapes.count
    let coefficients = param.coeff.isEmpty ? [Float](repeating: 1, count: count) : param.coeff
    let shape = binding.bottomShapes[0]
    let rectifies = !binding.followers.isEmpty
    let op = try binding.engine.sum(
      SumDescription(shape: shape, coefficients: coefficients, rectifies: rectifies), bottom: binding.bottomLayout(0))
    let rectifier =
      rectifies ? try binding.engine.rectifier(RectifierDescription(shape: shape), layout: op.layout) : nil
    let back = try coefficients.map {
      try binding.engine.sum(SumDescription(shape: shape, coefficients: [$0]), bottom: op.layout)
    }
    let bottoms = (0..<count).map { binding.bottom($0, in: op.layout) }
    let top = binding.top(0, in: op.layout)
    binding.backwardReads(tops: rectifies ? [top] : [])
    // Times another number it would be changed before the others have read it.
    if coefficients[0] == 1 { binding.allowInPlace(bottoms[0], top) }
    let run = SumRun(op, rectifier, back, coefficients, bottoms, top)
    if let first = run.first {
      for index in bottoms.indices where index != first && coefficients[index] == coefficients[first] {
        binding.allowSharedGradient(bottoms[first], bottoms[index])
      }
    }
    return run
  }

  private func bindLoop(_ binding: LayerBinding) -> any LayerRun {
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    let top = binding.top(0)
    if param.operation == .prod {
      binding.backwardReads(bottoms: bottoms, tops: param.stableProdGrad ? [] : [top])
      return ProductRun(binding.engine, bottoms, top, isStable: param.stableProdGrad)
    }
    binding.backwardReads()
    return MaximumRun(
      binding.engine, bottoms, top, winner: binding.workspace(top.count * MemoryLayout<Int32>.stride))
  }

  private final class SumRun: DescribedRun {
    private let op: any SumOp
    private let rectifier: (any RectifierOp)?
    private let back: [any SumOp]
    private let coefficients: [Float]
    private let bottoms: [Blob]
    private let top: Blob
    private let pointers: PointerList
    /// The bottom whose gradient is made first.
    let first: Int?

    init(
      _ op: any SumOp, _ rectifier: (any RectifierOp)?, _ back: [any SumOp], _ coefficients: [Float],
      _ bottoms: [Blob], _ top: Blob
    ) {
      self.op = op
      self.rectifier = rectifier
      self.back = back
      self.coefficients = coefficients
      self.bottoms = bottoms
      self.top = top
      pointers = PointerList(bottoms.count)
      // What is rectified first must not be multiplied before the others have it.
      first =
        bottoms.indices.first { bottoms[$0].hasGradient && coefficients[$0] == 1 }
        ?? (rectifier == nil ? bottoms.firstIndex { $0.hasGradient } : nil)
    }

    var implementation: String { op.implementation }

    func forward() {
      for (index, bottom) in bottoms.enumerated() { pointers[index] = bottom.data }
      op.forward(bottoms: pointers.base, top: top.data)
    }

    func backward() {
      guard let first else { return backwardEach() }
      make(bottoms[first], coefficient: first)
      for (index, bottom) in bottoms.enumerated() where index != first && bottom.hasGradient {
        if bottom.gradient == bottoms[first].gradient { continue }
        if coefficients[first] == 1 {
          pointers[0] = bottoms[first].gradient
          back[index].forward(bottoms: pointers.base, top: bottom.gradient)
        } else {
          make(bottom, coefficient: index)
        }
      }
    }

    /// No coefficient is 1 and the top was rectified: each gradient by itself.
    private func backwardEach() {
      for (index, bottom) in bottoms.enumerated() where bottom.hasGradient { make(bottom, coefficient: index) }
    }

    private func make(_ bottom: Blob, coefficient index: Int) {
      if let rectifier {
        rectifier.backward(reference: top.data, topGradient: top.gradient, bottomGradient: bottom.gradient)
        pointers[0] = bottom.gradient
        if coefficients[index] != 1 { back[index].forward(bottoms: pointers.base, top: bottom.gradient) }
      } else if bottom.gradient != top.gradient || coefficients[index] != 1 {
        pointers[0] = top.gradient
        back[index].forward(bottoms: pointers.base, top: bottom.gradient)
      }
    }
  }

  private final class ProductRun: LayerRun {
    private let engine: any Engine
    private let bottoms: [Blob]
    private let top: Blob
    private let isStable: Bool

    init(_ engine: any Engine, _ bottoms: [Blob], _ top: Blob, isStable: Bool) {
      self.engine = engine
      self.bottoms = bottoms
      self.top = top
      self.isStable = isStable
    }

    func forward() {
      engine.vectors.multiply(top.count, bottoms[0].values, bottoms[1].values, top.values)
      for bottom in bottoms.dropFirst(2) { engine.vectors.multiply(top.count, top.values, bottom.values, top.values) }
    }

    /// The gradient of a factor is the product of the others, computed as such when stable, else as top / factor.
    func backward() {
      let dy = top.gradients
      for (index, bottom) in bottoms.enumerated() where bottom.hasGradient {
        let dx = bottom.gradients
        if isStable {
          engine.vectors.axpby(top.count, 1, dy, 0, dx)
          for (other, factor) in bottoms.enumerated() where other != index {
            engine.vectors.multiply(top.count, dx, factor.values, dx)
          }
        } else {
          let x = bottom.values
          let y = top.values
          engine.parallel(top.count, grain: 4096) { from, to in
            for i in from..<to { dx[i] = y[i] / x[i] * dy[i] }
          }
        }
      }
    }
  }

  private final class MaximumRun: LayerRun {
    private let engine: any Engine
    private let bottoms: [Blob]
    private let top: Blob
    private let winner: Region

    init(_ engine: any Engine, _ bottoms: [Blob], _ top: Blob, winner: Region) {
      self.engine = engine
      self.bottoms = bottoms
      self.top = top
      self.winner = winner
    }

    /// Of equal values the second bottom's wins over the first's, and no later one's, as in Caffe; NaN wins over
    /// everything.
    func forward() {
      let y = top.values
      let index = winner.pointer.assumingMemoryBound(to: Int32.self)
      y.update(from: bottoms[0].values, count: top.count)
      index.update(repeating: 0, count: top.count)
      for k in 1..<bottoms.count {
        let x = bottoms[k].values
        engine.parallel(top.count, grain: 4096) { from, to in
          for i in from..<to where x[i] > y[i] || (k == 1 && x[i] == y[i]) || (x[i].isNaN && !y[i].isNaN) {
            y[i] = x[i]
            index[i] = Int32(k)
          }
        }
      }
    }

    func backward() {
      let dy = top.gradients
      let index = winner.pointer.assumingMemoryBound(to: Int32.self)
      for (k, bottom) in bottoms.enumerated() where bottom.hasGradient {
        let dx = bottom.gradients
        engine.parallel(top.count, grain: 4096) { from, to in
          for i in from..<to { dx[i] = index[i] == Int32(k) ? dy[i] : 0 }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("sum", "", [.normal([2, 3, 4]), .normal([2, 3, 4])]),
    example("sum with coefficients", "coeff: 2 coeff: -0.5", [.normal([2, 16, 3, 3]), .normal([2, 16, 3, 3])]),
    example("product", "operation: PROD", [.normal([2, 5]), .normal([2, 5])]),
    example(
      "product by division", "operation: PROD stable_prod_grad: false",
      [.normalAway([2, 5], from: 0), .normalAway([2, 5], from: 0)]),
    example("maximum", "operation: MAX", [.uniform([3, 4], 0...1), .uniform([3, 4], 2...3)]),
  ]

  private static func example(_ name: String, _ param: String, _ inputs: [LayerExample.Input]) -> LayerExample {
    LayerExample(
      name, inputs: inputs,
      #"layer { name: "e" type: "Eltwise" bottom: "in0" bottom: "in1" top: "e" eltwise_param { \#(param) } }"#)
  }
}
