import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Reads batches of records from a database.
///
/// Tops: the records, batch_size x C x H x W after `transform_param`; optionally their integer labels, batch_size. A
/// record is a Datum: pixels, an encoded image, or float values (label vectors are C x 1 x 1). Batches follow one
/// another in key order and go round at the end; with `shuffle` each round has an order of its own, which depends on
/// the seed and the number of records alone, so that databases that belong together stay in step. Batches are prepared
/// in the background; which records a pass sees depends on nothing but its number.
package struct DataLayer: AbsentSourceLayer {
  package static let type = "Data"
  package static let parameterFields: [String]? = ["data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...2
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let source: RecordSource

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.dataParam
    self.fields = fields
    guard param.hasSource, !param.source.isEmpty else {
      throw fields.fault("source is missing; give the path of the database", at: "data_param")
    }
    guard param.batchSize > 0 else { throw fields.fault("batch_size must be at least 1", at: "data_param.batch_size") }
    let transform = fields.parameter.transformParam
    guard !(transform.forceColor && transform.forceGray) else {
      throw fields.fault("give either force_color or force_gray", at: "transform_param.force_gray")
    }
    source = RecordSource(path: fields.existingPath(param.source), channels: ImageChannels(transform))
  }

  /// The database that it reads.
  ///
  /// - Throws: `badDatabase`, at the field `source`.
  package func database() throws -> any RecordDatabase {
    do {
      return try source.database()
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("data_param.source"))
    }
  }

  package var identity: Diagnostic.Layer { fields.identity }
  package var location: SourceLocation? { fields.location("data_param.source") }
  package var batchSize: Int { Int(fields.parameter.dataParam.batchSize) }

  private func transform() throws -> Transform {
    _ = try database()
    do {
      return try Transform(fields, record: source.firstShape())
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("data_param.source"))
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let records = Shape([batchSize] + (try transform().output.dims))
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [records, [batchSize]] : [records])
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard !exists(source.path) else { return nil }
    let records = fields.parameter.transformParam.imageOutline(batch: batchSize)
    // One fork's database has a label for each position, or several.
    let hasVectors = fields.parameter.dataParam.labelType == .multiple
    let labels = hasVectors ? TopOutline([batchSize, nil, nil, nil]) : .exactly([batchSize])
    return fields.parameter.top.count > 1 ? [records, labels] : [records]
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let tops = binding.topShapes.indices.map { binding.top($0) }
    for top in tops { top.dataRegion.isExternal = true }
    let param = fields.parameter.dataParam
    let seed = binding.draws.seed
    // The same for every layer of the net: databases that belong together skip and shuffle alike.
    let skip =
      param.randSkip > 0
      ? RandomStream(seed: seed, RandomStream.part("rand_skip")).integer(0, below: Int(param.randSkip)) : 0
    let order = RecordOrder(
      count: try database().count, first: skip, isShuffled: param.shuffle, seed: seed)
    let reader = BatchReader(
      source: source, transform: try transform(), order: order, batchSize: batchSize, readsLabels: tops.count > 1,
      draws: seed, layer: fields.name)
    return Run(
      Prefetcher(reader, tops.map(\.count), depth: max(2, min(4, Int(param.prefetch)))), tops, binding.draws, self,
      order)
  }

  private final class Run: RecordRun {
    private let prefetcher: Prefetcher
    private let tops: [Blob]
    private let draws: LayerDraws
    private let layer: DataLayer
    private let order: RecordOrder

    init(
      _ prefetcher: Prefetcher, _ tops: [Blob], _ draws: LayerDraws, _ layer: DataLayer, _ order: RecordOrder
    ) {
      self.prefetcher = prefetcher
      self.tops = tops
      self.draws = draws
      self.layer = layer
      self.order = order
    }

    var source: String { layer.fields.parameter.dataParam.source }
    var recordCount: Int { order.count }
    var batchSize: Int { layer.batchSize }

    func keys(ofPass pass: Int) throws -> [String] {
      let cursor = try layer.database().makeCursor()
      let places = (0..<batchSize).map { draws.firstRecord + pass * batchSize + $0 }
      var permutations: [Int: [Int]] = [:]
      for epoch in Set(places.map(order.epoch)) where order.isShuffled {
        permutations[epoch] = order.permutation(epoch: epoch)
      }
      return try places.map { place in
        let position = order.position(of: place)
        let record = try cursor.record(at: permutations[order.epoch(of: place)]?[position] ?? position)
        return String(decoding: record.key, as: UTF8.self)
      }
    }

    func forward() throws {
      do {
        let buffers = try prefetcher.take(pass: draws.pass, firstRecord: draws.firstRecord)
        for (index, top) in tops.enumerated() { top.dataRegion.place(at: buffers[index].base) }
      } catch let fault as Diagnostic {
        throw fault.within(layer: layer.identity)
      }
    }
  }
}

extension ImageChannels {
  fileprivate init(_ transform: TransformationParameter) {
    self = transform.forceColor ? .color : transform.forceGray ? .gray : .asStored
  }
}

/// Which record is at which place of the endless sequence that a Data layer reads.
struct RecordOrder: Sendable {
  let count: Int
  let first: Int
  let isShuffled: Bool
  let seed: UInt64

  /// The round that place `place` is in, and the record's position in the database.
  func epoch(of place: Int) -> Int { (first + place) / count }
  func position(of place: Int) -> Int { (first + place) % count }

  /// The order of a round.
  func permutation(epoch: Int) -> [Int] {
    RandomStream(seed: seed, RandomStream.part("shuffle"), UInt64(epoch)).permutation(count)
  }
}
