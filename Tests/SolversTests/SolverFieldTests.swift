import CaffeSchema
import Diagnostics
import Foundation
import SwiftProtobuf
import Testing

@testable import Solvers

/// No field of a solver file is passed over in silence.
@Suite struct SolverFieldTests {
  private static let needed = #"net: "n" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 "#

  private static var schema: [Google_Protobuf_FieldDescriptorProto] {
    let files = (try? Google_Protobuf_FileDescriptorSet(serializedBytes: schemaDescriptorSet))?.file ?? []
    return files.flatMap(\.messageType).first { $0.name == "SolverParameter" }?.field ?? []
  }

  @Test func everyFieldOfTheSchemaHasATreatment() {
    #expect(Set(Self.schema.map(\.name)) == Set(SolverField.all.map(\.name)))
    #expect(Set(SolverField.all.map(\.name)).count == SolverField.all.count)
    #expect(Self.schema.count > 70)
  }

  /// A value that is not the default.
  private static func text(_ field: Google_Protobuf_FieldDescriptorProto) -> String {
    let value =
      switch field.type {
      case .bool: field.defaultValue == "true" ? "false" : "true"
      case .string: "\"other\""
      case .enum: field.name == "solver_mode" ? "GPU" : "FLOAT16"
      default: "7"
      }
    return "\(field.name): \(value)"
  }

  @Test(arguments: SolverField.all.filter { $0.treatment != .obeyed }.map(\.name))
  func isSaidOnceOrRefused(_ name: String) throws {
    let field = try #require(Self.schema.first { $0.name == name })
    let own = name == "snapshot_include_weights" ? "snapshot_include_weights: false" : Self.text(field)
    let source = try SolverSource(text: Self.needed + own, file: "s.prototxt")
    switch try #require(SolverField.all.first { $0.name == name }).treatment {
    case .obeyed: break
    case .noted(let reason):
      let notes = try SolverSettings(source).notes
      #expect(notes.map(\.message) == ["\(name) has no effect: \(reason)"])
      #expect(notes[0].location?.line == 1)
    case .refused(let reason):
      let fault = #expect(throws: Diagnostic.self) { _ = try SolverSettings(source) }
      #expect(fault?.message == "\(name) is not supported: \(reason)")
    }
  }

  @Test func defaultsAreNoReasonToSpeak() throws {
    let text = """
      show_per_class_result: false momentum_policy: "fixed" eval_type: "classification" local_lr_auto: false \
      solver_mode: CPU snapshot_include_weights: true snapshot_include_state: true larc: false test_offset: 0
      """
    #expect(try SolverSettings(SolverSource(text: Self.needed + text, file: "s")).notes.isEmpty)
  }

  /// What those fields that are obeyed do, where nothing else tests it.
  @Test func obeyedFields() throws {
    func settings(_ text: String) throws -> SolverSettings {
      try SolverSettings(SolverSource(text: Self.needed + text, file: "s"))
    }
    #expect(try settings("update_interval: 3").iterationSize == 3)
    #expect(try settings("update_interval: 3 iter_size: 2").iterationSize == 2)
    #expect(try settings("snapshot_include_state: false").snapshotsState == false)
    #expect(try settings(#"weights: "a,b" weights: "c""#).weights == ["a", "b", "c"])
    #expect(try settings(#"solver_type: ADAM"#).ruleName == "Adam")
    #expect(try settings(#"type: "AdamW" weight_decay: 0.1"#).weightDecay == 0.1)
    #expect(try settings(#"type: "AdamW" adamw_decay: 0.2"#).weightDecay == 0.2)
    #expect(try settings("test_compute_loss: true").testsLoss)
  }

  @Test(arguments: [
    (#"type: "AdamW" adamw_decay: 0.1 weight_decay: 0.1"#, "give either adamw_decay or weight_decay"),
    (#"type: "AdamW" regularization_type: "L1""#, "decays as L2 does"),
    (#"larc: true larc_policy: "x""#, "unknown larc_policy"),
    ("min_lr: 1", "min_lr 1.0 must be between 0 and base_lr 0.1"),
    ("warmup_iter: 2 rampup_interval: 2", "mean the same"),
    (#"type: "Adamm""#, "did you mean \"Adam\"?"), ("snapshot: -1", "snapshot must be at least 0"),
  ])
  func contradictions(_ text: String, _ message: String) throws {
    let source = try SolverSource(text: Self.needed + text, file: "s.prototxt")
    let fault = #expect(throws: Diagnostic.self) { _ = try SolverSettings(source) }
    #expect(fault?.message.contains(message) == true, "\(fault?.message ?? "")")
  }
}
