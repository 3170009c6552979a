import Foundation
import SwiftProtobuf

/// A field that a layer's message has.
package struct GivenField {
  /// `convolution_param`, `engine`, …
  package let name: String
  /// The type of the message that it holds, such as `ConvolutionParameter`; nil when it holds none.
  package let message: String?
  /// Of that message, the names of the fields that it has, each once.
  package let fields: [String]

  /// Whether it holds the parameters of a type of layer.
  package var isParameterMessage: Bool { message != nil && !["param", "blobs", "include", "exclude"].contains(name) }
}

/// The fields that a layer has, in the order of their numbers.
package func givenFields(of layer: LayerParameter) -> [GivenField] {
  var layer = layer
  layer.blobs = []
  return givenFields(of: layer, type: "LayerParameter")
}

/// The fields that a net has besides its layers.
func givenFields(of source: NetSource) -> [GivenField] {
  var net = source.parameter
  net.layer = []
  return givenFields(of: net, type: "NetParameter")
}

/// By way of the wire format, which says which fields are there.
private func givenFields(of message: any SwiftProtobuf.Message, type: String) -> [GivenField] {
  guard let bytes: [UInt8] = try? message.serializedBytes(partial: true) else { return [] }
  let schema = SchemaDescription.shared
  var order: [String] = []
  var parts: [String: (type: String?, fields: [String])] = [:]
  forEachField(bytes[...]) { number, payload in
    guard let field = schema.messages["caffe." + type]?.first(where: { $0.number == number }) else { return }
    if parts[field.name] == nil { order.append(field.name) }
    var part = parts[field.name] ?? (nil, [])
    if case .message(let inner) = field.kind {
      part.type = SchemaDescription.shortName(inner)
      forEachField(payload) { number, _ in
        guard let name = schema.messages[inner]?.first(where: { $0.number == number })?.name else { return }
        if !part.fields.contains(name) { part.fields.append(name) }
      }
    }
    parts[field.name] = part
  }
  return order.map { GivenField(name: $0, message: parts[$0]?.type, fields: parts[$0]?.fields ?? []) }
}

/// Calls `body` with the number of each field, and its bytes where it holds a message, a string or packed values.
private func forEachField(_ bytes: ArraySlice<UInt8>, _ body: (_ number: Int, _ payload: ArraySlice<UInt8>) -> Void) {
  var rest = bytes
  func varint() -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst(), shift < 64 {
      value |= UInt64(byte & 0x7f) << shift
      if byte & 0x80 == 0 { break }
      shift += 7
    }
    return value
  }
  while !rest.isEmpty {
    let key = varint()
    var payload: ArraySlice<UInt8> = []
    switch key & 7 {
    case 0: _ = varint()
    case 1: rest = rest.dropFirst(8)
    case 2:
      let count = Int(clamping: varint())
      payload = rest.prefix(count)
      rest = rest.dropFirst(count)
    case 5: rest = rest.dropFirst(4)
    default: return
    }
    body(Int(key >> 3), payload)
  }
}
