import Diagnostics

// What a fault's message says beyond the token at fault.
extension TextFaultFinder {
  func quoted(_ token: TextToken) -> String {
    switch token.kind {
    case .end: "the end of the file"
    case .string: token.text
    case .symbol where token.text.first == "\u{FFFD}": describedCharacter(at: token.position)
    default: "'\(token.text)'"
    }
  }

  /// A character that is not ASCII; libprotobuf takes it apart into bytes.
  private func describedCharacter(at position: FieldPlaces.Position) -> String {
    // By scalars: to Swift, a carriage return and a newline are one character.
    let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.indices.contains(Int(position.line) - 1),
      let scalar = lines[Int(position.line) - 1].dropFirst(Int(position.column) - 1).first
    else { return "a byte that is no text" }
    switch scalar {
    case "\u{201C}", "\u{201D}", "\u{2018}", "\u{2019}": return "the curly quote '\(scalar)'; use straight quotes"
    case "\u{A0}", "\u{3000}": return "a no-break or wide space; use a plain one"
    case "\u{FFFD}": return "a byte that is no UTF-8"
    default: return "'\(scalar)'"
    }
  }

  func unknownFieldMessage(_ name: String) -> String {
    let message = "unknown field '\(name)' in \(SchemaDescription.shortName(block.type))"
    if let home = home(of: name) { return message + "; " + home }
    guard let near = nearestField(to: name) else { return message }
    return message + "; did you mean '\(near)'?"
  }

  /// Whether an unknown field is more likely a known one, misspelt or in the wrong place, than one of a fork.
  ///
  /// A field of a block that is for another type of layer is no likely one: names such as `pad_ratio` or `margin` are many
  /// forks' own. Nor is one that is named after its layer (`grn_param` of a GRN layer), or that differs in a word of one
  /// letter (`kernel_d`, beside `kernel_h`).
  func isMistaken(field name: String) -> Bool {
    if home(of: name, ofThisLayer: true) != nil { return true }
    if let type = block.layer?.type, name == type.lowercased() + "_param" { return false }
    let words = name.split(separator: "_")
    let others = (schema.messages[block.type] ?? []).map(\.name).filter { known in
      let knownWords = known.split(separator: "_")
      let differing = zip(words, knownWords).filter { $0 != $1 }
      return !(words.count == knownWords.count && differing.count == 1 && differing[0].0.count == 1)
    }
    return isSlip(name, among: others)
  }

  /// Two names that end in _param are compared by what is before it, lest the ending make them alike.
  private func nearestField(to name: String) -> String? {
    let known = (schema.messages[block.type] ?? []).map(\.name)
    let ending = "_param"
    guard name.hasSuffix(ending) else { return nearestName(to: name, among: known) }
    let stems = known.filter { $0.hasSuffix(ending) }.map { String($0.dropLast(ending.count)) }
    return nearestName(to: String(name.dropLast(ending.count)), among: stems).map { $0 + ending }
  }

  /// Where a field belongs that is known, but not in the block at hand.
  ///
  /// - Parameter ofThisLayer: whether only blocks named like the layer's type count.
  private func home(of name: String, ofThisLayer: Bool = false) -> String? {
    if block.type == "caffe.LayerParameter" {
      if name == "blobs_lr" { return "write param { lr_mult: … } for each parameter" }
      if name == "weight_decay" { return "write param { decay_mult: … } for each parameter" }
    }
    for (outer, inner) in zip(blocks, blocks.dropFirst()).reversed() where schema.field(name, of: outer.type) != nil {
      return "it belongs outside '\(inner.field?.text ?? "")'"
    }
    if blocks.count == 1, let home = homeInOtherFile(of: name) { return home }
    if let field = holder(of: name, among: schema.messages[block.type] ?? [], ofThisLayer) {
      return "it belongs in '\(field) { … }'"
    }
    let layer = blocks.last { $0.type == "caffe.LayerParameter" || $0.type == "caffe.V1LayerParameter" }
    guard let layer, layer.type != block.type else { return nil }
    return holder(of: name, among: schema.messages[layer.type] ?? [], ofThisLayer).map {
      "it belongs in '\($0) { … }'"
    }
  }

  /// For fields at the top of a file.
  private func homeInOtherFile(of name: String) -> String? {
    switch block.type {
    case "caffe.NetParameter" where schema.field(name, of: "caffe.SolverParameter") != nil:
      "it is a solver's; this file is read as a net"
    case "caffe.SolverParameter" where schema.field(name, of: "caffe.NetParameter") != nil:
      "it is a net's; this file is read as a solver"
    case "caffe.NetParameter" where schema.field(name, of: "caffe.LayerParameter") != nil:
      "it belongs in 'layer { … }'; is there one '}' too many above?"
    default: nil
    }
  }

  /// The one block among `fields` that takes a field of this name, or that of them which the layer's type speaks for.
  private func holder(
    of name: String, among fields: [SchemaDescription.Field], _ ofThisLayer: Bool
  ) -> String? {
    let holders = fields.filter { field in
      guard case .message(let type) = field.kind, type != block.type else { return false }
      return schema.field(name, of: type) != nil
    }
    guard let type = block.layer?.type else { return holders.count == 1 ? holders[0].name : nil }
    if holders.count == 1, !ofThisLayer { return holders[0].name }
    let parameter = type == "Deconvolution" ? "convolution" : type.lowercased().filter { $0 != "_" }
    return holders.first { $0.name.filter { $0 != "_" } == parameter + "param" }?.name
  }
}
