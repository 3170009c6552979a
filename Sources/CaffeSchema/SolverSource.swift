import Diagnostics
import Foundation

/// A training job as its author wrote it, in today's form, with the places of its fields.
package struct SolverSource: Sendable {
  package var parameter: SolverParameter
  package var places: FieldPlaces
  package var file: String?

  /// Reads a solver prototxt.
  ///
  /// A `snapshot_prefix` that is absent becomes the file's own path without its ending, and one that names a folder
  /// gets the file's name in that folder, as Caffe does. Throws what `TextFile.read` throws, and a `Diagnostic` where
  /// both `type` and `solver_type` are given.
  package static func read(path: String) throws -> SolverSource {
    var source = try SolverSource(TextFile.read(path: path))
    let url = URL(fileURLWithPath: path)
    var isFolder: ObjCBool = false
    if !source.parameter.hasSnapshotPrefix {
      source.parameter.snapshotPrefix = (path as NSString).deletingPathExtension
    } else if FileManager.default.fileExists(atPath: source.parameter.snapshotPrefix, isDirectory: &isFolder),
      isFolder.boolValue
    {
      let folder = source.parameter.snapshotPrefix as NSString
      source.parameter.snapshotPrefix = folder.appendingPathComponent(url.deletingPathExtension().lastPathComponent)
    }
    return source
  }

  /// From a text; `file` is its name in messages.
  package init(text: String, file: String) throws {
    try self.init(parseText(text, file: file))
  }

  private init(_ text: TextFile<SolverParameter>) throws {
    parameter = text.message
    places = text.places
    file = text.file
    guard parameter.hasSolverType else { return }
    guard !parameter.hasType else {
      throw Diagnostic(
        .badSolver, "'type' and 'solver_type' are both given; keep 'type'", at: places.location("solver_type"),
        notes: [Diagnostic.Note("'type' is given", at: places.location("type"))])
    }
    parameter.type = parameter.solverType.typeName
    parameter.clearSolverType()
    places = places.upgraded(from: "", moved: ["type": "solver_type"])
  }
}

extension SolverParameter.SolverType {
  /// The solver's name in the field that replaced this one.
  fileprivate var typeName: String {
    switch self {
    case .sgd: "SGD"
    case .nesterov: "Nesterov"
    case .adagrad: "AdaGrad"
    case .rmsprop: "RMSProp"
    case .adadelta: "AdaDelta"
    case .adam: "Adam"
    }
  }
}
