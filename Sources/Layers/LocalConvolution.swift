import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A convolution whose weights differ from place to place (a locally connected layer).
///
/// Bottom N x C x H x W, top N x num_output x H' x W' with H' = (H + 2 pad - kernel) / stride + 1, rounded down. Weights
/// num_output x 1 x (C kernel kernel) x (H' W'), bias 1 x 1 x num_output x (H' W'), as in happynear's fork, where the type
/// is called Local. With `share_region` R, places of one R x R square of the top share weights, the locally shared
/// convolution of DeepID2 (Sun, Wang, Tang, NIPS 2014): there are ceil(H' / R) ceil(W' / R) in place of H' W'.
package struct LocalConvolution: Layer {
  package static let type = "LocalConvolution"
  package static let parameterFields: [String]? = ["local_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: LocalParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.localParam
    guard param.numOutput > 0, param.kernelSize > 0, param.stride > 0, param.shareRegion > 0 else {
      throw fields.fault("num_output, kernel_size, stride and share_region must be at least 1", at: "local_param")
    }
  }

  /// The squares of places that share weights, along an axis of this many places.
  private func regions(_ places: Int) -> Int { (places - 1) / Int(param.shareRegion) + 1 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    let (kernel, stride, pad) = (Int(param.kernelSize), Int(param.stride), Int(param.pad))
    guard bottom.rank == 4, bottom[2] + 2 * pad >= kernel, bottom[3] + 2 * pad >= kernel else {
      throw fields.fault(
        .badShape,
        "needs a bottom N x C x H x W of at least kernel_size \(kernel) with its padding, but it is \(bottom)")
    }
    let (height, width) = ((bottom[2] + 2 * pad - kernel) / stride + 1, (bottom[3] + 2 * pad - kernel) / stride + 1)
    let outputs = Int(param.numOutput)
    let regions = regions(height) * regions(width)
    var parameters = [
      ParameterDefinition(
        name: "weights", shape: [outputs, 1, bottom[1] * kernel * kernel, regions], filler: param.weightFiller)
    ]
    if param.biasTerm {
      parameters.append(.init(name: "bias", shape: [1, 1, outputs, regions], filler: param.biasFiller))
    }
    return LayerShapes(tops: [[bottom[0], outputs, height, width]], parameters: parameters)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    let learns = binding.runsBackward && binding.learns.contains(true)
    binding.backwardReads(bottoms: learns ? [bottom] : [])
    return Run(binding, param, bottom, top)
  }

  /// The places of each square that shares weights form one matrix product over the whole batch.
  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let weights: Parameter
    private let bias: Parameter?
    private let learns: [Bool]
    private let kernel: Int
    private let stride: Int
    private let pad: Int
    private let outputs: Int
    private let taps: Int
    /// The places of each square.
    private let squares: [[Int]]
    /// Of one square: weights outputs x taps; the values that they meet, taps x (images places); and outputs x (images
    /// places).
    private let weightMatrix: Region
    private let columnMatrix: Region
    private let topMatrix: Region

    init(_ binding: LayerBinding, _ param: LocalParameter, _ bottom: Blob, _ top: Blob) {
      engine = binding.engine
      self.bottom = bottom
      self.top = top
      weights = binding.parameters[0]
      bias = param.biasTerm ? binding.parameters[1] : nil
      learns = binding.learns
      (kernel, stride, pad) = (Int(param.kernelSize), Int(param.stride), Int(param.pad))
      (outputs, taps) = (weights.shape[0], weights.shape[2])
      let (height, width, side) = (top.shape[2], top.shape[3], Int(param.shareRegion))
      squares = Swift.stride(from: 0, to: height, by: side).flatMap { y in
        Swift.stride(from: 0, to: width, by: side).map { x in
          (y..<min(height, y + side)).flatMap { row in (x..<min(width, x + side)).map { row * width + $0 } }
        }
      }
      let most = top.shape[0] * (squares.map(\.count).max() ?? 0)
      func scratch(_ count: Int) -> Region { binding.scratch(count * MemoryLayout<Float>.stride) }
      (weightMatrix, columnMatrix, topMatrix) = (scratch(outputs * taps), scratch(taps * most), scratch(outputs * most))
    }

    private func floats(_ region: Region) -> UnsafeMutablePointer<Float> {
      region.pointer.assumingMemoryBound(to: Float.self)
    }

    private func gatherWeights(_ square: Int) {
      let (matrix, all, count) = (floats(weightMatrix), weights.values + square, squares.count)
      for i in 0..<(outputs * taps) { matrix[i] = all[i * count] }
    }

    /// Calls `body` for the taps of some channels at all places of a square, with the index of the column matrix and that
    /// of the bottom's value, or nil in the padding.
    @inline(__always)
    private func forEachTap(_ square: Int, channels: Range<Int>, _ body: (_ column: Int, _ value: Int?) -> Void) {
      let (height, width, topWidth) = (bottom.shape[2], bottom.shape[3], top.shape[3])
      let (images, size) = (bottom.shape[0], bottom.shape.count(1...))
      var column = channels.lowerBound * kernel * kernel * images * squares[square].count
      for channel in channels {
        for tap in 0..<(kernel * kernel) {
          for image in 0..<images {
            for place in squares[square] {
              let y = place / topWidth * stride - pad + tap / kernel
              let x = place % topWidth * stride - pad + tap % kernel
              let isInside = y >= 0 && y < height && x >= 0 && x < width
              body(column, isInside ? image * size + (channel * height + y) * width + x : nil)
              column += 1
            }
          }
        }
      }
    }

    private func gatherColumns(_ square: Int) {
      let (columns, values) = (floats(columnMatrix), bottom.values)
      engine.parallel(bottom.shape[1], grain: 1) { from, to in
        forEachTap(square, channels: from..<to) { columns[$0] = $1.map { values[$0] } ?? 0 }
      }
    }

    /// Calls `body` with each index of the top matrix, that of the top's value, and the output that it is of.
    @inline(__always)
    private func forEachTop(_ square: Int, _ body: (_ matrix: Int, _ value: Int, _ output: Int) -> Void) {
      let places = top.shape[2] * top.shape[3]
      var index = 0
      for output in 0..<outputs {
        for image in 0..<top.shape[0] {
          for place in squares[square] {
            body(index, (image * outputs + output) * places + place, output)
            index += 1
          }
        }
      }
    }

    private func product(_ square: Int) -> Int { top.shape[0] * squares[square].count }

    func forward() {
      guard top.count > 0 else { return }
      for square in squares.indices {
        gatherWeights(square)
        gatherColumns(square)
        engine.multiply(
          MatrixProduct(m: outputs, n: product(square), k: taps), floats(weightMatrix), floats(columnMatrix),
          floats(topMatrix))
        let (matrix, y, bias, count) = (floats(topMatrix), top.values, bias?.values, squares.count)
        forEachTop(square) { y[$1] = matrix[$0] + (bias?[$2 * count + square] ?? 0) }
      }
    }

    func backward() {
      if learns[0] { weights.accumulate { addWeightGradient($0, isFirst: $1) } }
      if let bias, learns[1] {
        bias.accumulate { sums, isFirst in
          if isFirst { sums.update(repeating: 0, count: bias.count) }
          let (dy, count) = (top.gradients, squares.count)
          for square in squares.indices { forEachTop(square) { sums[$2 * count + square] += dy[$1] } }
        }
      }
      guard bottom.hasGradient else { return }
      bottom.gradients.update(repeating: 0, count: bottom.count)
      guard top.count > 0 else { return }
      for square in squares.indices {
        gatherWeights(square)
        gatherTopGradients(square)
        engine.multiply(
          MatrixProduct(m: taps, n: product(square), k: outputs, transposeA: true), floats(weightMatrix),
          floats(topMatrix), floats(columnMatrix))
        let (columns, dx) = (floats(columnMatrix), bottom.gradients)
        // The taps of a channel alone meet its values.
        engine.parallel(bottom.shape[1], grain: 1) { from, to in
          forEachTap(square, channels: from..<to) { if let value = $1 { dx[value] += columns[$0] } }
        }
      }
    }

    private func gatherTopGradients(_ square: Int) {
      let (matrix, dy) = (floats(topMatrix), top.gradients)
      forEachTop(square) { index, value, _ in matrix[index] = dy[value] }
    }

    private func addWeightGradient(_ sums: UnsafeMutablePointer<Float>, isFirst: Bool) {
      if isFirst { sums.update(repeating: 0, count: weights.count) }
      guard top.count > 0 else { return }
      for square in squares.indices {
        gatherColumns(square)
        gatherTopGradients(square)
        engine.multiply(
          MatrixProduct(m: outputs, n: taps, k: product(square), transposeB: true), floats(topMatrix),
          floats(columnMatrix), floats(weightMatrix))
        let (matrix, all, count) = (floats(weightMatrix), sums + square, squares.count)
        for i in 0..<(outputs * taps) { all[i * count] += matrix[i] }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("3x3 with padding", [2, 2, 4, 5], "num_output: 3 kernel_size: 3 pad: 1"),
    example("stride 2 without bias", [3, 1, 5, 6], "num_output: 2 kernel_size: 2 stride: 2 bias_term: false"),
    example("shared in 2x2 squares", [2, 2, 5, 6], "num_output: 3 kernel_size: 3 share_region: 2"),
  ]

  private static func example(_ name: String, _ shape: Shape, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      """
      layer { name: "l" type: "LocalConvolution" bottom: "in0" top: "l" local_param { \(param)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """)
  }
}
