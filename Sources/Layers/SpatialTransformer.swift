import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// Planes sampled at places that the net predicts (Jaderberg, Simonyan, Zisserman, Kavukcuoglu, NIPS 2015; the layer of
/// daerduoCarey that forks of Caffe took over).
///
/// Bottoms: N x C x H x W, and theta N x 6, the rows (a, b, c) and (d, e, f) of an affine map; those that `theta_1_1` …
/// `theta_2_3` give are left out of it. Top N x C x `output_H` x `output_W` (H x W unless given). The value at row i and
/// column j comes from row (a u + b v + c + 1) H / 2 and column (d u + e v + f + 1) W / 2 with u = 2 i / output_H - 1 and v
/// = 2 j / output_W - 1, bilinear, 0 beyond the border. Both bottoms take a gradient, the planes
/// unless `to_compute_dU` is false. Other values of `transform_type` than
/// affine belong to a fork that counts its grid in another way, and are refused.
package struct SpatialTransformer: RefusedLayer {
  package static let type = "SpatialTransformer"
  package static let parameterFields: [String]? = ["st_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: SpatialTransformerParameter
  /// By the order in theta; nil for those that the second bottom has.
  private let fixed: [Float?]

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.stParam
    fixed = [
      param.hasTheta11 ? param.theta11 : nil, param.hasTheta12 ? param.theta12 : nil,
      param.hasTheta13 ? param.theta13 : nil, param.hasTheta21 ? param.theta21 : nil,
      param.hasTheta22 ? param.theta22 : nil, param.hasTheta23 ? param.theta23 : nil,
    ]
  }

  package var refusal: Diagnostic? {
    if param.transformType != "affine" {
      return fields.fault(
        .unsupported, "transform_type '\(param.transformType)' is not supported: give an affine map",
        at: "st_param.transform_type")
    }
    guard param.samplerType != "bilinear" else { return nil }
    return fields.fault(
      .unsupported, "sampler_type '\(param.samplerType)' is not supported: values are interpolated (bilinear)",
      at: "st_param.sampler_type")
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 1 || !param.hasToComputeDU || param.toComputeDU }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank == 4, bottoms[0].count(2...) > 0, bottoms[1].extent(0) == bottoms[0][0] else {
      throw fields.fault(
        .badShape, "needs planes N x C x H x W and a map for each record, but they are \(bottoms[0]) and \(bottoms[1])")
    }
    let wanted = fixed.filter { $0 == nil }.count
    guard refusal != nil || bottoms[1].count == wanted * bottoms[0][0] else {
      throw fields.fault(
        .badShape,
        "an affine map has 6 numbers, \(wanted) of them not given by st_param, but the maps are \(bottoms[1])",
        at: "bottom[1]")
    }
    let height = param.hasOutputH ? Int(param.outputH) : bottoms[0][2]
    let width = param.hasOutputW ? Int(param.outputW) : bottoms[0][3]
    guard height > 0, width > 0 else { throw fields.fault("output_H and output_W must be at least 1", at: "st_param") }
    return LayerShapes(tops: [[bottoms[0][0], bottoms[0][1], height, width]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    return Run(bottoms[0], bottoms[1], binding.top(0), fixed)
  }

  private final class Run: LayerRun {
    private let planes: Blob
    private let theta: Blob
    private let top: Blob
    private let fixed: [Float?]
    /// Where each open number lies in theta.
    private let places: [Int?]
    private let openCount: Int
    private var map = [Float](repeating: 0, count: 6)
    private var slopes = [Double](repeating: 0, count: 6)

    init(_ planes: Blob, _ theta: Blob, _ top: Blob, _ fixed: [Float?]) {
      self.planes = planes
      self.theta = theta
      self.top = top
      self.fixed = fixed
      var next = 0
      places = fixed.map { value in
        guard value == nil else { return nil }
        next += 1
        return next - 1
      }
      openCount = next
    }

    private var height: Int { planes.shape[2] }
    private var width: Int { planes.shape[3] }

    private func readMap(_ record: Int) {
      for i in 0..<6 { map[i] = fixed[i] ?? theta.values[record * openCount + (places[i] ?? 0)] }
    }

    /// The place of a top's position: its grid (u, v), and the row and column that it is sampled at.
    private func place(_ i: Int, _ j: Int) -> (u: Float, v: Float, row: Float, column: Float) {
      let u = 2 * Float(i) / Float(top.shape[2]) - 1
      let v = 2 * Float(j) / Float(top.shape[3]) - 1
      return (
        u, v, (map[0] * u + map[1] * v + map[2] + 1) * Float(height) / 2,
        (map[3] * u + map[4] * v + map[5] + 1) * Float(width) / 2
      )
    }

    /// The four neighbours of a place that lie in the plane, with their weights and the weights' slopes by row and column.
    private func forEachNeighbour(
      _ row: Float, _ column: Float, _ body: (_ at: Int, _ weight: Float, _ byRow: Float, _ byColumn: Float) -> Void
    ) {
      // Whatever is far off, or no number, has no neighbours.
      guard row > -1, row < Float(height), column > -1, column < Float(width) else { return }
      let (top, left) = (Int(floorf(row)), Int(floorf(column)))
      let (down, right) = (row - Float(top), column - Float(left))
      for (m, vertical, rowSlope) in [(top, 1 - down, Float(-1)), (top + 1, down, Float(1))] where m >= 0 && m < height
      {
        for (n, horizontal, columnSlope) in [(left, 1 - right, Float(-1)), (left + 1, right, Float(1))]
        where n >= 0 && n < width {
          body(m * width + n, vertical * horizontal, rowSlope * horizontal, columnSlope * vertical)
        }
      }
    }

    func forward() {
      let channels = planes.shape[1]
      let (plane, topPlane) = (height * width, top.shape[2] * top.shape[3])
      top.values.update(repeating: 0, count: top.count)
      for record in 0..<planes.shape[0] {
        readMap(record)
        for position in 0..<topPlane {
          let at = place(position / top.shape[3], position % top.shape[3])
          forEachNeighbour(at.row, at.column) { neighbour, weight, _, _ in
            for c in record * channels..<(record + 1) * channels {
              top.values[c * topPlane + position] += weight * planes.values[c * plane + neighbour]
            }
          }
        }
      }
    }

    func backward() {
      let channels = planes.shape[1]
      let (plane, topPlane) = (height * width, top.shape[2] * top.shape[3])
      let dy = top.gradients
      if planes.hasGradient { planes.gradients.update(repeating: 0, count: planes.count) }
      for record in 0..<planes.shape[0] {
        readMap(record)
        for i in 0..<6 { slopes[i] = 0 }
        for position in 0..<topPlane {
          let at = place(position / top.shape[3], position % top.shape[3])
          var (byRow, byColumn) = (Float(0), Float(0))
          forEachNeighbour(at.row, at.column) { neighbour, weight, rowSlope, columnSlope in
            for c in record * channels..<(record + 1) * channels {
              let (gradient, value) = (dy[c * topPlane + position], planes.values[c * plane + neighbour])
              byRow += gradient * value * rowSlope
              byColumn += gradient * value * columnSlope
              if planes.hasGradient { planes.gradients[c * plane + neighbour] += gradient * weight }
            }
          }
          byRow *= Float(height) / 2
          byColumn *= Float(width) / 2
          for (i, slope) in [byRow * at.u, byRow * at.v, byRow, byColumn * at.u, byColumn * at.v, byColumn].enumerated()
          {
            slopes[i] += Double(slope)
          }
        }
        guard theta.hasGradient else { continue }
        for i in 0..<6 { if let open = places[i] { theta.gradients[record * openCount + open] = Float(slopes[i]) } }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "affine", inputs: [.normal([2, 2, 4, 5]), .uniform([2, 6], 0.11...0.62)],
      """
      layer { name: "s" type: "SpatialTransformer" bottom: "in0" bottom: "in1" top: "s"
        st_param { output_H: 3 output_W: 4 } }
      """, checksGradient: false),
    LayerExample(
      "shifted alone", inputs: [.normal([1, 2, 4, 4]), .uniform([1, 2], 0.05...0.2)],
      """
      layer { name: "s" type: "SpatialTransformer" bottom: "in0" bottom: "in1" top: "s"
        st_param { theta_1_1: 0.9 theta_1_2: 0 theta_2_1: 0 theta_2_2: 0.9 } }
      """),
    LayerExample(
      "without a gradient of the planes", inputs: [.normal([1, 2, 4, 4]), .uniform([1, 2], 0.05...0.2)],
      """
      layer { name: "s" type: "SpatialTransformer" bottom: "in0" bottom: "in1" top: "s"
        st_param { theta_1_1: 0.9 theta_1_2: 0 theta_2_1: 0 theta_2_2: 0.9 to_compute_dU: false } }
      """),
  ]
}
