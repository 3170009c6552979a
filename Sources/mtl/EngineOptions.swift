import ArgumentParser
import Compute
import ComputeCPU
import ComputeReference
import Layers
import Nets
import Records

/// The options of every command that runs nets.
struct EngineOptions: ParsableArguments {
  enum Choice: String, ExpressibleByArgument, CaseIterable {
    case cpu, reference
  }

  @Option(help: "What computes: cpu (oneDNN and OpenBLAS), or the slow and plain reference.")
  var engine: Choice = .cpu

  @Option(
    help: ArgumentHelp("Threads to compute with. (default: OMP_NUM_THREADS, or one for each core)", valueName: "count"))
  var threads: Int?

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
  }

  /// To be called before a command prints anything: it may start the process anew with another environment.
  func prepareProcess() {
    if engine == .cpu { CPUEngine.prepareProcess() }
  }

  func makeEngine() throws -> any Engine {
    switch engine {
    case .cpu: try CPUEngine(threads: threads)
    case .reference: ReferenceEngine()
    }
  }

  /// Every layer that this program has.
  static let catalogue = LayerCatalogue(layerTypes + recordLayerTypes)
}
