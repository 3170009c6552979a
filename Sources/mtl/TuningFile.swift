import CaffeSchema
import ComputeCPU
import Foundation

/// The file beside a run's snapshots that keeps how its convolutions are computed: `PREFIX_tuning.json`.
struct TuningFile {
  let path: String
  let tuning: ConvolutionTuning

  /// - Parameter measures: whether to measure what the file does not know; without it, a run without a file has none.
  init?(snapshotPrefix: String, measures: Bool) throws {
    path = snapshotPrefix + "_tuning.json"
    if FileManager.default.fileExists(atPath: path) {
      tuning = try ConvolutionTuning(encoded: readFile(path), file: path, measures: measures)
    } else if measures {
      tuning = ConvolutionTuning(measures: true)
    } else {
      return nil
    }
  }

  /// To be called when all nets are built.
  func save() throws {
    if tuning.measures { try writeFile(tuning.encoded(), to: path) }
  }
}
