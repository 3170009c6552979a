import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Cuts the bottom along `axis` into its tops: evenly, or at the given `slice_point` indices.
///
/// How one label vector becomes a label blob for each task: N x 5 with slice points 1 2 3 4 gives five blobs N x 1.
package struct Slice: Layer {
  package static let type = "Slice"
  package static let parameterFields: [String]? = ["slice_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...Int.max

  private let fields: LayerFields
  private let param: SliceParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.sliceParam
    if param.hasAxis, param.hasSliceDim, Int(param.axis) != Int(param.sliceDim) {
      throw fields.fault("give either axis or the older slice_dim", at: "slice_param.slice_dim")
    }
    let tops = fields.parameter.top.count
    guard param.slicePoint.isEmpty || param.slicePoint.count == tops - 1 else {
      throw fields.fault(
        "\(tops) tops need \(tops - 1) slice_point values, but \(param.slicePoint.count) are given",
        at: "slice_param.slice_point[0]")
    }
  }

  private func axis(_ bottom: Shape) throws -> Int {
    try bottom.canonicalAxis(param.hasSliceDim ? Int(param.sliceDim) : Int(param.axis))
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let axis = try axis(bottoms[0])
    let extent = bottoms[0][axis]
    let tops = fields.parameter.top.count
    var points = param.slicePoint.map(Int.init)
    if points.isEmpty {
      guard extent % tops == 0 else {
        throw fields.fault(
          .badShape,
          "axis \(axis) of the bottom \(bottoms[0]) cannot be cut evenly into \(tops) tops; give slice_point",
          at: "slice_param")
      }
      points = (1..<max(1, tops)).map { $0 * extent / tops }
    }
    let ends = points + [extent]
    var start = 0
    var shapes: [Shape] = []
    for (index, end) in ends.enumerated() {
      guard end > start else {
        throw fields.fault(
          .badShape,
          index < points.count
            ? "slice_point \(end) must be larger than \(start), where its piece starts"
            : "slice_point \(start) leaves nothing for the last top: axis \(axis) of the bottom is \(extent)",
          at: "slice_param.slice_point[\(min(index, max(0, points.count - 1)))]")
      }
      var shape = bottoms[0]
      shape[axis] = end - start
      shapes.append(shape)
      start = end
    }
    return LayerShapes(tops: shapes)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? self.axis(bottoms[0])) == axis ? nil : .all
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    binding.backwardReads()
    if binding.topShapes.count == 1 {
      _ = binding.topViewing(bottom, 0)
      return ViewRun()
    }
    let axis = try axis(binding.bottomShapes[0])
    return Run(bottom, binding.topShapes.indices.map { binding.top($0) }, axis: axis)
  }

  private final class Run: LayerRun {
    private let bottom: Blob
    private let tops: [Blob]
    private let outer: Int
    /// Elements of the bottom per outer index, and of each top.
    private let width: Int
    private let widths: [Int]

    init(_ bottom: Blob, _ tops: [Blob], axis: Int) {
      self.bottom = bottom
      self.tops = tops
      outer = bottom.shape.count(..<axis)
      width = bottom.shape.count(axis...)
      widths = tops.map { $0.shape.count(axis...) }
    }

    func forward() {
      var start = 0
      for (top, width) in zip(tops, widths) {
        for o in 0..<outer {
          (top.values + o * width).update(from: bottom.values + o * self.width + start, count: width)
        }
        start += width
      }
    }

    func backward() {
      var start = 0
      for (top, width) in zip(tops, widths) {
        for o in 0..<outer {
          let part = bottom.gradients + o * self.width + start
          if top.hasGradient {
            part.update(from: top.gradients + o * width, count: width)
          } else {
            part.update(repeating: 0, count: width)
          }
        }
        start += width
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "in the older form", inputs: [.normal([2, 3, 5])],
      #"layer { name: "s" type: "Slice" bottom: "in0" top: "a" top: "b" slice_param { slice_dim: 2 slice_point: 3 } }"#),
    LayerExample(
      "evenly", inputs: [.normal([2, 6, 3])],
      #"layer { name: "s" type: "Slice" bottom: "in0" top: "a" top: "b" top: "c" }"#),
    LayerExample(
      "at points of axis 2", inputs: [.normal([2, 3, 5])],
      """
      layer { name: "s" type: "Slice" bottom: "in0" top: "a" top: "b" top: "c"
        slice_param { axis: 2 slice_point: 1 slice_point: 4 } }
      """),
  ]
}
