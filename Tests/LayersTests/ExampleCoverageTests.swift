@testable import CaffeSchema
import Layers
import Nets
import Testing

/// The sweeps try what examples show. A field that changes numbers and that no example gives would be left out of them.
@Suite struct ExampleCoverageTests {
  /// Layers whose fields are read by the code of another one, whose examples show them.
  static let sameCode = [
    "ConvolutionDepthwise": "Convolution", "Deconvolution": "Convolution", "DepthwiseConvolution": "Convolution",
    "Im2col": "Convolution", "MultiBoxFocalLoss": "MultiBoxLoss", "NdConvolution": "Convolution",
    "NdPooling": "Pooling",
  ]

  /// Fields of a message that all layers read alike, and whose examples show them.
  static let sameMessage = ["LossParameter": "SoftmaxWithLoss"]

  /// Fields that take no part in a gradient: of statistics that are kept, and of values that are drawn or counted; and MVN's
  /// eps, which Caffe's gradient, and so ours, takes for small.
  static let exempt: Set<String> = [
    "BN.momentum", "BatchNorm.moving_average_fraction", "LargeMarginInnerProduct.iteration", "MVN.eps",
    "Parameter.blob_filler",
  ]

  /// Of layers with a gradient to check.
  static let fields = FieldEffectTests.fields.filter { field in
    !field.isListed && !exempt.contains("\(field.type).\(field.field.name)")
      && layerTypes.contains { $0.type == field.type && $0.examples.contains(where: \.checksGradient) }
  }

  private func isShown(_ field: FieldEffectTests.Field, by type: String) throws -> Bool {
    let examples = layerTypes.first { $0.type == type }?.examples ?? []
    return try examples.contains { example in
      try NetSource(text: example.prototxt, file: "example").parameter.layer.contains { layer in
        layer.type == type
          && givenFields(of: layer).contains { $0.name == field.parameter && $0.fields.contains(field.field.name) }
      }
    }
  }

  private func changesNumbers(_ field: FieldEffectTests.Field) throws -> Bool {
    try Variant.all(of: field).contains { variant in
      guard case .values = variant.outcome() else { return false }
      return FieldValues.of(field.field).contains { value in
        let outcome = variant.outcome(with: value, field)
        guard case .values = outcome else { return false }
        return outcome != variant.outcome()
      }
    }
  }

  @Test(arguments: fields)
  func fieldsThatChangeNumbersAreShown(_ field: FieldEffectTests.Field) throws {
    let name = field.testDescription
    let types = [field.type, Self.sameCode[field.type], Self.sameMessage[field.message]].compactMap { $0 }
    if try types.contains(where: { try isShown(field, by: $0) }) { return }
    #expect(try !changesNumbers(field), "\(name) changes numbers, and no example gives it")
  }
}
