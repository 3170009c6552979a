import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Reads batches of rows from HDF5 files.
///
/// `source` is a text file that lists the files. Each top reads the dataset of its own name, of any rank and kind of
/// number: batch_size x the shape of a row. Files are read in the order of the list, rows in theirs, and a batch goes on
/// in the next file; after the last comes the first again. With `shuffle` each round has an order of files and of the
/// rows in each of its own, drawn from the seed. Values come as they are: `transform_param` is refused, as by Caffe.
package struct HDF5Data: RecordReading, AbsentSourceLayer, RefusedLayer {
  package static let type = "HDF5Data"
  package static let parameterFields: [String]? = ["hdf5_data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let source: HDF5Source
  package let batchSize: Int

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.hdf5DataParam
    self.fields = fields
    guard param.batchSize > 0 else {
      throw fields.fault("batch_size must be at least 1", at: "hdf5_data_param.batch_size")
    }
    batchSize = Int(param.batchSize)
    source = HDF5Source(list: fields.existingPath(param.source), names: fields.parameter.top)
  }

  package func recordCount() throws -> Int { try contents().rowCount }
  package static func setBatchSize(_ size: Int, in parameter: inout LayerParameter) {
    parameter.hdf5DataParam.batchSize = UInt32(size)
  }

  private func contents() throws -> HDF5Source.Contents {
    do {
      return try source.contents()
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("hdf5_data_param.source"))
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard !fields.parameter.hdf5DataParam.source.isEmpty else {
      throw fields.fault("source is missing; give the path of a text file that lists HDF5 files", at: "hdf5_data_param")
    }
    return LayerShapes(tops: try contents().rowShapes.map { Shape([batchSize] + $0.dims) })
  }

  /// Of the datasets nothing is known but how many rows a batch has.
  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard fields.parameter.hdf5DataParam.source.isEmpty || !exists(source.list) else { return nil }
    return fields.parameter.top.map { _ in .rows(batchSize) }
  }

  package var refusal: Diagnostic? {
    let param = fields.parameter.hdf5DataParam
    return Records.refusal {
      try fields.refuse(
        fields.parameter.hasTransformParam, "transform_param",
        "HDF5Data gives rows as they are; prepare them in the files, or scale and shift with a Power or Scale layer")
      try fields.refuse(param.mirror, "hdf5_data_param.mirror", "mirrored rows must be in the files")
      try fields.refuse(
        param.hasScale && param.scale != 1, "hdf5_data_param.scale", "use a Power layer with this scale")
    }
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = fields.parameter.hdf5DataParam
    if let refusal { throw refusal }
    let count = try contents().rowCount
    let seed = binding.draws.seed
    return try PrefetchedRecordRun(
      binding, source: param.source, recordCount: count, batchSize: batchSize
    ) { [source, batchSize] in
      try HDF5BatchFiller(source, batchSize: batchSize, isShuffled: param.shuffle, seed: seed)
    }
  }
}
