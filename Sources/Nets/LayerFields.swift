import CaffeSchema
import Diagnostics
import Foundation
import Tensors

/// What a layer definition is made from: its message, the place of each field, and where it stands.
package struct LayerFields: Sendable {
  package let parameter: LayerParameter
  package let places: FieldPlaces
  package let phase: Phase
  package let paths: PathSearch

  package init(parameter: LayerParameter, places: FieldPlaces, phase: Phase, paths: PathSearch) {
    self.parameter = parameter
    self.places = places
    self.phase = phase
    self.paths = paths
  }

  package var name: String { parameter.name }
  package var identity: Diagnostic.Layer { .init(name: parameter.name, type: parameter.type) }

  /// The place of `field`, a path such as `convolution_param.kernel_size`; of the layer when the field is not written.
  package func location(_ field: String = "") -> SourceLocation? { places.location(field) }

  /// A fault of this layer, at `field`.
  package func fault(
    _ code: Diagnostic.Code, _ message: String, at field: String = "", notes: [Diagnostic.Note] = []
  ) -> Diagnostic {
    Diagnostic(code, message, layer: identity, at: location(field), notes: notes)
  }

  /// The text of a file that `field` names.
  ///
  /// - Throws: `unreadableFile`.
  package func readText(_ path: String, at field: String) throws -> String {
    for candidate in paths.candidates(for: path) {
      if let data = FileManager.default.contents(atPath: candidate) { return String(decoding: data, as: UTF8.self) }
    }
    throw fault(.unreadableFile, "'\(path)' cannot be read", at: field)
  }

  /// A parameter that cannot be as it is.
  package func fault(_ message: String, at field: String = "") -> Diagnostic {
    fault(.badParameter, message, at: field)
  }
}

/// How the file names in a prototxt are looked up: as they stand from the working directory, then beside the file that
/// names them.
package struct PathSearch: Sendable {
  /// The directory of the prototxt; nil when there is none.
  package var directory: String?

  package init(besideFile file: String? = nil) {
    guard let file, let slash = file.lastIndex(of: "/") else { return }
    directory = String(file[..<slash])
  }

  /// The places where `path` may be, best first.
  package func candidates(for path: String) -> [String] {
    guard let directory, !path.hasPrefix("/") else { return [path] }
    return [path, directory + "/" + path]
  }
}
