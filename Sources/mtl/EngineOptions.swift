import ArgumentParser
import CaffeSchema
import Compute
import ComputeCPU
import ComputeReference
import Layers
import Nets
import Records
import Synchronization

/// The options of every command that runs nets.
struct EngineOptions: ParsableArguments {
  enum Choice: String, ExpressibleByArgument, CaseIterable {
    case cpu, reference
  }

  @Option(help: "What computes: cpu (oneDNN and OpenBLAS), or the slow and plain reference.")
  var engine: Choice = .cpu

  enum PrecisionChoice: String, ExpressibleByArgument, CaseIterable {
    case fp32, bf16

    var precision: Precision { self == .bf16 ? .bfloat : .float }
  }

  @Option(
    help: """
      How convolutions compute: fp32, or bf16 (bfloat16 with fp32 sums, weights, losses and updates) where the processor \
      has instructions for it.
      """)
  var precision: PrecisionChoice = .fp32

  @Option(
    help: ArgumentHelp(
      "The algorithms of convolutions as 'mtl train --tune' left them in a file.", valueName: "file"),
    completion: .file())
  var tuning: String?

  @Option(
    help: ArgumentHelp("Threads to compute with. (default: OMP_NUM_THREADS, or one for each core)", valueName: "count"))
  var threads: Int?

  func validate() throws {
    if engine == .reference, precision == .bf16 {
      throw ValidationError("--precision bf16 goes with --engine cpu")
    }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
  }

  /// To be called before a command prints anything: it may start the process anew with another environment.
  func prepareProcess() {
    if engine == .cpu { CPUEngine.prepareProcess() }
    let line = Mutex(ProgressLine("reading the labels of", unit: "records"))
    RecordPass.progress.withLock {
      $0 = { done, count in
        line.withLock { line in
          line.update(done, of: count)
          if done == count { line.clear() }
        }
      }
    }
  }

  /// - Parameter tuning: instead of the one that the option names.
  func makeEngine(tuning known: ConvolutionTuning? = nil) throws -> any Engine {
    switch engine {
    case .cpu:
      let read = try tuning.map {
        try ConvolutionTuning(encoded: readFile($0), file: $0, measures: false)
      }
      return try CPUEngine(threads: threads, precision: precision.precision, tuning: known ?? read)
    case .reference: return ReferenceEngine()
    }
  }

  /// Every layer that this program has.
  static let catalogue = LayerCatalogue(layerTypes + recordLayerTypes, shapeOnly: shapeOnlyTypes)
}
