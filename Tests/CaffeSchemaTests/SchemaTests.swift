import CaffeSchema
import Foundation
import SwiftProtobuf
import Testing

/// The schema against the tables of the Caffe format.
@Suite struct SchemaTests {
  private let fields = fieldsOfSchema()

  @Test func hasEveryFieldOfTheFormat() throws {
    let rows = try table("fields", columns: 7)
    #expect(rows.count == 423)
    for row in rows {
      let wanted = FieldRow(
        message: row[0], name: row[1], number: Int(row[2]) ?? 0, label: row[3], type: row[4],
        defaultValue: row[5], isPacked: row[6] == "packed")
      let own = fields[row[0] + "." + row[1]]
      #expect(own == wanted)
    }
  }

  @Test func readsEveryFieldOfTheFormatIntoTheSwiftMessages() throws {
    // A layer with every block of the format, from text to Swift and back.
    let blocks = fields.values.filter { $0.message == "LayerParameter" && $0.name.hasSuffix("_param") }
    for block in blocks {
      let text = block.name == "clip_param" ? "clip_param { min: 1 max: 2 }" : "\(block.name) { }"
      let layer = try parseText(text, as: LayerParameter.self, file: "t").message
      #expect(layer.unknownFields.data.isEmpty, "\(block.name)")
      #expect(printText(layer).contains(block.name))
    }
  }

  @Test func keepsItsOwnFieldsOutOfTheFormatsNumbers() throws {
    let rows = try table("fields", columns: 7)
    let messages = Set(rows.map { $0[0] })
    let known = Set(rows.map { $0[0] + "." + $0[1] })
    for field in fields.values where messages.contains(field.message) && !known.contains(field.path) {
      #expect(field.number >= 10000, "\(field.path)")
    }
  }

  @Test func hasEveryValueOfTheFormat() throws {
    let rows = try table("enums", columns: 3)
    #expect(rows.count == 111)
    let values = valuesOfSchema()
    for row in rows { #expect(values[row[0]]?[row[1]] == Int(row[2]), "\(row)") }
    let known = Set(rows.map { $0[0] + "." + $0[1] })
    for (name, members) in values where rows.contains(where: { $0[0] == name }) {
      for (member, number) in members where !known.contains(name + "." + member) {
        #expect(number >= 10000, "\(name).\(member)")
      }
    }
  }

  private func table(_ name: String, columns: Int) throws -> [[String]] {
    try fixture("\(name).tsv").split(separator: "\n").dropFirst().map { line in
      let cells = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      return cells + Array(repeating: "", count: columns - cells.count)
    }
  }
}

/// A field as the tables write it.
private struct FieldRow: Equatable {
  var message: String
  var name: String
  var number: Int
  var label: String
  var type: String
  var defaultValue: String
  var isPacked: Bool

  var path: String { message + "." + name }
}

private func files() -> [Google_Protobuf_FileDescriptorProto] {
  (try? Google_Protobuf_FileDescriptorSet(serializedBytes: schemaDescriptorSet))?.file ?? []
}

private func fieldsOfSchema() -> [String: FieldRow] {
  var rows: [String: FieldRow] = [:]
  for message in files().flatMap(\.messageType) {
    for field in message.field {
      let row = FieldRow(
        message: message.name, name: field.name, number: Int(field.number), label: field.labelName,
        type: field.tableType, defaultValue: field.tableDefault, isPacked: field.options.packed)
      rows[row.path] = row
    }
  }
  return rows
}

/// The values of each enumeration with their numbers, by `Message.Enumeration`.
private func valuesOfSchema() -> [String: [String: Int]] {
  var values: [String: [String: Int]] = [:]
  func add(_ enumeration: Google_Protobuf_EnumDescriptorProto, prefix: String) {
    values[prefix + enumeration.name] = Dictionary(
      uniqueKeysWithValues: enumeration.value.map { ($0.name, Int($0.number)) })
  }
  for file in files() {
    for enumeration in file.enumType { add(enumeration, prefix: "") }
    for message in file.messageType {
      for enumeration in message.enumType { add(enumeration, prefix: message.name + ".") }
    }
  }
  return values
}

extension Google_Protobuf_FieldDescriptorProto {
  fileprivate var labelName: String {
    switch label {
    case .optional: "optional"
    case .required: "required"
    case .repeated: "repeated"
    }
  }

  fileprivate var tableType: String {
    switch type {
    case .message, .enum: String(typeName.dropFirst(".caffe.".count))
    case .int32: "int32"
    case .int64: "int64"
    case .uint32: "uint32"
    case .float: "float"
    case .double: "double"
    case .bool: "bool"
    case .string: "string"
    case .bytes: "bytes"
    default: "\(type)"
    }
  }

  /// In the spelling of the tables, which is Python's.
  fileprivate var tableDefault: String {
    guard hasDefaultValue else { return "" }
    switch type {
    case .bool: return defaultValue == "true" ? "True" : "False"
    case .float:
      let value = "\(Double(defaultValue) ?? .nan)"
      return value
    default: return defaultValue
    }
  }
}
