import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Lays the windows of a convolution out as channels: top[n, (c, tap), position] = bottom[n, c, the tap's place].
///
/// Bottom N x C x (1 to 3 spatial axes), top N x (C kernel taps) x (the convolution's spatial extents); what lies in the
/// padding is 0. The fields are those of `convolution_param`.
package struct Im2col: Layer {
  package static let type = "Im2col"
  package static let parameterFields: [String]? = ["convolution_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let window: WindowFields

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    window = try WindowFields(fields)
    try window.refuseForks(isTransposed: false)
    let param = fields.parameter.convolutionParam
    for (isGiven, name) in [
      (param.hasNumOutput, "num_output"), (param.hasBiasTerm, "bias_term"), (param.hasGroup, "group"),
      (param.hasWeightFiller, "weight_filler"), (param.hasBiasFiller, "bias_filler"),
    ] {
      try fields.refuse(isGiven, "convolution_param.\(name)", "an Im2col layer has no weights; leave it out")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    let axis = try bottom.canonicalAxis(Int(fields.parameter.convolutionParam.axis))
    let extents = Array(bottom.dims[(axis + 1)...])
    guard (1...3).contains(extents.count) else {
      throw fields.fault(
        .badShape, "needs 1 to 3 spatial axes behind channel axis \(axis), but the bottom is \(bottom)")
    }
    let window = try window.window(axes: extents.count)
    var top = bottom
    top[axis] *= window.kernel.reduce(1, *)
    for (index, extent) in extents.enumerated() {
      let span = extent + window.pad[index] + window.padAfter[index] - window.reach[index]
      let windows = span / window.stride[index] + 1
      guard windows > 0 else {
        throw fields.fault(
          .badShape, "kernel_size \(Shape(window.reach)) is larger than its padded input, of the bottom \(bottom)",
          at: "convolution_param.kernel_size")
      }
      top[axis + 1 + index] = windows
    }
    return LayerShapes(tops: [top])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(fields.parameter.convolutionParam.axis))).map { axis < $0 } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let axis = try binding.bottomShapes[0].canonicalAxis(Int(fields.parameter.convolutionParam.axis))
    let window = try window.window(axes: binding.bottomShapes[0].rank - axis - 1)
    binding.backwardReads()
    return Run(binding.engine, binding.bottom(0), binding.top(0), window, axis: axis)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    /// Of three axes, the first ones 1 where the bottom has fewer.
    private let kernel: [Int]
    private let stride: [Int]
    private let pad: [Int]
    private let dilation: [Int]
    private let extents: [Int]
    private let topExtents: [Int]

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, _ window: SpatialWindow, axis: Int) {
      func three(_ values: [Int], _ filling: Int) -> [Int] {
        [Int](repeating: filling, count: 3 - values.count) + values
      }
      self.engine = engine
      self.bottom = bottom
      self.top = top
      kernel = three(window.kernel, 1)
      stride = three(window.stride, 1)
      pad = three(window.pad, 0)
      dilation = three(window.dilation, 1)
      extents = three(Array(bottom.shape.dims[(axis + 1)...]), 1)
      topExtents = three(Array(top.shape.dims[(axis + 1)...]), 1)
    }

    func forward() {
      let (x, y) = (bottom.values, top.values)
      forEachPosition(
        found: { from, to in y[to] = x[from] },
        outside: { y[$0] = 0 })
    }

    func backward() {
      let (dx, dy) = (bottom.gradients, top.gradients)
      dx.update(repeating: 0, count: bottom.count)
      forEachPosition(found: { from, to in dx[from] += dy[to] }, outside: { _ in })
    }

    /// Calls `found` with the indices of each pair that meets, and `outside` for those of the top that meet padding.
    @inline(__always)
    private func forEachPosition(found: (_ bottom: Int, _ top: Int) -> Void, outside: (_ top: Int) -> Void) {
      let plane = extents.reduce(1, *)
      let topPlane = topExtents.reduce(1, *)
      let taps = kernel.reduce(1, *)
      engine.parallel(plane == 0 ? 0 : bottom.count / plane, grain: max(1, 4096 / max(1, taps * topPlane))) {
        from, to in
        for channel in from..<to {
          for tap in 0..<taps {
            let (k0, k1, k2) = (tap / (kernel[1] * kernel[2]), tap / kernel[2] % kernel[1], tap % kernel[2])
            var at = (channel * taps + tap) * topPlane
            for p0 in 0..<topExtents[0] {
              let i0 = p0 * stride[0] - pad[0] + k0 * dilation[0]
              for p1 in 0..<topExtents[1] {
                let i1 = p1 * stride[1] - pad[1] + k1 * dilation[1]
                let isInside = i0 >= 0 && i0 < extents[0] && i1 >= 0 && i1 < extents[1]
                let row = ((channel * extents[0] + i0) * extents[1] + i1) * extents[2]
                var i2 = k2 * dilation[2] - pad[2]
                for _ in 0..<topExtents[2] {
                  if isInside, i2 >= 0, i2 < extents[2] { found(row + i2, at) } else { outside(at) }
                  i2 += stride[2]
                  at += 1
                }
              }
            }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("3x3, stride 2, padding", [2, 2, 5, 6], "kernel_size: 3 stride: 2 pad: 1"),
    example("dilated", [1, 2, 6, 5], "kernel_h: 2 kernel_w: 3 dilation: 2"),
    example("one axis", [2, 3, 7], "kernel_size: 3"),
    example("three axes", [1, 2, 3, 4, 3], "kernel_size: 2 pad: 1"),
  ]

  private static func example(_ name: String, _ shape: Shape, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      #"layer { name: "i" type: "Im2col" bottom: "in0" top: "i" convolution_param { \#(param) } }"#)
  }
}
