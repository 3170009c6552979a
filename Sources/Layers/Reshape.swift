import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The same values under another shape: `shape` takes the place of `num_axes` axes of the bottom from `axis` on.
///
/// In `shape`, 0 copies the bottom's extent at that place and -1, given once at most, takes what is left. `axis` -1
/// means behind the last axis; `num_axes` -1 means all the rest.
package struct Reshape: Layer {
  package static let type = "Reshape"
  package static let parameterFields: [String]? = ["reshape_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ReshapeParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.reshapeParam
    try fields.refuse(
      param.pixelshuffler != 1, "reshape_param.pixelshuffler", "use Reshape, Permute and Reshape, or Reorg")
    let dims = param.shape.dim
    guard dims.filter({ $0 == -1 }).count <= 1 else {
      throw fields.fault("only one extent can be -1", at: "reshape_param.shape")
    }
    if let bad = dims.first(where: { $0 < -1 || $0 > Int64(Int32.max) }) {
      throw fields.fault("a blob cannot have extent \(bad)", at: "reshape_param.shape")
    }
    guard param.numAxes >= -1 else {
      throw fields.fault("num_axes must be -1 (all) or more; it is \(param.numAxes)", at: "reshape_param.num_axes")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    let start = param.axis >= 0 ? Int(param.axis) : bottom.rank + Int(param.axis) + 1
    guard (0...bottom.rank).contains(start) else {
      throw fields.fault(
        .badShape, "axis \(param.axis) is out of range: the bottom is \(bottom), which has \(bottom.rank) axes",
        at: "reshape_param.axis")
    }
    let end = param.numAxes == -1 ? bottom.rank : start + Int(param.numAxes)
    guard end <= bottom.rank else {
      throw fields.fault(
        .badShape, "num_axes \(param.numAxes) from axis \(start) on reaches beyond the bottom \(bottom)",
        at: "reshape_param.num_axes")
    }
    var middle = param.shape.dim.map(Int.init)
    for (index, dim) in middle.enumerated() where dim == 0 {
      guard start + index < bottom.rank else {
        throw fields.fault(
          .badShape, "extent 0 copies axis \(start + index), which the bottom \(bottom) does not have",
          at: "reshape_param.shape.dim[\(index)]")
      }
      middle[index] = bottom[start + index]
    }
    let (before, after) = (Array(bottom.dims[..<start]), Array(bottom.dims[end...]))
    if let open = param.shape.dim.firstIndex(of: -1) {
      middle[open] = 1
      let known = Shape(before + middle + after).count
      guard known > 0 ? bottom.count % known == 0 : bottom.count == 0 else {
        throw fields.fault(
          .badShape, "the \(bottom.count) values of \(bottom) cannot be divided by the given extents, \(known)",
          at: "reshape_param.shape")
      }
      middle[open] = known > 0 ? bottom.count / known : 0
    }
    let top = Shape(before + middle + after)
    guard top.count == bottom.count else {
      throw fields.fault(
        .badShape, "the top \(top) would have \(top.count) values, but the bottom \(bottom) has \(bottom.count)",
        at: "reshape_param.shape")
    }
    return LayerShapes(tops: [top])
  }

  /// The extents up to the axis stay.
  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    let top = try? shapes(of: bottoms).tops[0]
    return top.map { $0.rank > axis && $0.dims[...axis] == bottoms[0].dims[...axis] } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    _ = binding.topViewing(binding.bottom(0), 0)
    binding.backwardReads()
    return ViewRun()
  }

  package static let examples: [LayerExample] = [
    example("whole", "shape { dim: 0 dim: -1 dim: 5 }"),
    example("two axes in the middle", "shape { dim: 2 dim: -1 } axis: 1 num_axes: 2"),
    example("an axis at the end", "shape { dim: 1 } axis: -1"),
    example("an axis at the front", "shape { dim: 1 } num_axes: 0"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 3, 4, 5])],
      #"layer { name: "r" type: "Reshape" bottom: "in0" top: "r" reshape_param { \#(param) } }"#)
  }
}
