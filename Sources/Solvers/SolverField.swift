import CaffeSchema
import Diagnostics

/// What becomes of each field of a solver file: it is obeyed, or it has no meaning here and that is said once, or it
/// would change the result in a way that this program does not know and is refused. None is passed over in silence.
package struct SolverField: Sendable {
  package enum Treatment: Sendable, Equatable {
    case obeyed
    /// Without effect, with the reason.
    case noted(String)
    /// What to do instead.
    case refused(String)
  }

  package let name: String
  package let treatment: Treatment
  /// Whether a file asks for something by it; its default value asks for nothing.
  let isAsked: @Sendable (SolverParameter) -> Bool

  private static func obeyed(_ names: String) -> [SolverField] {
    names.split(separator: " ").map { SolverField(name: String($0), treatment: .obeyed) { _ in false } }
  }

  private static func noted(
    _ name: String, _ reason: String, _ isAsked: @escaping @Sendable (SolverParameter) -> Bool
  ) -> SolverField {
    SolverField(name: name, treatment: .noted(reason), isAsked: isAsked)
  }

  private static func refused(
    _ name: String, _ reason: String, _ isAsked: @escaping @Sendable (SolverParameter) -> Bool
  ) -> SolverField {
    SolverField(name: name, treatment: .refused(reason), isAsked: isAsked)
  }

  /// Every field of the schema.
  package static let all: [SolverField] =
    obeyed(
      """
      net net_param train_net train_net_param test_net test_net_param train_state test_state test_iter test_interval \
      test_initialization test_compute_loss base_lr lr_policy gamma power stepsize stepvalue stagelr stageiter min_lr \
      warmup_iter warmup_start_lr rampup_interval rampup_lr display average_loss max_iter iter_size update_interval \
      momentum momentum2 rms_decay delta weight_decay adamw_decay regularization_type clip_gradients type solver_type \
      larc larc_eta larc_policy snapshot snapshot_prefix snapshot_diff snapshot_format snapshot_after_train \
      snapshot_include_state random_seed weights debug_info multi_task
      """) + gpuFields + displayFields + refusedFields

  private static let gpuFields = [
    noted("solver_mode", "there is no GPU code here; training runs on the CPU") {
      $0.hasSolverMode && $0.solverMode == .gpu
    },
    noted("device_id", "it chooses a GPU, and there is no GPU code here") { $0.deviceID != 0 },
    noted("layer_wise_reduce", "it speaks of training on several GPUs") { $0.hasLayerWiseReduce },
    noted("solver_data_type", "everything is computed in float32") {
      $0.hasSolverDataType && $0.solverDataType != .float
    },
    noted("larc_turbo", "it makes GPUs faster and changes no number") { $0.larcTurbo },
  ]

  private static let displayFields = [
    noted("debug_display", "debug_info tells its lines at each display") { $0.hasDebugDisplay },
    noted("show_per_class_result", "tests print each output as it is") { $0.showPerClassResult },
    noted("ap_version", "it belongs to eval_type \"detection\"") { $0.hasApVersion && $0.evalType != "detection" },
    noted("accuracy_average_window", "displays show the last batch; metrics go to PREFIX_metrics.jsonl") {
      $0.accuracyAverageWindow > 1
    },
    noted("output_average_results", "tests print averages in any case") { $0.hasOutputAverageResults },
    noted("enable_clip_gradient_status", "clipping is not logged") { $0.enableClipGradientStatus },
    noted("richness", "it limited the log of one fork") { $0.hasRichness },
    noted("test_and_snapshot_last_epochs", "set test_interval and snapshot instead") {
      $0.testAndSnapshotLastEpochs != 0
    },
  ]

  private static let refusedFields = [
    refused("eval_type", "only \"classification\", the mean of a test net's outputs, is known") {
      $0.evalType != "classification"
    },
    refused("snapshot_include_weights", "a snapshot without weights cannot be gone on from; leave it out") {
      $0.hasSnapshotIncludeWeights && !$0.snapshotIncludeWeights
    },
    refused("local_lr_auto", "use larc: true with larc_eta") { $0.localLrAuto },
    refused("local_gw_ratio", "use larc: true with larc_eta") { $0.hasLocalGwRatio },
    refused("momentum_policy", "only \"fixed\" is known") { $0.momentumPolicy != "fixed" },
    refused("momentum_power", "it belongs to momentum_policy \"poly\", which is not known") { $0.hasMomentumPower },
    refused("max_momentum", "it belongs to momentum_policy \"poly\", which is not known") { $0.hasMaxMomentum },
    refused("test_offset", "set test_interval so that tests fall where they should") { $0.testOffset != 0 },
    refused("stepearly", "use lr_policy \"multistep\" with stepvalue") { $0.hasStepearly },
    refused("vstep_lr", "use lr_policy \"multifixed\" with stagelr and stageiter") { !$0.vstepLr.isEmpty },
    refused("vstep_size", "use lr_policy \"multifixed\" with stagelr and stageiter") { !$0.vstepSize.isEmpty },
  ]

  /// What a solver file asks for without effect.
  ///
  /// - Throws: `unsupported` for the first field that is refused.
  static func notes(_ solver: SolverParameter, _ places: FieldPlaces) throws -> [Diagnostic] {
    var notes: [Diagnostic] = []
    for field in all where field.isAsked(solver) {
      switch field.treatment {
      case .obeyed: break
      case .noted(let reason):
        notes.append(
          Diagnostic(
            .unsupported, "\(field.name) has no effect: \(reason)", severity: .warning, at: places.location(field.name))
        )
      case .refused(let reason):
        throw Diagnostic(.unsupported, "\(field.name) is not supported: \(reason)", at: places.location(field.name))
      }
    }
    return notes
  }
}
