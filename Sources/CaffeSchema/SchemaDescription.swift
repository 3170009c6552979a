import Foundation
import SwiftProtobuf

/// `caffe.proto` as a serialized FileDescriptorSet: what the messages are read with, and documentation made from.
package var schemaDescriptorSet: [UInt8] { PackageResources.schema_pb }

/// Names and types of all messages and enumerations of `caffe.proto`, for messages about files that do not fit them.
struct SchemaDescription: Sendable {
  static let shared = SchemaDescription()

  struct Field: Sendable {
    enum Kind: Sendable, Equatable {
      case signed(bits: Int), unsigned(bits: Int), number, bool, string
      /// The full name of the type.
      case enumeration(String), message(String)
    }

    var name: String
    var number: Int
    var kind: Kind
    var isRepeated: Bool
  }

  /// The fields of a message, by the full name of the message (`caffe.ParamSpec`) and their own; in the order of the
  /// schema.
  private(set) var messages: [String: [Field]] = [:]
  /// The names of an enumeration's values, by the full name of the enumeration.
  private(set) var enumerations: [String: [Google_Protobuf_EnumValueDescriptorProto]] = [:]

  private init() {
    guard let files = try? Google_Protobuf_FileDescriptorSet(serializedBytes: schemaDescriptorSet) else {
      preconditionFailure("schema.pb is no descriptor set; run tools/generate-schema")
    }
    for file in files.file {
      for message in file.messageType { add(message, within: file.package) }
      for enumeration in file.enumType { add(enumeration, within: file.package) }
    }
  }

  func field(_ name: String, of message: String) -> Field? {
    messages[message]?.first { $0.name == name }
  }

  /// A type's name as users know it: without the package.
  static func shortName(_ type: String) -> String {
    type.hasPrefix("caffe.") ? String(type.dropFirst("caffe.".count)) : type
  }

  private mutating func add(_ message: Google_Protobuf_DescriptorProto, within scope: String) {
    let name = scope + "." + message.name
    messages[name] = message.field.map(Field.init)
    for nested in message.nestedType { add(nested, within: name) }
    for enumeration in message.enumType { add(enumeration, within: name) }
  }

  private mutating func add(_ enumeration: Google_Protobuf_EnumDescriptorProto, within scope: String) {
    enumerations[scope + "." + enumeration.name] = enumeration.value
  }
}

extension SchemaDescription.Field {
  fileprivate init(_ field: Google_Protobuf_FieldDescriptorProto) {
    name = field.name
    number = Int(field.number)
    isRepeated = field.label == .repeated
    let type = String(field.typeName.drop { $0 == "." })
    switch field.type {
    case .message, .group: kind = .message(type)
    case .enum: kind = .enumeration(type)
    case .bool: kind = .bool
    case .string, .bytes: kind = .string
    case .float, .double: kind = .number
    case .int32, .sint32, .sfixed32: kind = .signed(bits: 32)
    case .int64, .sint64, .sfixed64: kind = .signed(bits: 64)
    case .uint32, .fixed32: kind = .unsigned(bits: 32)
    case .uint64, .fixed64: kind = .unsigned(bits: 64)
    }
  }
}
