import CaffeSchema
import Nets

/// A layer that reads the records of a source one after the other, each once in a round.
package protocol RecordReading: Layer {
  var batchSize: Int { get }

  /// How many records make a round.
  ///
  /// - Throws: a fault of the layer when the source cannot be read.
  func recordCount() throws -> Int

  /// Makes it the same layer with batches of another size.
  static func setBatchSize(_ size: Int, in parameter: inout LayerParameter)
}

/// The layers of this module that read record after record, by type.
package let recordReadingTypes: [String: any RecordReading.Type] = Dictionary(
  recordLayerTypes.compactMap { type in (type as? any RecordReading.Type).map { (type.type, $0) } },
  uniquingKeysWith: { first, _ in first })
