import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// How far predicted points of faces are from where they are: the mean distance over the points of a face, divided by
/// the distance between its eyes.
///
/// Bottoms: predictions and points, N x 2P each, x and y of each point in turn as shares of square pictures. `left_eye` and
/// `right_eye` name the points whose means are the two eyes: centres, or outer corners. Tops: the mean error over the
/// faces, not in percent; optionally the share of faces that fail, their error being above `failure`. Points that are NaN
/// do not count, nor do faces without a known point or whose eyes are not known or in one place. Source: Zhang, Luo, Loy,
/// Tang, Facial landmark detection by deep multi-task learning (ECCV 2014). With `mtl test --plots` the layer draws the
/// cumulative error: the share of faces below each error, up to three times `failure`.
package struct LandmarkError: Layer {
  package static let type = "LandmarkError"
  package static let parameterFields: [String]? = ["landmark_error_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...2
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: LandmarkErrorParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.landmarkErrorParam
    for (eye, name) in [(param.leftEye, "left_eye"), (param.rightEye, "right_eye")] where eye.isEmpty {
      throw fields.fault(
        "\(name) is missing; name the points that it is the mean of, counted from 0", at: "landmark_error_param")
    }
    guard param.failure > 0 else {
      throw fields.fault("failure must be more than 0", at: "landmark_error_param.failure")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let batch = bottoms[0].extent(0)
    guard bottoms[0].count == bottoms[1].count, batch == bottoms[1].extent(0),
      bottoms[0].count % (2 * max(1, batch)) == 0
    else {
      throw fields.fault(
        .badShape,
        "needs x and y of as many points in both bottoms, but they are \(bottoms[0]) and \(bottoms[1])", at: "bottom[1]"
      )
    }
    let points = bottoms[0].count / (2 * max(1, batch))
    for (eye, name) in [(param.leftEye, "left_eye"), (param.rightEye, "right_eye")] {
      if let index = eye.firstIndex(where: { $0 >= points }) {
        throw fields.fault(
          "point \(eye[index]) is not among the \(points), which count from 0",
          at: "landmark_error_param.\(name)[\(index)]")
      }
    }
    return LayerShapes(tops: fields.parameter.top.map { _ in .scalar })
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    GatheringRun(
      Metric(param: param, predictions: binding.bottom(0), truth: binding.bottom(1)),
      binding.topShapes.indices.map { binding.top($0) })
  }

  private struct Metric: GatheringMetric {
    let param: LandmarkErrorParameter
    let predictions: Blob
    let truth: Blob

    /// The error of a face, NaN for one that does not count.
    var width: Int { 1 }

    func gather(into rows: GatheredRows) {
      let batch = truth.shape.extent(0)
      let size = truth.count / max(1, batch)
      for record in 0..<batch {
        rows.append([error(predictions.values + record * size, truth.values + record * size, points: size / 2)])
      }
    }

    private func error(_ predicted: UnsafeMutablePointer<Float>, _ known: UnsafeMutablePointer<Float>, points: Int)
      -> Float
    {
      let (left, right) = (mean(param.leftEye, known), mean(param.rightEye, known))
      let eyes = distance(left, right)
      guard eyes > 0 else { return .nan }
      var (sum, count) = (Float(0), 0)
      for point in 0..<points {
        let place = (known[2 * point], known[2 * point + 1])
        guard !place.0.isNaN, !place.1.isNaN else { continue }
        sum += distance((predicted[2 * point], predicted[2 * point + 1]), place)
        count += 1
      }
      // A prediction that is no number is as wrong as can be, not a missing label.
      if sum.isNaN { return .infinity }
      return count > 0 ? sum / Float(count) / eyes : .nan
    }

    private func mean(_ points: [UInt32], _ known: UnsafeMutablePointer<Float>) -> (Float, Float) {
      let count = Float(points.count)
      return (
        points.reduce(0) { $0 + known[2 * Int($1)] } / count, points.reduce(0) { $0 + known[2 * Int($1) + 1] } / count
      )
    }

    private func distance(_ a: (Float, Float), _ b: (Float, Float)) -> Float {
      ((a.0 - b.0) * (a.0 - b.0) + (a.1 - b.1) * (a.1 - b.1)).squareRoot()
    }

    private func errors(_ rows: GatheredRows) -> [Float] { rows.values.filter { !$0.isNaN } }

    func labelledCount(in rows: GatheredRows) -> Int { errors(rows).count }

    func values(over rows: GatheredRows) -> [[Float]] {
      let errors = errors(rows)
      let count = Double(max(1, errors.count))
      let mean = errors.reduce(0.0) { $0 + Double($1) } / count
      return [[Float(mean)], [Float(Double(errors.count { $0 > param.failure }) / count)]]
    }

    func curves(over rows: GatheredRows) -> [MetricCurve] {
      let errors = errors(rows).sorted()
      let end = 3 * param.failure
      var points: [(x: Float, y: Float)] = [(0, 0)]
      for (index, error) in errors.enumerated() where error <= end {
        points.append((error, Float(index + 1) / Float(errors.count)))
      }
      points.append((end, points.last?.y ?? 0))
      return [
        MetricCurve(
          "cumulative_error", title: "Cumulative error", x: .init("error / distance of the eyes"),
          y: .init("share of faces"), points: points)
      ]
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "five points", inputs: [.uniform([4, 10], 0.2...0.8), .uniform([4, 10], 0.2...0.8)],
      """
      layer { name: "error" type: "LandmarkError" bottom: "in0" bottom: "in1" top: "error" top: "failures"
        landmark_error_param { left_eye: 0 right_eye: 1 failure: 0.9 } }
      """, phase: .test, checksGradient: false),
    LayerExample(
      "eyes of several points", inputs: [.uniform([3, 12], 0.2...0.8), .uniform([3, 12], 0.2...0.8)],
      """
      layer { name: "error" type: "LandmarkError" bottom: "in0" bottom: "in1" top: "error" top: "failures"
        landmark_error_param { left_eye: 0 left_eye: 1 right_eye: 2 right_eye: 3 failure: 0.8 } }
      """, phase: .test, checksGradient: false),
  ]
}
