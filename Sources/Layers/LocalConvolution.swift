import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A convolution whose weights differ from place to place (a locally connected layer).
///
/// Bottom N x C x H x W, top N x num_output x H' x W' with H' = (H + 2 pad - kernel) / stride + 1, rounded down. Weights
/// num_output x 1 x (C kernel kernel) x (H' W'), bias 1 x 1 x num_output x (H' W'), as in happynear's fork, where the type
/// is called Local.
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
    guard param.numOutput > 0, param.kernelSize > 0, param.stride > 0 else {
      throw fields.fault("num_output, kernel_size and stride must be at least 1", at: "local_param")
    }
  }

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
    var parameters = [
      ParameterDefinition(
        name: "weights", shape: [outputs, 1, bottom[1] * kernel * kernel, height * width], filler: param.weightFiller)
    ]
    if param.biasTerm {
      parameters.append(.init(name: "bias", shape: [1, 1, outputs, height * width], filler: param.biasFiller))
    }
    return LayerShapes(tops: [[bottom[0], outputs, height, width]], parameters: parameters)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    let learns = binding.runsBackward && binding.learns.contains(true)
    binding.backwardReads(bottoms: learns ? [bottom] : [])
    let columns = binding.parameters[0].shape[2] * binding.parameters[0].shape[3]
    return Run(binding, param, bottom, top, columns: binding.scratch(columns * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let weights: Parameter
    private let bias: Parameter?
    private let learns: [Bool]
    /// Of one image: for each tap of the kernel, the values that it meets at all places.
    private let columns: Region
    private let kernel: Int
    private let stride: Int
    private let pad: Int
    private let taps: Int
    private let places: Int
    private let outputs: Int

    init(_ binding: LayerBinding, _ param: LocalParameter, _ bottom: Blob, _ top: Blob, columns: Region) {
      engine = binding.engine
      self.bottom = bottom
      self.top = top
      weights = binding.parameters[0]
      bias = param.biasTerm ? binding.parameters[1] : nil
      learns = binding.learns
      self.columns = columns
      (kernel, stride, pad) = (Int(param.kernelSize), Int(param.stride), Int(param.pad))
      (taps, places, outputs) = (weights.shape[2], weights.shape[3], weights.shape[0])
    }

    private var column: UnsafeMutablePointer<Float> { columns.pointer.assumingMemoryBound(to: Float.self) }

    /// Calls `body` with the index of each column's element and that of the image's value there, -1 in the padding.
    @inline(__always)
    private func forEachTap(_ body: (_ column: Int, _ image: Int) -> Void) {
      let (height, width) = (bottom.shape[2], bottom.shape[3])
      let topWidth = top.shape[3]
      for tap in 0..<taps {
        let (c, ky, kx) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel)
        for place in 0..<places {
          let y = place / topWidth * stride - pad + ky
          let x = place % topWidth * stride - pad + kx
          let isInside = y >= 0 && y < height && x >= 0 && x < width
          body(tap * places + place, isInside ? (c * height + y) * width + x : -1)
        }
      }
    }

    private func gather(_ image: Int) {
      let (values, column) = (bottom.values + image * bottom.shape.count(1...), column)
      forEachTap { column[$0] = $1 < 0 ? 0 : values[$1] }
    }

    func forward() {
      for image in 0..<bottom.shape[0] {
        gather(image)
        let (column, taps, places) = (column, taps, places)
        engine.parallel(outputs, grain: max(1, 4096 / max(1, taps * places))) {
          [weights, bias, top, outputs] from, to in
          for output in from..<to {
            let y = top.values + (image * outputs + output) * places
            if let bias {
              y.update(from: bias.values + output * places, count: places)
            } else {
              y.update(repeating: 0, count: places)
            }
            for tap in 0..<taps {
              let (w, x) = (weights.values + (output * taps + tap) * places, column + tap * places)
              for i in 0..<places { y[i] += w[i] * x[i] }
            }
          }
        }
      }
    }

    func backward() {
      if learns[0] { weights.accumulate { addWeightGradient($0, isFirst: $1) } }
      if let bias, learns[1] {
        bias.accumulate { sums, isFirst in
          if isFirst { sums.update(repeating: 0, count: bias.count) }
          for image in 0..<top.shape[0] {
            let dy = top.gradients + image * bias.count
            for i in 0..<bias.count { sums[i] += dy[i] }
          }
        }
      }
      guard bottom.hasGradient else { return }
      let width = bottom.shape.count(1...)
      for image in 0..<bottom.shape[0] {
        let column = column
        column.update(repeating: 0, count: taps * places)
        for output in 0..<outputs {
          let dy = top.gradients + (image * outputs + output) * places
          for tap in 0..<taps {
            let (w, dx) = (weights.values + (output * taps + tap) * places, column + tap * places)
            for i in 0..<places { dx[i] += w[i] * dy[i] }
          }
        }
        let gradients = bottom.gradients + image * width
        gradients.update(repeating: 0, count: width)
        forEachTap { if $1 >= 0 { gradients[$1] += column[$0] } }
      }
    }

    private func addWeightGradient(_ sums: UnsafeMutablePointer<Float>, isFirst: Bool) {
      if isFirst { sums.update(repeating: 0, count: weights.count) }
      for image in 0..<bottom.shape[0] {
        gather(image)
        let (column, taps, places) = (column, taps, places)
        engine.parallel(outputs, grain: max(1, 4096 / max(1, taps * places))) { [top, outputs] from, to in
          for output in from..<to {
            let dy = top.gradients + (image * outputs + output) * places
            for tap in 0..<taps {
              let (sum, x) = (sums + (output * taps + tap) * places, column + tap * places)
              for i in 0..<places { sum[i] += x[i] * dy[i] }
            }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("3x3 with padding", [2, 2, 4, 5], "num_output: 3 kernel_size: 3 pad: 1"),
    example("stride 2 without bias", [3, 1, 5, 6], "num_output: 2 kernel_size: 2 stride: 2 bias_term: false"),
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
