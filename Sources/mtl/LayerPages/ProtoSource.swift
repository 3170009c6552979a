import CaffeSchema

/// The fields of `caffe.proto` with what its comments say of them.
struct ProtoSource {
  struct Field {
    var name: String
    /// `uint32`, `bool`, the name of a message or an enumeration.
    var type: String
    var isRepeated: Bool
    /// As the text format writes it; nil where there is none.
    var defaultValue: String?
    var comment: String
    /// Not of Caffe.
    var isForks: Bool
  }

  /// The fields of each message, by its name without what is around it.
  private(set) var messages: [String: [Field]] = [:]
  /// The values of each enumeration, by its name with that of the message around it: `PoolingParameter.PoolMethod`.
  private(set) var enumerations: [String: [String]] = [:]

  init(_ text: String) {
    var open: [(kind: String, name: String)] = []
    var comment: [String] = []
    for raw in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let line = raw.trimmedBlanks
      let words = line.split(separator: " ").map(String.init)
      if line.hasPrefix("//") {
        comment.append(line.dropFirst(2).trimmedBlanks)
        continue
      }
      if line.hasPrefix("message ") || line.hasPrefix("enum ") {
        let outer = words[0] == "enum" ? open.last.map { $0.name + "." } ?? "" : ""
        open.append((words[0], outer + words[1]))
      } else if line.hasPrefix("}") {
        if !open.isEmpty { open.removeLast() }
      } else if let scope = open.last, let equals = words.firstIndex(of: "="), line.hasSuffix(";") {
        add(words, equals, scope, comment.joined(separator: " "))
      }
      comment = []
    }
  }

  private mutating func add(_ words: [String], _ equals: Int, _ scope: (kind: String, name: String), _ comment: String)
  {
    if scope.kind == "enum" {
      enumerations[scope.name, default: []].append(words[0])
      return
    }
    guard equals >= 3, equals + 1 < words.count else { return }
    let number = Int(words[equals + 1].filter(\.isNumber)) ?? 0
    let options = words[(equals + 2)...].joined(separator: " ")
    var value: String?
    if let start = options.range(of: "default = ")?.upperBound {
      value = String(options[start...].prefix { !"],;".contains($0) })
    }
    messages[scope.name, default: []].append(
      Field(
        name: words[equals - 1], type: words[equals - 2], isRepeated: words[0] == "repeated", defaultValue: value,
        comment: comment, isForks: number >= 10_000))
  }

  func field(_ name: String, of message: String) -> Field? { messages[message]?.first { $0.name == name } }
}

extension StringProtocol {
  /// Without blanks at both ends.
  var trimmedBlanks: String {
    var rest = self[...]
    while rest.first?.isWhitespace == true { rest.removeFirst() }
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return String(rest)
  }
}
