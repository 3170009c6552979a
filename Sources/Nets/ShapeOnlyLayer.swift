import Diagnostics
import Tensors

/// A layer type of one fork: its shapes are known here, so that nets with it can be looked at; its computation is not.
package struct ShapeOnlyType: Sendable {
  package let type: String
  package let role: LayerRole
  package let bottomCount: ClosedRange<Int>
  package let topCount: ClosedRange<Int>
  /// What it is, and what a user can do instead; ends a sentence.
  package let remark: String
  let rule: Rule

  package enum Rule: Sendable {
    /// The tops' shapes for given bottoms.
    case shapes(@Sendable (LayerFields, [Shape]) throws -> LayerShapes)
    /// As much as the fields tell of the tops; for what comes from a source.
    case outlines(@Sendable (LayerFields, [Shape]) -> [TopOutline])
  }

  package init(
    _ type: String, role: LayerRole = .transform, bottoms: ClosedRange<Int> = 1...1, tops: ClosedRange<Int> = 1...1,
    _ remark: String, _ rule: Rule
  ) {
    self.type = type
    self.role = role
    bottomCount = bottoms
    topCount = tops
    self.remark = remark
    self.rule = rule
  }
}

extension ShapeOnlyType.Rule {
  /// Top `i` is shaped like bottom `i`, those beyond the bottoms like the first.
  package static let likeBottoms = ShapeOnlyType.Rule.shapes { fields, bottoms in
    LayerShapes(tops: fields.parameter.top.indices.map { bottoms[$0 < bottoms.count ? $0 : 0] })
  }

  /// One value a top.
  package static let oneValue = ShapeOnlyType.Rule.shapes { fields, _ in
    LayerShapes(tops: fields.parameter.top.isEmpty ? [.scalar] : fields.parameter.top.map { _ in .scalar })
  }

  package static func top(_ shape: @escaping @Sendable (LayerFields, [Shape]) throws -> Shape) -> ShapeOnlyType.Rule {
    .shapes { fields, bottoms in
      let shape = try shape(fields, bottoms)
      return LayerShapes(tops: fields.parameter.top.map { _ in shape })
    }
  }
}

/// A layer of a `ShapeOnlyType`.
struct ShapeOnlyLayer: RefusedLayer, AbsentSourceLayer {
  static let type = ""
  static let bottomCount = 0...Int.max
  static let topCount = 0...Int.max
  static let examples: [LayerExample] = []

  private let known: ShapeOnlyType
  private let fields: LayerFields

  init(_ known: ShapeOnlyType, _ fields: LayerFields) {
    self.known = known
    self.fields = fields
  }

  init(_ fields: LayerFields) throws { throw fields.fault(.unknownLayerType, "is made by the catalogue alone") }

  var role: LayerRole { known.role }
  var refusal: Diagnostic? { fault }
  private var fault: Diagnostic { fields.fault(.unsupported, "cannot run here: \(known.remark)", at: "type") }

  func bind(_ binding: LayerBinding) throws -> any LayerRun { throw fault }

  /// What does not run may stand behind rows that vary.
  func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .indifferent }

  func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    switch known.rule {
    case .shapes(let rule): return try rule(fields, bottoms)
    case .outlines(let rule):
      let shapes = rule(fields, bottoms).compactMap(\.shape)
      guard shapes.count == fields.parameter.top.count else { throw fault }
      return LayerShapes(tops: shapes)
    }
  }

  func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard case .outlines(let rule) = known.rule else { return nil }
    return rule(fields, bottoms)
  }
}

/// A layer of a type that nobody here knows, or with fields that are not supported, with tops whose shapes the caller gave.
struct UnknownLayer: RefusedLayer {
  static let type = ""
  static let bottomCount = 0...Int.max
  static let topCount = 0...Int.max
  static let examples: [LayerExample] = []

  private let fault: Diagnostic
  let role: LayerRole

  init(_ fields: LayerFields, _ fault: Diagnostic, role: LayerRole? = nil) {
    self.fault = fault
    self.role = role ?? UnknownLayer.role(ofType: fields.parameter.type)
  }

  /// By the name alone.
  static func role(ofType type: String) -> LayerRole {
    if type.hasSuffix("Loss") || type.hasSuffix("_LOSS") { return .loss }
    return ["Accuracy", "Evaluat", "ACCURACY"].contains { type.contains($0) } ? .metric : .transform
  }

  var refusal: Diagnostic? { fault }
  func bind(_ binding: LayerBinding) throws -> any LayerRun { throw fault }

  /// What does not run may stand behind rows that vary.
  func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .indifferent }

  init(_ fields: LayerFields) throws { throw fields.fault(.unknownLayerType, "is made by the catalogue alone") }

  func shapes(of bottoms: [Shape]) throws -> LayerShapes { throw fault }
}
