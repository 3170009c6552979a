import Diagnostics

/// Says what is wrong with a text that libprotobuf refused, in the terms of its author.
///
/// libprotobuf stops at the first fault and speaks of tokens. This walks the same tokens with the schema at hand, goes
/// on after faults inside a field (an unknown name, a wrong value), and stops at one of structure (a missing brace),
/// after which nothing can be trusted.
struct TextFaultFinder {
  let tokens: [TextToken]
  let text: String
  let file: String
  let schema = SchemaDescription.shared
  var index = 0
  /// The blocks that are open, outermost first.
  var blocks: [Block] = []
  var faults: [Diagnostic] = []
  /// Of the last `layers` block that was opened.
  private var layerNumber: Int?
  /// What of the faults a reader may leave out.
  var foreign: [ForeignText] = []

  /// A message whose fields are being read.
  struct Block {
    /// The full name of its type.
    var type: String
    /// The field that opened it; nil for the file itself.
    var field: TextToken?
    /// What closes it; nil for the file itself.
    var closing: String?
    /// Its layer, where it is a layer's block or inside one.
    var layer: Diagnostic.Layer?
    /// Where each field was given first.
    var given: [String: TextToken] = [:]
  }

  /// A field, or a value with its field, that the schema does not know and that is no likely slip of the pen: a fork's.
  struct ForeignText {
    var fault: Diagnostic
    /// Of the whole field.
    var tokens: Range<Int>
    /// Where it is the type of a layer in `layers`: the layer's number, and the type.
    var layerType: (layer: Int, type: String)?
  }

  /// A fault of structure: the rest of the text cannot be read.
  private struct Lost: Error {}

  /// - Parameter tokens: all of the text; the last is of kind `end`.
  init(tokens: [TextToken], text: String, file: String) {
    self.tokens = tokens
    self.text = text
    self.file = file
  }

  /// All faults that can be told apart, in the order of the text.
  mutating func faults(readAs type: String) -> [Diagnostic] {
    blocks = [Block(type: type)]
    do {
      try readFields()
    } catch {
      // The fault that led here is in the list.
    }
    return faults
  }

  var current: TextToken { tokens[index] }

  var block: Block { blocks[blocks.count - 1] }

  mutating func report(
    _ code: Diagnostic.Code, _ message: String, at token: TextToken, notes: [Diagnostic.Note] = []
  ) {
    faults.append(Diagnostic(code, message, layer: block.layer, at: location(of: token), notes: notes))
  }

  func location(of token: TextToken) -> SourceLocation {
    SourceLocation(file: file, line: Int(token.position.line), column: Int(token.position.column))
  }

  mutating func advance() {
    if current.kind != .end { index += 1 }
  }

  func isAt(_ symbols: String...) -> Bool {
    current.kind == .symbol && symbols.contains(current.text)
  }

  mutating func take(_ symbol: String) -> Bool {
    guard isAt(symbol) else { return false }
    advance()
    return true
  }

  /// Reports a fault of structure and gives up.
  mutating func lose(
    _ message: String, at token: TextToken? = nil, notes: [Diagnostic.Note] = []
  ) throws -> Never {
    report(.syntax, message, at: token ?? current, notes: notes)
    throw Lost()
  }

  // MARK: Fields

  private mutating func readFields() throws {
    while true {
      switch current.kind {
      case .end:
        guard let field = block.field else { return }
        try lose(
          "the block of '\(field.text)' is never closed; expected '\(block.closing ?? "}")' before the end of the file",
          notes: [Diagnostic.Note("'\(field.text)' is opened", at: location(of: field))])
      case .symbol where isAt("}", ">"):
        if current.text == block.closing { return }
        guard let closing = block.closing else {
          try lose("'\(current.text)' closes nothing: there is one too many, or a block above ends too early")
        }
        try lose("expected '\(closing)' to close '\(block.field?.text ?? "")', got '\(current.text)'")
      case .identifier:
        try readField()
      default:
        try lose("expected the name of a field, got \(quoted(current))")
      }
    }
  }

  private mutating func readField() throws {
    let name = current
    guard let field = schema.field(name.text, of: block.type) else {
      try checkBlockIsClosed(before: name)
      let (fault, start) = (faults.count, index)
      report(.unknownField, unknownFieldMessage(name.text), at: name)
      advance()
      try skipValue()
      skipSeparator()
      if !isMistaken(field: name.text) {
        foreign.append(ForeignText(fault: faults[fault], tokens: start..<index))
      }
      return
    }
    let (fault, start) = (faults.count, index)
    defer { noteForeignValue(of: field, fault, start) }
    advance()
    noteGiven(field, at: name)
    if case .message(let type) = field.kind {
      try readBlocks(of: field, type: type, name: name)
    } else {
      try readValues(of: field)
    }
    skipSeparator()
  }

  /// Notes a value that was read, and reported, as none of its field's.
  private mutating func noteForeignValue(of field: SchemaDescription.Field, _ fault: Int, _ start: Int) {
    guard case .enumeration(let kind) = field.kind, field.name != "phase", faults.count == fault + 1 else { return }
    let isLayerType = block.type == "caffe.V1LayerParameter" && field.name == "type"
    if isLayerType, let layer = layerNumber, let quoted = tokens[start..<index].last(where: { $0.kind == .string }) {
      let type = quoted.text.trimmingQuotes()
      foreign.append(
        ForeignText(
          fault: faults[fault], tokens: start..<index, layerType: (layer, modernLayerType(ofV1: type) ?? type)))
    }
    guard faults[fault].code == .unknownValue else { return }
    let value = tokens[start..<index].last { $0.kind == .identifier }?.text ?? ""
    guard !isSlip(value, among: schema.enumerations[kind]?.map(\.name) ?? []) else { return }
    let layer = isLayerType ? layerNumber : nil
    foreign.append(
      ForeignText(fault: faults[fault], tokens: start..<index, layerType: layer.map { ($0, value) }))
  }

  private mutating func noteGiven(_ field: SchemaDescription.Field, at name: TextToken) {
    if let first = block.given[field.name], !field.isRepeated {
      report(
        .syntax, "'\(field.name)' is given twice, but \(SchemaDescription.shortName(block.type)) takes it once",
        at: name, notes: [Diagnostic.Note("it is given first", at: location(of: first))])
    } else {
      blocks[blocks.count - 1].given[field.name] = name
    }
  }

  /// A layer that seems to stand inside another tells that a brace is missing above.
  private mutating func checkBlockIsClosed(before name: TextToken) throws {
    guard name.text == "layer" || name.text == "layers", let field = block.field else { return }
    try lose(
      "expected '\(block.closing ?? "}")' before '\(name.text)': the block of '\(field.text)' is still open", at: name,
      notes: [Diagnostic.Note("'\(field.text)' is opened", at: location(of: field))])
  }

  private mutating func readBlocks(of field: SchemaDescription.Field, type: String, name: TextToken) throws {
    _ = take(":")
    if field.isRepeated, take("[") {
      if take("]") { return }
      while true {
        try readBlock(of: field, type: type, name: name)
        if take("]") { return }
        if !take(",") { try lose("expected ',' or ']' in the list of '\(field.name)', got \(quoted(current))") }
      }
    }
    try readBlock(of: field, type: type, name: name)
  }

  private mutating func readBlock(of field: SchemaDescription.Field, type: String, name: TextToken) throws {
    guard isAt("{", "<") else {
      if current.kind != .end, current.position.line == name.position.line {
        report(.syntax, "'\(field.name)' takes a block: expected '{', got \(quoted(current))", at: current)
        return skipScalar()
      }
      try lose("expected '{' after '\(field.name)', got \(quoted(current))")
    }
    let layer = layerOfBlock(ofType: type) ?? block.layer
    let closing = current.text == "{" ? "}" : ">"
    advance()
    if type == "caffe.V1LayerParameter" { layerNumber = layerNumber.map { $0 + 1 } ?? 0 }
    blocks.append(Block(type: type, field: name, closing: closing, layer: layer))
    try readFields()
    blocks.removeLast()
    advance()
  }

  private mutating func skipSeparator() {
    if !take(";") { _ = take(",") }
  }

  // MARK: The layer of a block

  /// The name and type of the layer whose block opens at the current token, as the text gives them.
  private func layerOfBlock(ofType type: String) -> Diagnostic.Layer? {
    guard ["caffe.LayerParameter", "caffe.V1LayerParameter", "caffe.V0LayerParameter"].contains(type) else {
      return nil
    }
    var depth = 0
    var found: [String: String] = [:]
    for position in index..<max(index, tokens.count - 2) {
      let token = tokens[position]
      if token.kind == .symbol {
        if token.text == "{" || token.text == "<" { depth += 1 }
        if token.text == "}" || token.text == ">" { depth -= 1 }
        if depth == 0 { break }
      }
      // A layer inside a layer: the brace that closes this one is missing.
      if token.kind == .identifier, ["layer", "layers"].contains(token.text), tokens[position + 1].text == "{",
        type != "caffe.V1LayerParameter"
      {
        break
      }
      guard depth == 1, token.kind == .identifier, ["name", "type"].contains(token.text),
        tokens[position + 1].text == ":", found[token.text] == nil
      else { continue }
      found[token.text] = tokens[position + 2].text.trimmingQuotes()
    }
    guard let name = found["name"], let type = found["type"] else { return nil }
    return Diagnostic.Layer(name: name, type: type)
  }
}

extension String {
  /// Without the quotes around a string token.
  func trimmingQuotes() -> String {
    guard let quote = unicodeScalars.first, quote == "\"" || quote == "'" else { return self }
    let isClosed = unicodeScalars.count > 1 && unicodeScalars.last == quote
    return String(unicodeScalars.dropFirst().dropLast(isClosed ? 1 : 0))
  }
}
