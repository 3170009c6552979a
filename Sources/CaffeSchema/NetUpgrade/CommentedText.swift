import SwiftProtobuf

/// Writes a message as text with the comments of the text that it was read from, each beside the field that it stood at.
///
/// A comment on a line of its own goes before the next field of the old text that the new one has too; a comment behind
/// a field stays behind it.
struct CommentedText {
  private struct Comment {
    var position: FieldPlaces.Position
    var text: String
    /// Whether something stands before it on its line.
    var isBehind: Bool
  }

  private let comments: [Comment]

  /// - Parameter text: the old text.
  init(_ text: String) { comments = CommentedText.comments(in: text) }

  /// - Parameter position: where a field of the new text stands in the old one, by its path, such as `layer[2].name`.
  func print(_ message: some Message, position: (_ path: String) -> FieldPlaces.Position?) -> String {
    let lines = PrintedLine.lines(of: message)
    // The first line for each place: an upgrade may make several fields of one.
    var places: [(position: FieldPlaces.Position, line: Int)] = []
    var taken: Set<FieldPlaces.Position> = []
    for (index, line) in lines.enumerated() {
      guard let path = line.path, let place = position(path), taken.insert(place).inserted else { continue }
      places.append((place, index))
    }
    places.sort { CommentedText.isBefore($0.position, $1.position) }
    var before: [Int: [String]] = [:]
    var behind: [Int: [String]] = [:]
    var last: [String] = []
    for comment in comments {
      let sameLine = places.last {
        $0.position.line == comment.position.line && $0.position.column < comment.position.column
      }
      if comment.isBehind, let sameLine {
        behind[sameLine.line, default: []].append(comment.text)
      } else if let next = places.first(where: { CommentedText.isBefore(comment.position, $0.position) }) {
        before[next.line, default: []].append(comment.text)
      } else {
        last.append(comment.text)
      }
    }
    var output: [String] = []
    for (index, line) in lines.enumerated() {
      let margin = String(repeating: " ", count: line.indent)
      output += (before[index] ?? []).map { margin + $0 }
      output.append(([margin + line.text] + (behind[index] ?? [])).joined(separator: "  "))
    }
    return (output + last).joined(separator: "\n") + "\n"
  }

  private static func isBefore(_ a: FieldPlaces.Position, _ b: FieldPlaces.Position) -> Bool {
    (a.line, a.column) < (b.line, b.column)
  }

  /// From `#` to the end of the line, outside of strings.
  private static func comments(in text: String) -> [Comment] {
    var comments: [Comment] = []
    // By scalars: to Swift, a carriage return and a newline are one character.
    let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    for (number, line) in lines.enumerated() {
      var quote: Unicode.Scalar?
      var isEscaped = false
      // As libprotobuf counts: bytes, and tabs to multiples of 8.
      var column = 0
      for (index, scalar) in line.enumerated() {
        if let open = quote {
          if scalar == open, !isEscaped { quote = nil }
          isEscaped = scalar == "\\" && !isEscaped
        } else if scalar == "\"" || scalar == "'" {
          quote = scalar
        } else if scalar == "#" {
          let rest = String(String.UnicodeScalarView(line.dropFirst(index)))
          comments.append(
            Comment(
              position: .init(line: Int32(number + 1), column: Int32(column + 1)), text: rest.trimmed,
              isBehind: line.prefix(index).contains { !$0.properties.isWhitespace }))
          break
        }
        column += scalar == "\t" ? 8 - column % 8 : UTF8.width(scalar)
      }
    }
    return comments
  }
}

extension String {
  fileprivate var trimmed: String {
    var text = self[...]
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}

/// A line of a printed message.
private struct PrintedLine {
  var indent: Int
  var text: String
  /// Of the field that starts here; nil for a closing brace.
  var path: String?

  /// Lists of numbers become a line for each, as every version of the format's readers takes them.
  static func lines(of message: some Message) -> [PrintedLine] {
    var lines: [PrintedLine] = []
    var scopes = [Scope(path: "", type: type(of: message).protoMessageName)]
    for raw in printText(message).split(separator: "\n") {
      let text = raw.drop { $0 == " " }
      let indent = raw.count - text.count
      if text == "}" {
        scopes.removeLast()
        lines.append(PrintedLine(indent: indent, text: "}", path: nil))
        continue
      }
      let name = String(text.prefix { $0 != ":" && $0 != " " })
      if text.hasSuffix(" {") {
        let path = scopes[scopes.count - 1].next(name)
        lines.append(PrintedLine(indent: indent, text: String(text), path: path.path))
        scopes.append(Scope(path: path.path, type: path.type))
        continue
      }
      let value = text.dropFirst(name.count + 2)
      let values =
        value.first == "[" ? value.dropFirst().dropLast().split(separator: ",").map { $0.drop { $0 == " " } } : [value]
      for value in values {
        let path = scopes[scopes.count - 1].next(name).path
        // 1.0 is 1 to every reader.
        let isWhole = value.hasSuffix(".0") && value.first != "\""
        lines.append(
          PrintedLine(indent: indent, text: "\(name): \(isWhole ? value.dropLast(2) : value)", path: path))
      }
    }
    return lines
  }

  /// A message that is being printed.
  private struct Scope {
    let path: String
    /// Its full name.
    let type: String
    private var counts: [String: Int] = [:]

    init(path: String, type: String) {
      self.path = path
      self.type = type
    }

    /// The path and the message type of the next field `name`.
    mutating func next(_ name: String) -> (path: String, type: String) {
      let field = SchemaDescription.shared.field(name, of: type)
      var inner = ""
      if case .message(let message) = field?.kind { inner = message }
      guard field?.isRepeated == true else { return (FieldPath.joined(path, name), inner) }
      let index = counts[name, default: 0]
      counts[name] = index + 1
      return (FieldPath.joined(path, "\(name)[\(index)]"), inner)
    }
  }
}
