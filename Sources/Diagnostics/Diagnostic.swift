/// A place in a text that a user wrote: a prototxt, a list file.
package struct SourceLocation: Hashable, Sendable {
  /// The path as the user gave it.
  package var file: String
  /// From 1; 0 means 'the file as a whole'.
  package var line: Int
  /// From 1; 0 means 'the line as a whole'.
  package var column: Int

  package init(file: String, line: Int = 0, column: Int = 0) {
    self.file = file
    self.line = line
    self.column = column
  }
}

/// A fault of the user's files, options, data or machine: what is wrong, where, and what to do about it.
///
/// Everything that a user can cause is thrown as a `Diagnostic` (or several, as a `DiagnosticList`), never trapped.
package struct Diagnostic: Error, Hashable, Sendable {
  package enum Severity: String, Sendable {
    case error, warning
  }

  /// What kind of fault it is, for tests and tools. The wording is free to change, the code is not.
  package enum Code: String, Sendable {
    // Text
    case syntax, unknownField, unknownValue, unreadableFile, unwritableFile
    // Nets
    case unknownLayerType, missingBottom, duplicateTop, duplicateLayer, cycle, badParameter, badShape
    case badSharing, unsupported, badPhase
    // A warning of a layer: a field that changes nothing here
    case noEffect
    // Data
    case badList, badRecord, badImage, badDatabase, outOfStep, existingTarget
    // Weights and training
    case badWeights, badState, badSolver, nonFinite, outOfSpace, interrupted
    // The command line and the machine
    case badArgument, machine
  }

  /// A second place that explains the fault, such as where a bottom was made.
  package struct Note: Hashable, Sendable {
    package var message: String
    package var location: SourceLocation?

    package init(_ message: String, at location: SourceLocation? = nil) {
      self.message = message
      self.location = location
    }
  }

  /// The layer at fault.
  package struct Layer: Hashable, Sendable {
    package var name: String
    package var type: String

    package init(name: String, type: String) {
      self.name = name
      self.type = type
    }
  }

  package var severity: Severity
  package var code: Code
  package var message: String
  package var layer: Layer?
  package var location: SourceLocation?
  package var notes: [Note]

  package init(
    _ code: Code, _ message: String, severity: Severity = .error, layer: Layer? = nil,
    at location: SourceLocation? = nil,
    notes: [Note] = []
  ) {
    self.severity = severity
    self.code = code
    self.message = message
    self.layer = layer
    self.location = location
    self.notes = notes
  }

  /// The same fault, with what it does not know yet filled in by a caller that does.
  package func within(layer: Layer? = nil, at location: SourceLocation? = nil) -> Diagnostic {
    var copy = self
    copy.layer = copy.layer ?? layer
    copy.location = copy.location ?? location
    return copy
  }
}

/// Several faults found in one pass, so that a user mends them in one go.
package struct DiagnosticList: Error, Sendable {
  package var all: [Diagnostic]

  package init(_ all: [Diagnostic]) {
    self.all = all
  }
}
