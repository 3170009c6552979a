import CaffeSchema
import Diagnostics
import Glibc
import Tensors

/// How a parameter starts. Fan-in is count / dim 0, fan-out is count / dim 1 (dim 0 for a vector), as in the format.
package struct Filler {
  private let field: FillerParameter

  /// The types that the format knows.
  private static let types = [
    "constant", "uniform", "gaussian", "xavier", "msra", "positive_unitball", "bilinear",
  ]

  /// - Throws: `badParameter` for an unknown type or parameters that make no sense.
  package init(_ field: FillerParameter) throws {
    self.field = field
    guard Filler.types.contains(field.type) else {
      let meant = nearestName(to: field.type, among: Filler.types).map { "; did you mean '\($0)'?" } ?? ""
      throw Diagnostic(
        .badParameter,
        "unknown filler type '\(field.type)'\(meant) (known: \(Filler.types.joined(separator: ", ")))")
    }
    if field.hasSparse, field.sparse >= 0, field.type != "gaussian" {
      throw Diagnostic(.badParameter, "filler field 'sparse' goes with type 'gaussian' only")
    }
    if field.type == "uniform", field.min > field.max {
      throw Diagnostic(.badParameter, "filler min \(field.min) is larger than max \(field.max)")
    }
  }

  /// Writes the start values, the same for the same stream.
  package func fill(_ parameter: Parameter, _ stream: RandomStream) throws {
    try fill(parameter.values, parameter.shape, stream)
    parameter.touch()
  }

  package func fill(_ values: UnsafeMutablePointer<Float>, _ shape: Shape, _ stream: RandomStream) throws {
    let count = shape.count
    switch field.type {
    case "constant":
      values.update(repeating: field.value, count: count)
    case "uniform":
      uniform(values, count, field.min, field.max, stream)
    case "gaussian":
      gaussian(values, count, shape, stream)
    case "xavier":
      // Glorot, Bengio, AISTATS 2010: variance 1 / n, n the fan-in unless variance_norm says otherwise.
      let limit = (3 / fan(shape)).squareRoot()
      uniform(values, count, -limit, limit, stream)
    case "msra":
      // He, Zhang, Ren, Sun, ICCV 2015: variance 2 / n.
      let deviation = Double((2 / fan(shape)).squareRoot())
      for i in 0..<count { values[i] = Float(stream.normal(i) * deviation) }
    case "positive_unitball":
      positiveUnitBall(values, shape, stream)
    default:
      try bilinear(values, shape)
    }
  }

  private func fan(_ shape: Shape) -> Float {
    let fanIn = Float(shape.count) / Float(max(1, shape.extent(0)))
    let fanOut = shape.rank > 1 ? Float(shape.count) / Float(max(1, shape[1])) : Float(shape.count)
    switch field.varianceNorm {
    case .fanIn: return fanIn
    case .fanOut: return fanOut
    case .average: return (fanIn + fanOut) / 2
    }
  }

  private func uniform(
    _ values: UnsafeMutablePointer<Float>, _ count: Int, _ low: Float, _ high: Float, _ stream: RandomStream
  ) {
    for i in 0..<count { values[i] = low + (high - low) * stream.uniform(i) }
  }

  /// With `sparse` s, each value is kept with probability s / (number of outputs), 0 otherwise.
  private func gaussian(
    _ values: UnsafeMutablePointer<Float>, _ count: Int, _ shape: Shape, _ stream: RandomStream
  ) {
    for i in 0..<count { values[i] = Float(Double(field.mean) + Double(field.std) * stream.normal(i)) }
    guard field.sparse >= 0 else { return }
    let kept = Float(field.sparse) / Float(max(1, shape.extent(0)))
    for i in 0..<count where stream.uniform(2 * count + i) >= kept { values[i] = 0 }
  }

  /// Uniform in [0, 1), each slice of dim 0 scaled to the sum 1.
  private func positiveUnitBall(_ values: UnsafeMutablePointer<Float>, _ shape: Shape, _ stream: RandomStream) {
    let rows = max(1, shape.extent(0))
    let length = shape.count / rows
    for row in 0..<rows {
      let slice = values + row * length
      var sum: Float = 0
      for i in 0..<length {
        slice[i] = stream.uniform(row * length + i)
        sum += slice[i]
      }
      for i in 0..<length { slice[i] /= sum }
    }
  }

  /// Weights of a deconvolution that enlarges by bilinear interpolation (Long, Shelhamer, Darrell, CVPR 2015).
  private func bilinear(_ values: UnsafeMutablePointer<Float>, _ shape: Shape) throws {
    guard shape.rank == 4, shape[2] == shape[3] else {
      throw Diagnostic(
        .badParameter, "filler 'bilinear' needs weights of 4 axes with a square kernel; these are \(shape)")
    }
    let width = shape[3]
    let factor = (Float(width) / 2).rounded(.up)
    let centre = Float(width - 1) / (2 * factor)
    for i in 0..<shape.count {
      let x = Float(i % width)
      let y = Float(i / width % width)
      values[i] = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
    }
  }
}
