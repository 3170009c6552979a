import CProtobufText
import Diagnostics
import Foundation

/// The text format's reader, with the message types of `caffe.proto`.
struct TextSchema: @unchecked Sendable {
  static let shared = TextSchema()

  /// Immutable, and safe to parse with from any thread.
  private let handle: OpaquePointer

  private init() {
    guard let handle = protobuf_text_schema_create(PackageResources.schema_pb, PackageResources.schema_pb.count) else {
      preconditionFailure("schema.pb is no descriptor set; run tools/generate-schema")
    }
    self.handle = handle
  }

  enum Outcome {
    case message(wire: Data, positions: [String: FieldPlaces.Position])
    /// The text is not a message; tokens are those of the whole text, the last one of kind `end`.
    case notWellFormed([ParserFault], tokens: [TextToken])
    /// Paths of fields that the type demands and the text lacks.
    case missing([String], positions: [String: FieldPlaces.Position])
  }

  /// A fault in the words of libprotobuf.
  struct ParserFault {
    var message: String
    var position: FieldPlaces.Position
  }

  /// - Parameter type: the full name of the message type, such as `caffe.NetParameter`.
  func parse(_ text: UnsafeBufferPointer<UInt8>, as type: String) -> Outcome {
    let outcome = text.withMemoryRebound(to: CChar.self) {
      protobuf_text_parse(handle, type, $0.baseAddress, $0.count)
    }
    guard let outcome else { preconditionFailure("the schema has no message type \(type)") }
    defer { protobuf_text_result_destroy(outcome) }

    let wire = protobuf_text_wire(outcome)
    if let bytes = wire.bytes {
      return .message(wire: Data(bytes: bytes, count: wire.count), positions: positions(of: outcome))
    }
    let faults = (0..<protobuf_text_fault_count(outcome)).map { protobuf_text_fault(outcome, $0) }
    let missing = faults.filter { $0.kind == PROTOBUF_TEXT_MISSING_REQUIRED }
    guard missing.isEmpty else {
      return .missing(missing.map { String($0.text) }, positions: positions(of: outcome))
    }
    return .notWellFormed(
      faults.map {
        ParserFault(message: String($0.text), position: FieldPlaces.Position(line: $0.line, column: $0.column))
      },
      tokens: (0..<protobuf_text_token_count(outcome)).map { TextToken(protobuf_text_token(outcome, $0)) })
  }

  private func positions(of outcome: OpaquePointer) -> [String: FieldPlaces.Position] {
    let count = protobuf_text_place_count(outcome)
    var positions = [String: FieldPlaces.Position](minimumCapacity: count)
    for index in 0..<count {
      let place = protobuf_text_place(outcome, index)
      positions[String(place.path)] = FieldPlaces.Position(line: place.line, column: place.column)
    }
    return positions
  }
}

/// A token of the text format.
struct TextToken {
  enum Kind {
    case end, identifier, integer, float, string, symbol
  }

  var kind: Kind
  /// As it stands in the text; of a string, with its quotes.
  var text: String
  var position: FieldPlaces.Position

  init(_ token: ProtobufTextToken) {
    switch token.kind {
    case PROTOBUF_TEXT_END: kind = .end
    case PROTOBUF_TEXT_IDENTIFIER: kind = .identifier
    case PROTOBUF_TEXT_INTEGER: kind = .integer
    case PROTOBUF_TEXT_FLOAT: kind = .float
    case PROTOBUF_TEXT_STRING: kind = .string
    default: kind = .symbol
    }
    text = String(token.text)
    position = FieldPlaces.Position(line: token.line, column: token.column)
  }
}

extension String {
  /// Bytes that are no UTF-8 become U+FFFD.
  fileprivate init(_ span: ProtobufTextSpan) {
    let bytes = UnsafeRawBufferPointer(start: span.bytes, count: span.count)
    self.init(decoding: bytes, as: UTF8.self)
  }
}
