import Diagnostics

// Values of fields that are no blocks.
extension TextFaultFinder {
  mutating func readValues(of field: SchemaDescription.Field) throws {
    if !take(":") {
      if isAt("{", "<") {
        report(.syntax, "'\(field.name)' takes \(wanted(by: field)), not a block", at: current)
        return try skipValue()
      }
      report(.syntax, "expected ':' after '\(field.name)', got \(quoted(current))", at: current)
      if current.kind == .end || isAt("}", ">") { return }
      if current.kind == .symbol, !isAt("[", "-") { advance() }
    }
    guard isAt("[") else { return try readValue(of: field) }
    guard field.isRepeated else {
      report(.syntax, "'\(field.name)' takes one value, not a list", at: current)
      return try skipValue()
    }
    advance()
    if take("]") { return }
    while true {
      try readValue(of: field)
      if take("]") { return }
      if !take(",") { try lose("expected ',' or ']' in the list of '\(field.name)', got \(quoted(current))") }
    }
  }

  private mutating func readValue(of field: SchemaDescription.Field) throws {
    if isAt("{", "<") {
      report(.syntax, "'\(field.name)' takes \(wanted(by: field)), not a block", at: current)
      return try skipValue()
    }
    // The next field or the end of the block stands where the value should.
    if current.kind == .end || isAt("}", ">", "]", ",", ";") || isFieldName(at: index) {
      report(.syntax, "the value of '\(field.name)' is missing: expected \(wanted(by: field))", at: current)
      return
    }
    if current.kind == .string { return try readString(of: field) }

    let start = current
    let negative = take("-")
    guard current.kind != .symbol, current.kind != .end else {
      let hint = current.text == "$" ? TextFaultFinder.placeholderHint : ""
      try lose("'\(field.name)' takes \(wanted(by: field)), got \(quoted(current))" + hint)
    }
    check(current, negative: negative, at: start, for: field)
    advance()
  }

  /// Whether a field begins here: an identifier that ':' or '{' follows.
  private func isFieldName(at position: Int) -> Bool {
    guard tokens[position].kind == .identifier, position + 1 < tokens.count else { return false }
    return [":", "{"].contains(tokens[position + 1].text)
  }

  private mutating func check(
    _ value: TextToken, negative: Bool, at start: TextToken, for field: SchemaDescription.Field
  ) {
    let text = (negative ? "-" : "") + value.text
    switch field.kind {
    case .signed(let bits), .unsigned(let bits):
      let isUnsigned = field.kind == .unsigned(bits: bits)
      guard value.kind == .integer, let magnitude = magnitude(of: value.text) else {
        let hint = value.kind == .identifier ? TextFaultFinder.placeholderHint : ""
        return report(.badParameter, mismatch(text, field) + hint, at: start)
      }
      let limit = isUnsigned ? (negative ? 0 : UInt64.max >> (64 - bits)) : UInt64(1) << (bits - 1) - (negative ? 0 : 1)
      if magnitude > limit {
        report(
          .badParameter, "\(text) is out of range for '\(field.name)', which takes \(wanted(by: field))", at: start)
      }
    case .number:
      let isName = value.kind == .identifier && ["inf", "infinity", "nan"].contains(value.text.lowercased())
      if ![.integer, .float].contains(value.kind), !isName {
        report(.badParameter, mismatch(text, field), at: start)
      }
    case .bool:
      let known = ["true", "True", "t", "false", "False", "f", "0", "1"]
      if negative || !known.contains(value.text) {
        report(.badParameter, mismatch(text, field), at: start)
      }
    case .string:
      report(.badParameter, stringWithoutQuotes(text, field), at: start)
    case .enumeration(let type):
      checkEnumeration(text, type: type, at: start, for: field)
    case .message:
      preconditionFailure("blocks are read elsewhere")
    }
  }

  private static let placeholderHint = "; in a template, fill in the placeholder first"

  private func magnitude(of digits: String) -> UInt64? {
    if digits.lowercased().hasPrefix("0x") { return UInt64(digits.dropFirst(2), radix: 16) }
    if digits.hasPrefix("0") { return UInt64(digits, radix: 8) }
    return digits.allSatisfy(\.isNumber) ? UInt64(digits) ?? .max : nil
  }

  private func mismatch(_ text: String, _ field: SchemaDescription.Field) -> String {
    "'\(field.name)' takes \(wanted(by: field)), got \(text)"
  }

  /// What a field takes, in words.
  private func wanted(by field: SchemaDescription.Field) -> String {
    switch field.kind {
    case .signed: "a whole number"
    case .unsigned: "a whole number, 0 or more"
    case .number: "a number"
    case .bool: "true or false"
    case .string: "a string in quotes"
    case .enumeration(let type): wantedValues(of: type)
    case .message: "a block"
    }
  }

  // MARK: Enumerations

  private func wantedValues(of type: String) -> String {
    "one of " + (schema.enumerations[type] ?? []).map(\.name).joined(separator: ", ")
  }

  private mutating func checkEnumeration(
    _ text: String, type: String, at token: TextToken, for field: SchemaDescription.Field
  ) {
    let values = schema.enumerations[type] ?? []
    if values.contains(where: { $0.name == text || String($0.number) == text }) { return }
    var message = "unknown value \(text) of '\(field.name)'"
    if let near = nearestName(to: text, among: values.map(\.name)) { message += "; did you mean \(near)?" }
    report(.unknownValue, message + " (known values: \(values.map(\.name).joined(separator: ", ")))", at: token)
  }

  // MARK: Strings

  private func stringWithoutQuotes(_ text: String, _ field: SchemaDescription.Field) -> String {
    var message = mismatch(text, field)
    if block.type == "caffe.LayerParameter", field.name == "type", let type = modernLayerType(ofV1: text) {
      message += "; write \"\(type)\""
    }
    return message
  }

  private mutating func readString(of field: SchemaDescription.Field) throws {
    let first = current
    while current.kind == .string {
      try checkString(current, for: field)
      advance()
    }
    guard field.kind != .string else { return }
    var message = mismatch(first.text, field)
    if case .enumeration(let type) = field.kind {
      let text = first.text.trimmingQuotes()
      let values = (schema.enumerations[type] ?? []).map(\.name)
      if values.contains(text) {
        message = "'\(field.name)' takes a name without quotes: write \(text)"
      } else if block.type == "caffe.V1LayerParameter", field.name == "type" {
        message = "'type' in 'layers' takes a name such as CONVOLUTION; with a type in quotes write 'layer'"
      }
    }
    report(.badParameter, message, at: first)
  }

  /// Whether a string token is whole and every backslash in it starts an escape.
  private mutating func checkString(_ token: TextToken, for field: SchemaDescription.Field) throws {
    guard let quote = token.text.unicodeScalars.first else { return }
    var escaped = false
    var closed = false
    for character in token.text.unicodeScalars.dropFirst() {
      if escaped {
        escaped = false
        if !"abfnrtv\\?'\"xXuU01234567".unicodeScalars.contains(character) {
          report(
            .syntax, "'\\\(character)' in the value of '\(field.name)' means nothing; write '\\\\' for a backslash",
            at: token)
        }
      } else if character == "\\" {
        escaped = true
      } else if character == quote {
        closed = true
      }
    }
    if !closed {
      try lose("the value of '\(field.name)' has no closing \(quote) on its line", at: token)
    }
  }

  // MARK: Skipping

  /// Skips whatever follows the name of an unknown field.
  mutating func skipValue() throws {
    _ = take(":")
    guard isAt("{", "<", "[") else { return skipScalar() }
    let opening = current
    var depth = 0
    repeat {
      if current.kind == .end { try lose("\(quoted(opening)) is never closed", at: opening) }
      if isAt("{", "<", "[") { depth += 1 }
      if isAt("}", ">", "]") { depth -= 1 }
      advance()
    } while depth > 0
  }

  mutating func skipScalar() {
    if take("-") {
      advance()
      return
    }
    if current.kind == .string {
      while current.kind == .string { advance() }
    } else if current.kind != .symbol, !isFieldName(at: index) {
      advance()
    }
  }
}
