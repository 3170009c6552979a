@testable import CaffeSchema
import Layers
import Nets
import Testing

/// The sweeps try what examples show. A field that changes numbers and that no example gives would be left out of them.
@Suite struct ExampleCoverageTests {
  /// Fields that do not take part in the gradient of a layer, or that another one in an example stands for, with the
  /// reason.
  static let exempt: [String: String] = [:]

  /// Of layers with a gradient to check.
  static let fields = FieldEffectTests.fields.filter { field in
    !field.isListed && exempt["\(field.type).\(field.field.name)"] == nil
      && layerTypes.contains { $0.type == field.type && $0.examples.contains(where: \.checksGradient) }
  }

  private func isShown(_ field: FieldEffectTests.Field) throws -> Bool {
    let type = try #require(layerTypes.first { $0.type == field.type })
    return try type.examples.contains { example in
      try NetSource(text: example.prototxt, file: "example").parameter.layer.contains { layer in
        layer.type == field.type
          && givenFields(of: layer).contains { $0.name == field.parameter && $0.fields.contains(field.field.name) }
      }
    }
  }

  @Test(arguments: fields)
  func fieldsThatChangeNumbersAreShown(_ field: FieldEffectTests.Field) throws {
    guard try !isShown(field) else { return }
    for variant in try Variant.all(of: field) {
      guard case .values = variant.outcome() else { continue }
      for value in FieldValues.of(field.field) {
        let outcome = variant.outcome(with: value, field)
        guard case .values = outcome else { continue }
        if outcome != variant.outcome() {
          Issue.record("\(field.type).\(field.field.name) changes numbers, and no example gives it")
          return
        }
      }
    }
  }
}
