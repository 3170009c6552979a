/// What a `param_str` gives to a Python layer: numbers and lists of numbers by name, in the forms that public nets have: a
/// Python dictionary or YAML, such as `'feat_stride': 16` or `{"scales": !!python/tuple [4, 8]}`. Other values are left out.
struct PythonArguments: Sendable {
  private var numbers: [String: [Double]] = [:]

  init(_ text: String) {
    var rest = Substring(text)
    while let colon = rest.firstIndex(of: ":") {
      let name = rest[..<colon].reversed().drop { !Self.isPartOfName($0) }.prefix(while: Self.isPartOfName)
      rest = rest[rest.index(after: colon)...]
      let value = rest.drop { $0.isWhitespace }.drop { $0 == "!" }
      // A tag such as !!python/tuple has no colon and ends at a space.
      let untagged = rest.drop { $0.isWhitespace }.hasPrefix("!") ? value.drop { !$0.isWhitespace } : value
      if let list = Self.numbers(untagged.drop { $0.isWhitespace }) { numbers[String(name.reversed())] = list }
    }
  }

  private static func isPartOfName(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_"
  }

  private static func numbers(_ text: Substring) -> [Double]? {
    guard let first = text.first else { return nil }
    if first == "[" || first == "(" {
      let list = text.dropFirst().prefix { $0 != "]" && $0 != ")" }
      return list.split(separator: ",").compactMap { Double($0.filter { !$0.isWhitespace }) }
    }
    let number = text.prefix { $0.isNumber || "+-.eE".contains($0) }
    return Double(number).map { [$0] }
  }

  func list(_ name: String) -> [Double]? { numbers[name] }

  /// A whole number from 1 on.
  func count(_ name: String) -> Int? {
    guard let value = numbers[name]?.first, value >= 1, value < 1e6 else { return nil }
    return Int(value)
  }
}
