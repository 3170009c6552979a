import CaffeSchema
import Nets
import Tensors

/// Tops filled by fillers: for timing and for tests.
///
/// `data_filler`: none (zeros), one for all tops or one for each. A constant is written once, anything else is drawn
/// anew in every pass. `shape` once or per top; the old `num`, `channels`, `height`, `width` likewise.
package struct DummyData: Layer {
  package static let type = "DummyData"
  package static let parameterFields: [String]? = ["dummy_data_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let tops: [Shape]
  private let fillers: [FillerParameter]

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.dummyDataParam
    let count = fields.parameter.top.count
    let written: [Shape]
    if param.shape.isEmpty {
      let extents = [param.num, param.channels, param.height, param.width]
      guard extents.allSatisfy({ $0.count == extents[0].count }), !extents[0].isEmpty else {
        throw fields.fault("give a shape (or num, channels, height and width, equally often)", at: "dummy_data_param")
      }
      written = extents[0].indices.map { index in Shape(extents.map { Int($0[index]) }) }
    } else {
      written = param.shape.map { Shape($0.dim.map(Int.init)) }
    }
    guard written.count == 1 || written.count == count else {
      throw fields.fault(
        "\(written.count) shapes are given for \(count) tops; give one, or one per top", at: "dummy_data_param")
    }
    tops = (0..<count).map { written[written.count == 1 ? 0 : $0] }
    guard param.dataFiller.count <= 1 || param.dataFiller.count == count else {
      throw fields.fault(
        "\(param.dataFiller.count) data_filler fields are given for \(count) tops; give none, one, or one per top",
        at: "dummy_data_param.data_filler[0]")
    }
    fillers = (0..<count).map { index in
      param.dataFiller.isEmpty
        ? FillerParameter() : param.dataFiller[param.dataFiller.count == 1 ? 0 : index]
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: tops) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let blobs = tops.indices.map { binding.top($0) }
    for blob in blobs { blob.dataRegion.isPinned = true }
    return Run(
      blobs: blobs, fillers: try fillers.map(Filler.init), isConstant: fillers.map { $0.type == "constant" },
      binding.draws)
  }

  private final class Run: PreparedRun {
    private let blobs: [Blob]
    private let fillers: [Filler]
    private let isConstant: [Bool]
    private let draws: LayerDraws

    init(blobs: [Blob], fillers: [Filler], isConstant: [Bool], _ draws: LayerDraws) {
      self.blobs = blobs
      self.fillers = fillers
      self.isConstant = isConstant
      self.draws = draws
    }

    func prepare() throws { try fill(constants: true) }
    func forward() throws { try fill(constants: false) }

    private func fill(constants: Bool) throws {
      for index in blobs.indices where isConstant[index] == constants {
        let stream = RandomStream(seed: draws.stream.bits(0), UInt64(index))
        try fillers[index].fill(blobs[index].values, blobs[index].shape, stream)
      }
    }
  }
}
