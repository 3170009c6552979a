import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Cuts the first bottom to the size of the second from `axis` on, starting at `offset`.
///
/// `offset`: none (0), one for all axes from `axis` on, or one for each. Only the second bottom's shape counts, and it
/// takes no gradient.
package struct Crop: Layer {
  package static let type = "Crop"
  package static let parameterFields: [String]? = ["crop_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: CropParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.cropParam
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  /// Where the cut starts on each axis, and the top.
  private func cut(_ bottoms: [Shape]) throws -> (offsets: [Int], top: Shape) {
    let (bottom, model) = (bottoms[0], bottoms[1])
    let start = try bottom.canonicalAxis(Int(param.axis))
    let given = param.offset.map(Int.init)
    guard given.count <= 1 || given.count == bottom.rank - start else {
      throw fields.fault(
        "\(given.count) offset values are given for the \(bottom.rank - start) axes from axis \(start) on; "
          + "give one for all, or one for each",
        at: "crop_param.offset[0]")
    }
    guard model.rank >= bottom.rank else {
      throw fields.fault(.badShape, "the second bottom \(model) has fewer axes than the first, \(bottom)")
    }
    var top = bottom
    var offsets = [Int](repeating: 0, count: bottom.rank)
    for axis in start..<bottom.rank {
      offsets[axis] = given.isEmpty ? 0 : given[given.count == 1 ? 0 : axis - start]
      top[axis] = model[axis]
      guard offsets[axis] + model[axis] <= bottom[axis] else {
        throw fields.fault(
          .badShape,
          "axis \(axis): \(model[axis]) values from offset \(offsets[axis]) on reach beyond the first bottom, \(bottom)",
          at: "crop_param")
      }
    }
    return (offsets, top)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: [try cut(bottoms).top]) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))).map { axis < $0 } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    binding.backwardReads()
    return Run(binding.engine, binding.bottom(0), binding.top(0), try cut(binding.bottomShapes).offsets)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let offsets: [Int]
    /// Values of the top along its last axis, which stay together.
    private let width: Int

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, _ offsets: [Int]) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.offsets = offsets
      width = top.shape.dims.last ?? 1
    }

    /// Where row `row` of the top starts in the bottom.
    private func start(ofRow row: Int) -> Int {
      var rest = row
      var start = offsets.last ?? 0
      var stride = bottom.shape.dims.last ?? 1
      for axis in (0..<max(0, top.shape.rank - 1)).reversed() {
        start += (rest % top.shape[axis] + offsets[axis]) * stride
        rest /= top.shape[axis]
        stride *= bottom.shape[axis]
      }
      return start
    }

    func forward() {
      forEachRow { [bottom, top, width] row, start in
        (top.values + row * width).update(from: bottom.values + start, count: width)
      }
    }

    func backward() {
      bottom.gradients.update(repeating: 0, count: bottom.count)
      forEachRow { [bottom, top, width] row, start in
        (bottom.gradients + start).update(from: top.gradients + row * width, count: width)
      }
    }

    private func forEachRow(_ body: (_ row: Int, _ start: Int) -> Void) {
      guard top.count > 0 else { return }
      engine.parallel(top.count / width, grain: max(1, 4096 / width)) { from, to in
        for row in from..<to { body(row, start(ofRow: row)) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("planes with offsets", [.normal([2, 3, 6, 7]), .normal([2, 3, 4, 5])], "axis: 2 offset: 1 offset: 2"),
    example("one offset", [.normal([1, 2, 5, 5]), .normal([1, 2, 3, 3])], "offset: 2"),
    example("channels too, no offset", [.normal([2, 4, 3]), .normal([2, 2, 2])], "axis: 1"),
  ]

  private static func example(_ name: String, _ inputs: [LayerExample.Input], _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: inputs,
      #"layer { name: "c" type: "Crop" bottom: "in0" bottom: "in1" top: "c" crop_param { \#(param) } }"#)
  }
}
