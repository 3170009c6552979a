@testable import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Nets
import SwiftProtobuf
import Tensors
import Testing

/// Every field of every layer's parameters does something: it changes what the layer computes, or is refused. Those that
/// do nothing are in `fieldsWithoutEffect`, and are reported.
///
/// Each field of the schema is set to several values in the layer's examples, and what the net then computes is compared.
/// A field that nobody reads is found here, whether it is new in the schema or forgotten in the layer.
@Suite struct FieldEffectTests {
  struct Field: CustomTestStringConvertible, Sendable {
    let type: String
    /// `convolution_param`, and the type of its message.
    let parameter: String
    let message: String
    let field: SchemaDescription.Field

    var testDescription: String { "\(type), \(parameter).\(field.name)" }
    var isListed: Bool { fieldsWithoutEffect[message]?.contains(field.name) == true }
  }

  static let fields: [Field] = layerTypes.flatMap { type in
    (type.parameterFields ?? []).flatMap { parameter -> [Field] in
      guard let holder = SchemaDescription.shared.field(parameter, of: "caffe.LayerParameter"),
        case .message(let message) = holder.kind
      else { return [] }
      return (SchemaDescription.shared.messages[message] ?? []).map {
        Field(type: type.type, parameter: parameter, message: SchemaDescription.shortName(message), field: $0)
      }
    }
  }

  /// Examples for the layers that have none, or whose own do not show a field.
  static let moreExamples: [String: [LayerExample]] = [
    "DummyData": [
      LayerExample(
        "shape", inputs: [], #"layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 } } }"#),
      LayerExample(
        "four extents", inputs: [],
        """
        layer { name: "d" type: "DummyData" top: "d" dummy_data_param { num: 2 channels: 3 height: 1 width: 1 } }
        """),
    ],
    "Input": [
      LayerExample("shape", inputs: [], #"layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }"#)
    ],
  ]

  /// Fields that others are tried together with.
  static let contexts: [String: [String]] = [
    "LossParameter": [
      "normalization: PRE_FIXED pre_fixed_normalizer: 3", "ignore_label: 0", "ignore_label: 1", "ignore_label: 2",
    ]
  ]

  @Test func everyLayerSaysWhatItReads() {
    #expect(layerTypes.filter { $0.parameterFields == nil }.map { $0.type } == [])
    for type in layerTypes {
      for name in type.parameterFields ?? [] {
        #expect(SchemaDescription.shared.field(name, of: "caffe.LayerParameter") != nil, "\(type.type): \(name)")
      }
    }
  }

  @Test func listedFieldsExist() {
    for (message, names) in fieldsWithoutEffect {
      for name in names {
        #expect(SchemaDescription.shared.field(name, of: "caffe." + message) != nil, "\(message).\(name)")
      }
    }
  }

  @Test(arguments: fields.filter { !$0.isListed })
  func hasEffect(_ field: Field) throws {
    for variant in try Variant.all(of: field) {
      let plain = variant.outcome()
      if case .refused = plain { continue }
      for value in FieldValues.of(field.field) where variant.outcome(with: value, field) != plain { return }
    }
    Issue.record("nothing reads \(field.parameter).\(field.field.name) of a \(field.type) layer")
  }

  @Test(arguments: fields.filter(\.isListed))
  func isReported(_ field: Field) throws {
    let variants = try Variant.all(of: field)
    let variant = try #require(variants.first { $0.gives(field.parameter) } ?? variants.first)
    for value in FieldValues.of(field.field) {
      #expect(variant.outcome(with: value, field) == variant.outcome())
      let warnings = try variant.source(with: value, field).warnings.filter { $0.code == .noEffect }
      #expect(warnings.count == 1 && warnings[0].message.hasPrefix("\(field.field.name) of \(field.parameter)"))
    }
  }

  /// Fields of the net and of layers as such.
  @Test func fieldsOfAllLayers() throws {
    let text = """
      default_forward_type: FLOAT16
      layer { name: "x" type: "Input" top: "x" engine: "MKL2017" input_param { shape { dim: 2 dim: 3 } } }
      layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" engine: "MKL2017" freeze_learning: true
        inner_product_param { num_output: 2 } param { lr_mult: 2 } }
      layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 2 } }
      """
    let source = try NetSource(text: text, file: "net.prototxt")
    #expect(source.warnings.map { $0.message.prefix { $0 != " " } } == ["default_forward_type", "engine"])
    #expect(source.warnings.map { $0.location?.line } == [1, 2])
    var options = NetOptions(phase: .train)
    options.graph.seedsOutputs = true
    let net = try Net(
      source, engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: options)
    #expect(net.parameterTable.unique.map(\.parameter.learningRateMultiplier) == [0, 0, 1, 1])
    #expect(net.graph.nodes.map(\.runsBackward) == [false, false, true])
  }

  /// Statistics over a part of the batch would change what BatchNorm computes.
  @Test func statisticsOfParts() throws {
    let text = """
      bn_stats_batch_size: 2
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
      layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" }
      """
    let source = try NetSource(text: text, file: "net.prototxt")
    let fault = #expect(throws: Diagnostic.self) {
      try Net(
        source, engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: NetOptions(phase: .train))
    }
    #expect(fault?.code == .unsupported)
    #expect(fault?.location?.line == 1)
  }

  /// Parameters that another type of layer reads are reported once for each type.
  @Test func foreignParameters() throws {
    let text = """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
      layer { name: "a" type: "ReLU" bottom: "x" top: "a" convolution_param { num_output: 3 } }
      layer { name: "b" type: "ReLU" bottom: "a" top: "b" convolution_param { num_output: 4 } relu_param { } }
      """
    let net = try Net(
      NetSource(text: text, file: "net.prototxt"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
      options: NetOptions(phase: .test))
    #expect(net.graph.warnings.map(\.message) == ["convolution_param has no effect: a ReLU layer does not read it"])
    #expect(net.graph.warnings.first?.location?.line == 2)
  }
}

/// An example of a layer in one phase, with the fields of a context.
struct Variant {
  /// What a net computes, or why it does not.
  enum Outcome: Equatable {
    /// Bit patterns, so that NaN is equal to itself.
    case values([[UInt32]])
    case refused(String)
  }

  let example: LayerExample
  let net: NetParameter
  /// The layer whose fields are tried.
  let layer: Int

  static func all(of field: FieldEffectTests.Field) throws -> [Variant] {
    let own = layerTypes.first { $0.type == field.type }?.examples ?? []
    let contexts = [""] + (FieldEffectTests.contexts[field.message] ?? [])
    return try (own + (FieldEffectTests.moreExamples[field.type] ?? [])).flatMap { example in
      try [Phase.train, .test].flatMap { phase in
        try contexts.map { context in
          var example = example
          example.phase = phase
          var net = try NetSource(text: SweepNet.prototxt(example), file: "example").parameter
          let layer = try #require(net.layer.lastIndex { $0.type == field.type })
          if !context.isEmpty {
            let more = try LayerParameter(textFormatString: "\(field.parameter) { \(context) }")
            net.layer[layer] = try merged(net.layer[layer], more.serializedBytes(partial: true))
          }
          return Variant(example: example, net: net, layer: layer)
        }
      }
    }
  }

  private static func merged(_ layer: LayerParameter, _ bytes: [UInt8]) throws -> LayerParameter {
    try LayerParameter(serializedBytes: try layer.serializedBytes(partial: true) + bytes, partial: true)
  }

  func gives(_ parameter: String) -> Bool { givenFields(of: net.layer[layer]).contains { $0.name == parameter } }

  /// - Parameter value: what is added to the message that holds `field`.
  func source(with value: [UInt8]? = nil, _ field: FieldEffectTests.Field? = nil) throws -> NetSource {
    var net = net
    if let value, let field {
      let holder = try #require(SchemaDescription.shared.field(field.parameter, of: "caffe.LayerParameter"))
      net.layer[layer] = try Variant.merged(net.layer[layer], FieldValues.message(holder.number, value))
    }
    return try NetSource(parameter: net)
  }

  func outcome(with value: [UInt8]? = nil, _ field: FieldEffectTests.Field? = nil) -> Outcome {
    do {
      var options = NetOptions(phase: example.phase)
      options.keepsEverything = true
      options.seed = 7
      options.graph = GraphOptions(forceBackward: true, seedsOutputs: true)
      let net = try Net(
        source(with: value, field), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: options)
      for (index, input) in example.inputs.enumerated() {
        guard let blob = net.versions(of: "in\(index)").first else { continue }
        input.fill(blob.values, RandomStream(seed: 1, UInt64(index)))
      }
      return try .values((0..<2).flatMap { _ in try pass(net) })
    } catch let fault as Diagnostic {
      return .refused(fault.message)
    } catch {
      return .refused("\(error)")
    }
  }

  private func pass(_ net: Net) throws -> [[UInt32]] {
    try net.forward()
    let losses = Set(net.losses.map(\.blob.name))
    for output in net.outputs where output.hasGradient && !losses.contains(output.name) {
      try net.feed(gradient: (0..<output.liveCount).map { 0.1 + 0.01 * Float($0) }, of: output)
    }
    net.clearGradients()
    try net.backward()
    var all: [[Float]] = []
    for index in net.graph.values.indices {
      let blob = net.blob(ofValue: index)
      all.append(blob.shape.dims.map(Float.init))
      all.append(try net.values(of: blob))
      if blob.hasGradient { all.append(try net.gradients(of: blob)) }
    }
    for entry in net.parameterTable.unique {
      all.append(entry.parameter.shape.dims.map(Float.init))
      all.append(Array(UnsafeBufferPointer(start: entry.parameter.values, count: entry.parameter.count)))
      all.append(Array(UnsafeBufferPointer(start: entry.parameter.settledGradients(), count: entry.parameter.count)))
    }
    // Whether a metric is of the whole test shows only there.
    all.append([net.run(ofLayer: layer) is any WholePassRun ? 1 : 0])
    return all.map { $0.map(\.bitPattern) }
  }
}

/// Values to try for a field, in the wire format, key included.
enum FieldValues {
  static func of(_ field: SchemaDescription.Field) -> [[UInt8]] {
    let single: [[UInt8]] =
      switch field.kind {
      case .bool: [0, 1].map { varint(field.number, $0) }
      case .unsigned: [1, 2, 3, 5, 0].map { varint(field.number, $0) }
      case .signed: [1, 2, 3, 0, -1, -2].map { varint(field.number, UInt64(bitPattern: Int64($0))) }
      case .enumeration(let type):
        (SchemaDescription.shared.enumerations[type] ?? []).map { varint(field.number, UInt64($0.number)) }
      case .number: [0.5, 2, -1, 0.1, 7, 0].map { float(field.number, $0) }
      case .string: ["L1", "L2", "'feat_stride': 8", "no such thing"].map { bytes(field.number, Array($0.utf8)) }
      case .message(let type): inner(type).map { message(field.number, $0) }
      }
    return field.isRepeated ? single + single.map { $0 + $0 } : single
  }

  /// One value of each of the first fields of a message, and the message without any.
  private static func inner(_ type: String) -> [[UInt8]] {
    let fields = SchemaDescription.shared.messages[type] ?? []
    return fields.prefix(4).flatMap { field -> [[UInt8]] in
      if case .message = field.kind { return [] }
      return Array(of(field).prefix(3))
    } + [[]]
  }

  static func message(_ number: Int, _ payload: [UInt8]) -> [UInt8] { bytes(number, payload) }

  private static func varint(_ number: Int, _ value: UInt64) -> [UInt8] {
    encoded(UInt64(number << 3)) + encoded(value)
  }

  private static func float(_ number: Int, _ value: Float) -> [UInt8] {
    encoded(UInt64(number << 3 | 5)) + withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
  }

  private static func bytes(_ number: Int, _ payload: [UInt8]) -> [UInt8] {
    encoded(UInt64(number << 3 | 2)) + encoded(UInt64(payload.count)) + payload
  }

  private static func encoded(_ value: UInt64) -> [UInt8] {
    var (rest, bytes) = (value, [UInt8]())
    repeat {
      bytes.append(UInt8(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
      rest >>= 7
    } while rest > 0
    return bytes
  }
}
