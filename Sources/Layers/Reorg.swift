import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Depth from space, as the passthrough of YOLO v2 has it (Redmon, Farhadi, CVPR 2017): N x C x H x W becomes N x
/// C s^2 x H/s x W/s, s being `stride`; `reverse` goes the other way, N x C/s^2 x H s x W s.
///
/// The order is Darknet's, which takes the bottom for a blob of C/s^2 channels and planes s times as high and wide: value
/// ((dy s + dx) C/s^2 + c, y, x) of the top's memory, in the bottom's extents, is value (c, y s + dy, x s + dx) of that.
/// C must therefore be a multiple of s^2 either way.
package struct Reorg: Layer {
  package static let type = "Reorg"
  package static let parameterFields: [String]? = ["reorg_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let stride: Int

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    stride = Int(fields.parameter.reorgParam.stride)
    guard stride > 0 else { throw fields.fault("stride must be at least 1", at: "reorg_param.stride") }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    let square = stride * stride
    guard bottom.rank == 4, bottom[1] % square == 0 else {
      throw fields.fault(
        .badShape,
        "needs a bottom of 4 axes whose channels are a multiple of stride^2 = \(square), but it is \(bottom)",
        at: "reorg_param.stride")
    }
    if fields.parameter.reorgParam.reverse {
      return LayerShapes(tops: [[bottom[0], bottom[1] / square, bottom[2] * stride, bottom[3] * stride]])
    }
    guard bottom[2] % stride == 0, bottom[3] % stride == 0 else {
      throw fields.fault(
        .badShape, "the planes of the bottom \(bottom) are no multiple of stride \(stride)", at: "reorg_param.stride")
    }
    return LayerShapes(tops: [[bottom[0], bottom[1] * square, bottom[2] / stride, bottom[3] / stride]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let b = binding.bottomShapes[0]
    let depth = b[1] / (stride * stride)
    if fields.parameter.reorgParam.reverse {
      // The top (n, c, y, dy, x, dx) of the bottom (n, dy, dx, c, y, x).
      return Rearrangement([b[0], stride, stride, depth, b[2], b[3]]).permuted([0, 3, 4, 1, 5, 2]).bind(binding)
    }
    // The top (n, dy, dx, c, y, x) of the bottom (n, c, y, dy, x, dx).
    return Rearrangement([b[0], depth, b[2], stride, b[3], stride]).permuted([0, 3, 5, 1, 2, 4]).bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "depth from space", inputs: [.normal([2, 4, 4, 6])],
      #"layer { name: "r" type: "Reorg" bottom: "in0" top: "r" reorg_param { stride: 2 } }"#),
    LayerExample(
      "space from depth", inputs: [.normal([2, 8, 2, 3])],
      #"layer { name: "r" type: "Reorg" bottom: "in0" top: "r" reorg_param { stride: 2 reverse: true } }"#),
  ]
}
