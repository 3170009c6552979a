import ArgumentParser
import CaffeSchema
import Nets

/// `mtl plan`: what a net does, step by step, and what its memory holds.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    _superCommandName: "mtl",
    abstract: "Prints a net's steps, layouts and memory.",
    discussion: """
      The first table has the steps in their order: layers, reorders between layouts, sums of gradients. The others tell \
      the size of the memory that all blobs share, and what fills it where most is in use.
      """
  )

  @Argument(help: ArgumentHelp("The net.", valueName: "prototxt"), completion: .file(extensions: ["prototxt"]))
  var model: String

  @Option(help: "TRAIN: forward and backward. TEST: forward.")
  var phase = PhaseArgument.train

  @OptionGroup var engineOptions: EngineOptions

  func run() throws {
    engineOptions.prepareProcess()
    let net = try Net(
      NetSource.read(path: model), engine: try engineOptions.makeEngine(), catalogue: EngineOptions.catalogue,
      options: NetOptions(phase: phase.phase))
    print(PlanCommand.text(of: net))
  }

  /// How many of the largest regions are told.
  private static let shownRegions = 20

  static func text(of net: Net) -> String {
    let steps = StepTable(net: net)
    let memory = MemoryTable(net)
    return [steps.text, steps.summary, memory.sizes, memory.holders(shownRegions)].joined(separator: "\n\n")
  }
}
