import Diagnostics
import Foundation
import SwiftProtobuf

/// A message read from text, with the place of every field that the text gives.
package struct TextFile<Message: SwiftProtobuf.Message>: Sendable {
  package var message: Message
  package var places: FieldPlaces
  package var file: String
  /// What of the text was left out.
  package var leftOut = LeftOutText()

  /// Reads a prototxt.
  ///
  /// Throws a `Diagnostic` for a file that is missing, unreadable, empty or no text, and those of `parseText`.
  /// - Parameter leavesOutForeign: whether fields of forks, unknown here, are left out instead of being faults.
  package static func read(path: String, leavesOutForeign: Bool = false) throws -> TextFile {
    let bytes = try readFile(path)
    try checkIsText(bytes, path: path)
    return try parse(bytes, file: path, leavesOutForeign: leavesOutForeign)
  }

  fileprivate static func parse(_ bytes: Data, file: String, leavesOutForeign: Bool = false) throws -> TextFile {
    // Editors on Windows put a byte-order mark in front, which libprotobuf refuses.
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    let text = bytes.starts(with: mark) ? bytes.dropFirst(mark.count) : bytes
    let outcome = text.withUnsafeBytes {
      TextSchema.shared.parse($0.bindMemory(to: UInt8.self), as: Message.protoMessageName)
    }
    switch outcome {
    case .message(let wire, let positions):
      let places = FieldPlaces(file: file, positions: positions)
      return TextFile(message: try decode(wire, text: text, file: file), places: places, file: file)
    case .missing(let paths, let positions):
      throw asOneError(missingFields(paths, places: FieldPlaces(file: file, positions: positions)))
    case .notWellFormed(let faults, let tokens):
      var finder = TextFaultFinder(tokens: tokens, text: String(decoding: text, as: UTF8.self), file: file)
      let found = finder.faults(readAs: Message.protoMessageName)
      if leavesOutForeign, !found.isEmpty, found.count == finder.foreign.count {
        var rest = try parse(finder.textWithoutForeign(), file: file)
        rest.leftOut = LeftOutText(finder.foreign)
        return rest
      }
      throw asOneError(found.isEmpty ? faults.map { $0.diagnostic(file: file) } : found)
    }
  }

  private static func decode(_ wire: Data, text: Data, file: String) throws -> Message {
    do {
      return try Message(serializedBytes: wire)
    } catch BinaryDecodingError.invalidUTF8 {
      // The text format leaves strings as they are; messages in Swift hold UTF-8 alone.
      let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      let line = lines.firstIndex { String(validating: $0.prefix { $0 != UInt8(ascii: "#") }, as: UTF8.self) == nil }
      throw Diagnostic(
        .unreadableFile, "a string is not UTF-8; save the file as UTF-8",
        at: SourceLocation(file: file, line: line.map { $0 - lines.startIndex + 1 } ?? 0))
    }
  }
}

/// What a lenient reader left out of a text.
package struct LeftOutText: Sendable {
  /// One for each field.
  package var warnings: [Diagnostic] = []
  /// The types of layers in `layers` that are not known, by the layer's number.
  package var layerTypes: [Int: String] = [:]

  init() {}

  init(_ foreign: [TextFaultFinder.ForeignText]) {
    for text in foreign {
      if let (layer, type) = text.layerType {
        layerTypes[layer] = type
        if text.fault.code == .unknownValue { continue }
      }
      var warning = text.fault
      warning.severity = .warning
      warning.message +=
        text.layerType == nil
        ? "; it is left out here, and refused when the net is to run"
        : "; it is read as that type here, and refused when the net is to run"
      warnings.append(warning)
    }
  }
}

extension TextFaultFinder {
  /// The text with blanks for what is foreign, so that all else stays in its place.
  fileprivate func textWithoutForeign() -> Data {
    var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map(Array.init)
    for field in foreign {
      let (start, end) = (tokens[field.tokens.lowerBound].position, tokens[field.tokens.upperBound].position)
      for line in Int(start.line - 1)..<min(lines.count, Int(end.line)) {
        let first = line == Int(start.line - 1) ? Int(start.column - 1) : 0
        let last = line == Int(end.line - 1) ? min(lines[line].count, Int(end.column - 1)) : lines[line].count
        guard first < last else { continue }
        lines[line].replaceSubrange(first..<last, with: Array(repeating: " ", count: last - first))
      }
    }
    var scalars = String.UnicodeScalarView()
    for (index, line) in lines.enumerated() {
      if index > 0 { scalars.append("\n") }
      scalars.append(contentsOf: line)
    }
    return Data(String(scalars).utf8)
  }
}

/// Reads a message from text in protobuf's text format.
///
/// Throws a `Diagnostic`, or a `DiagnosticList` where several faults can be told apart, each with line and column:
/// unknown fields and values, values of another type, fields given twice, faults of syntax, required fields missing.
/// - Parameter file: the name of the text in messages.
package func parseText<M: SwiftProtobuf.Message>(
  _ text: String, as type: M.Type = M.self, file: String
) throws -> TextFile<M> {
  try TextFile<M>.parse(Data(text.utf8), file: file)
}

/// The message as text that reads back as the same message: one field a line, in the order of their numbers.
///
/// Fields that the schema does not know are left out: the text format has no names for them.
package func printText(_ message: some SwiftProtobuf.Message) -> String {
  var options = TextFormatEncodingOptions()
  options.printUnknownFields = false
  return message.textFormatString(options: options)
}

/// One fault as itself, several as a list, of which no more than a screen can show.
private func asOneError(_ faults: [Diagnostic]) -> any Error {
  if faults.count == 1 { return faults[0] }
  let limit = 20
  var shown = Array(faults.prefix(limit))
  if faults.count > limit {
    shown[limit - 1].notes.append(Diagnostic.Note("\(faults.count - limit) more faults follow"))
  }
  return DiagnosticList(shown)
}

private func missingFields(_ paths: [String], places: FieldPlaces) -> [Diagnostic] {
  paths.map { path in
    let name = path.split(separator: ".").last ?? ""
    let holder = FieldPath.parent(of: path).split(separator: ".").last.map { " in '\($0)'" } ?? ""
    return Diagnostic(.syntax, "'\(name)' is missing\(holder)", at: places.location(path))
  }
}

extension TextSchema.ParserFault {
  fileprivate func diagnostic(file: String) -> Diagnostic {
    let end = message.hasSuffix(".") ? message.dropLast() : message[...]
    let words = end.prefix(1).lowercased() + end.dropFirst()
    return Diagnostic(
      .syntax, words,
      at: SourceLocation(file: file, line: Int(position.line), column: Int(position.column)))
  }
}
