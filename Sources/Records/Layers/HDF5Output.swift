import CaffeSchema
import Diagnostics
import HDF5Files
import Nets
import Tensors

/// Writes its two bottoms to the datasets `data` and `label` of an HDF5 file, as 4-byte floats of four axes (those that
/// a bottom lacks are 1).
///
/// Caffe can do so once; here every further pass adds its rows. The file gets to its place with the first pass, over
/// whatever was there, and is complete after each.
package struct HDF5Output: Layer {
  package static let type = "HDF5Output"
  package static let parameterFields: [String]? = ["hdf5_output_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...2
  package static let topCount = 0...0
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let path: String

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    path = fields.parameter.hdf5OutputParam.fileName
    guard !path.isEmpty else {
      throw fields.fault("file_name is missing; give the HDF5 file to write", at: "hdf5_output_param")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].extent(0) == bottoms[1].extent(0) else {
      throw fields.fault(
        .badShape, "the bottoms must have equally many rows: \(bottoms[0]) and \(bottoms[1])", at: "bottom[1]")
    }
    return LayerShapes(tops: [])
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    Run(path: path, bottoms: [binding.bottom(0), binding.bottom(1)], fields)
  }

  private final class Run: LayerRun {
    private let path: String
    private let bottoms: [Blob]
    private let shapes: [[Int]]
    private let fields: LayerFields
    private var isBegun = false

    init(path: String, bottoms: [Blob], _ fields: LayerFields) {
      self.path = path
      self.bottoms = bottoms
      self.fields = fields
      shapes = bottoms.map { $0.shape.dims + [Int](repeating: 1, count: max(0, 4 - $0.shape.rank)) }
    }

    func forward() throws {
      do {
        let writer = try isBegun ? HDF5Writer(extending: path) : HDF5Writer(writing: path)
        for (index, name) in ["data", "label"].enumerated() {
          try writer.append(name, shape: shapes[index], bottoms[index].values)
        }
        try writer.finish()
        isBegun = true
      } catch let fault as Diagnostic {
        throw fault.within(layer: fields.identity, at: fields.location("hdf5_output_param.file_name"))
      }
    }
  }
}
