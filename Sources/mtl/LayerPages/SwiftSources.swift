import Diagnostics
import Foundation

/// The documentation comments of the Swift files that layers are written in.
struct SwiftSources {
  private var texts: [String: String] = [:]
  /// The file that declares a type.
  private var declarations: [String: String] = [:]

  /// - Parameter folders: read with the folders in them.
  init(folders: [String]) throws {
    for folder in folders {
      guard let paths = try? FileManager.default.subpathsOfDirectory(atPath: folder) else {
        throw Diagnostic(.unreadableFile, "there is no folder '\(folder)'")
      }
      for path in paths.sorted() where path.hasSuffix(".swift") {
        guard let text = try? String(contentsOfFile: "\(folder)/\(path)", encoding: .utf8) else { continue }
        add(text, path: "\(folder)/\(path)")
      }
    }
  }

  private mutating func add(_ text: String, path: String) {
    texts[path] = text
    for line in text.split(separator: "\n") where line.first != " " && !line.hasPrefix("//") {
      let parts = line.split(separator: " ").map(String.init)
      guard let keyword = parts.firstIndex(where: { ["struct", "class", "enum", "protocol"].contains($0) }),
        keyword + 1 < parts.count
      else { continue }
      let name = String(parts[keyword + 1].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
      declarations[name] = declarations[name] ?? path
    }
  }

  /// The paragraphs of the comment before a type's declaration.
  func comment(ofType name: String) -> String? {
    guard let path = declarations[name], let text = texts[path] else { return nil }
    var comment: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("///") {
        comment.append(String(line.dropFirst(3).drop { $0 == " " }))
      } else if line.contains("struct \(name):") || line.contains("struct \(name) ") {
        return comment.isEmpty ? nil : comment.joined(separator: "\n")
      } else {
        comment = []
      }
    }
    return nil
  }
}
