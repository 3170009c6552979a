import Diagnostics
import Foundation

/// A file of Caffe brought into today's form, whatever it holds: a net or a solver as text, or weights.
package struct FileUpgrade: Sendable {
  package enum Content: Sendable {
    case text(String)
    case weights(NetParameter)
  }

  package let content: Content
  /// Whether the file was in an older form; if not, a text is what it was, byte for byte.
  package let isChanged: Bool
  /// What the upgrade had to leave out.
  package let warnings: [Diagnostic]

  /// - Throws: a `Diagnostic` for a file that cannot be read; what `NetSource` and `SolverSource` throw.
  package init(path: String) throws {
    let bytes = try readFile(path)
    if FileKind(bytes) == .binary {
      let old = try readBinary(path, as: NetParameter.self)
      let source = try NetSource(parameter: old, file: path)
      content = .weights(source.parameter)
      isChanged = old != source.parameter
      warnings = source.warnings
      return
    }
    try checkIsText(bytes, path: path)
    let text = String(decoding: bytes, as: UTF8.self)
    do {
      let net = try TextFile<NetParameter>.read(path: path)
      let source = try NetSource(parameter: net.message, places: net.places, file: path)
      isChanged = net.message != source.parameter
      warnings = source.warnings
      content = .text(isChanged ? FileUpgrade.print(source, from: text) : text)
    } catch {
      // What is no net may be a solver.
      guard let solver = try? TextFile<SolverParameter>.read(path: path) else { throw error }
      let upgraded = try SolverUpgrade(text, file: path)
      isChanged = solver.message != upgraded.parameter
      warnings = upgraded.warnings
      content = .text(isChanged ? upgraded.print(from: text) : text)
    }
  }

  private static func print(_ source: NetSource, from text: String) -> String {
    CommentedText(text).print(source.parameter, position: source.position)
  }
}

extension NetSource {
  /// Where a field of the upgraded net, such as `layer[2].name`, stands in the text.
  fileprivate func position(of path: String) -> FieldPlaces.Position? {
    let start = "layer["
    guard path.hasPrefix(start), let close = path.firstIndex(of: "]"),
      let index = Int(path[path.index(path.startIndex, offsetBy: start.count)..<close]),
      layerPlaces.indices.contains(index)
    else { return places.exactPosition(path) }
    let inner = String(path[path.index(after: close)...].drop { $0 == "." })
    // A field that had one value in the old form may have several today.
    let single = inner.hasSuffix("[0]") ? String(inner.dropLast(3)) : inner
    return layerPlaces[index].exactPosition(inner) ?? layerPlaces[index].exactPosition(single)
  }
}

/// A solver in today's form, the nets inside it too.
private struct SolverUpgrade {
  var parameter: SolverParameter
  var warnings: [Diagnostic] = []
  private let places: FieldPlaces
  /// By the path of the field that holds them.
  private var nets: [(path: String, source: NetSource)] = []

  init(_ text: String, file: String) throws {
    let solver = try SolverSource(text: text, file: file)
    parameter = solver.parameter
    places = solver.places
    if parameter.hasNetParam { parameter.netParam = try upgraded(parameter.netParam, "net_param", file) }
    if parameter.hasTrainNetParam {
      parameter.trainNetParam = try upgraded(parameter.trainNetParam, "train_net_param", file)
    }
    for index in parameter.testNetParam.indices {
      parameter.testNetParam[index] = try upgraded(
        parameter.testNetParam[index], "test_net_param[\(index)]", file)
    }
  }

  private mutating func upgraded(_ net: NetParameter, _ path: String, _ file: String) throws -> NetParameter {
    let source = try NetSource(parameter: net, places: places.scoped(to: path), file: file)
    nets.append((path, source))
    warnings += source.warnings
    return source.parameter
  }

  func print(from text: String) -> String {
    CommentedText(text).print(parameter) { path in
      for (start, source) in nets where path.hasPrefix(start + ".") {
        return source.position(of: String(path.dropFirst(start.count + 1)))
      }
      return places.exactPosition(path)
    }
  }
}
