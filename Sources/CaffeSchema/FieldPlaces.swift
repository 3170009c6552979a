import Diagnostics

/// Where the fields of one message stand in the text that it was read from.
///
/// Paths are relative to the message: `convolution_param.kernel_size`, `param[1].lr_mult`. A message that came from
/// no text (a `.caffemodel`) has the file alone as the place of everything, and one without a file no place at all.
package struct FieldPlaces: Sendable {
  /// Counted from 1.
  struct Position: Hashable, Sendable {
    var line: Int32
    var column: Int32
  }

  private let file: String?
  /// By path from the message that the whole file holds.
  private let positions: [String: Position]
  /// The path of the message whose names `moved` speaks of.
  private var root: String
  /// From the root to the message that paths are relative to.
  private var scope = ""
  /// Fields that stand elsewhere than their name says, because an older form of the file was upgraded: from the path
  /// in the new form to the path in the text, both relative to the root. An empty path is the message itself.
  private var moved: [String: String] = [:]
  /// Of messages that were merged into this one, one after the other; see `overlaid`.
  private var overlays: [FieldPlaces] = []

  private init(file: String?, positions: [String: Position], root: String) {
    self.file = file
    self.positions = positions
    self.root = root
  }

  init(file: String, positions: [String: Position]) {
    self.init(file: file, positions: positions, root: "")
  }

  /// Of a message that no text stands behind.
  package init(file: String?) {
    self.init(file: file, positions: [:], root: "")
  }

  /// The place of a field's name; where the field is absent, of the nearest message around it that is there.
  /// An empty path asks for the message itself.
  package func location(_ path: String) -> SourceLocation? {
    guard let file else { return nil }
    var wanted = FieldPath.joined(scope, path)
    while true {
      for level in overlays.indices.reversed() {
        if let position = position(wanted, inOverlay: level), let file = overlays[level].file {
          return SourceLocation(file: file, line: Int(position.line), column: Int(position.column))
        }
      }
      if let position = position(ofText: FieldPath.joined(root, inText(wanted))) {
        return SourceLocation(file: file, line: Int(position.line), column: Int(position.column))
      }
      guard !wanted.isEmpty else { return SourceLocation(file: file) }
      wanted = FieldPath.parent(of: wanted)
    }
  }

  /// The places of the message that a field holds.
  package func scoped(to path: String) -> FieldPlaces {
    var copy = self
    copy.scope = FieldPath.joined(scope, path)
    return copy
  }

  /// The places once another message was merged into this one: its fields take the place of the same ones, and its repeated
  /// ones come behind.
  ///
  /// - Parameter places: of the other message, which may be of another file.
  package func overlaid(by places: FieldPlaces) -> FieldPlaces {
    var copy = self
    copy.overlays.append(places)
    return copy
  }

  /// - Parameter path: in the merged message.
  private func position(_ path: String, inOverlay level: Int) -> Position? {
    var (merged, own) = ("", "")
    for field in path.split(separator: ".").map(String.init) {
      guard let open = field.firstIndex(of: "["), let index = Int(field[open...].dropFirst().dropLast()) else {
        (merged, own) = (FieldPath.joined(merged, field), FieldPath.joined(own, field))
        continue
      }
      let list = FieldPath.joined(merged, String(field[..<open]))
      let before = (0..<index).count { isGiven("\(list)[\($0)]", below: level) }
      if isGiven("\(list)[\(index)]", below: level) { return nil }
      merged = "\(list)[\(index)]"
      own = FieldPath.joined(own, "\(field[..<open])[\(index - before)]")
    }
    return own.isEmpty ? nil : overlays[level].exactPosition(own)
  }

  /// Whether this message gives a field, or one of the overlays below a level.
  private func isGiven(_ path: String, below level: Int) -> Bool {
    position(ofText: FieldPath.joined(root, inText(path))) != nil
      || (0..<level).contains { position(path, inOverlay: $0) != nil }
  }

  /// The places of a message that an upgrade made from the one at `path`; see `moved`.
  func upgraded(from path: String, moved: [String: String] = [:]) -> FieldPlaces {
    let root = FieldPath.joined(root, inText(FieldPath.joined(scope, path)))
    var copy = FieldPlaces(file: file, positions: positions, root: root)
    copy.moved = moved
    return copy
  }

  /// The position of this very field; nil where the text does not give it.
  func exactPosition(_ path: String) -> Position? {
    position(ofText: FieldPath.joined(root, inText(FieldPath.joined(scope, path))))
  }

  private func position(ofText path: String) -> Position? {
    path.isEmpty ? nil : positions[path] ?? positions[path + "[0]"]
  }

  private func inText(_ path: String) -> String {
    guard !moved.isEmpty else { return path }
    var start = path
    while !start.isEmpty {
      if let target = moved[start] { return target + path.dropFirst(start.count) }
      start = FieldPath.parent(of: start)
    }
    return path.isEmpty ? moved[""] ?? "" : path
  }
}

/// Paths of fields, such as `layer[3].param[0].name`.
enum FieldPath {
  static func joined(_ parent: String, _ child: String) -> String {
    if parent.isEmpty { return child }
    return child.isEmpty ? parent : parent + "." + child
  }

  /// The path without its last field; empty at the top.
  static func parent(of path: String) -> String {
    guard let dot = path.lastIndex(of: ".") else { return "" }
    return String(path[..<dot])
  }
}
