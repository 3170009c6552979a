import ArgumentParser
import Diagnostics
import Glibc

/// The root command.
struct MTL: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mtl",
    abstract: "Trains and runs nets with several tasks, in the file formats of Caffe.",
    version: "mtl 0.1 (reads and writes the formats of Caffe 1.0)",
    subcommands: [
      ConvertMultilabelCommand.self, ConvertImagesetCommand.self, ConvertAttributesCommand.self,
      ConvertLandmarksCommand.self, ComputeMeanCommand.self, TrainCommand.self, ExperimentCommand.self,
      TestCommand.self, ClassifyCommand.self, ExtractFeaturesCommand.self, ExportCommand.self, CheckCommand.self,
      UpgradeCommand.self, DrawCommand.self, PlotCommand.self, TasksCommand.self, InspectCommand.self, TimeCommand.self,
      PlanCommand.self, ConformanceCommand.self, BenchOpsCommand.self, BenchTasksCommand.self, LayerPagesCommand.self,
    ]
  )

  /// How many faults are printed; the rest are counted.
  private static let shownFaults = 50

  /// Runs a command and ends the process: with 0, with 1 after a fault of the user's files or machine, with 64 after one
  /// of the command line, with 130 when it was interrupted.
  static func main(arguments: [String]) -> Never {
    let flags = [
      ImageConversionOptions.flagNames, ConvertLandmarksCommand.flagNames, TrainCommand.flagNames,
      CheckCommand.flagNames, ClassifyCommand.flagNames, ExtractFeaturesCommand.flagNames,
    ]
    let legacyFlags = LegacyFlags(flags: flags.reduce(into: []) { $0.formUnion($1) })
    do {
      var command = try parseAsRoot(legacyFlags.normalized(arguments))
      try command.run()
      exit(withError: nil)
    } catch let fault as Diagnostic {
      show([fault])
      Glibc.exit(fault.code == .interrupted ? 130 : 1)
    } catch let faults as DiagnosticList {
      show(faults.all)
      Glibc.exit(1)
    } catch {
      exit(withError: error)
    }
  }

  /// For the checks of options that go beyond parsing. In `validate()` they would come before an unknown option is told.
  ///
  /// A `ValidationError` ends the process with the command's usage and 64.
  static func checkingUsage<Result>(of command: any ParsableCommand.Type, _ check: () throws -> Result) rethrows
    -> Result
  {
    do {
      return try check()
    } catch let error as ValidationError {
      printError("Error: \(error.message)")
      printError(usageString(for: command))
      Glibc.exit(64)
    }
  }

  /// Prints faults on standard error.
  static func show(_ faults: [Diagnostic]) {
    for fault in faults.prefix(shownFaults) { printError(fault.description) }
    if faults.count > shownFaults { printError("and \(faults.count - shownFaults) more of this kind") }
  }
}

/// Prints a line on standard error.
func printError(_ line: String) {
  let bytes = Array("\(line)\n".utf8)
  var rest = bytes[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    if count < 0 && errno == EINTR { continue }
    // A closed pipe: nobody reads it.
    guard count > 0 else { return }
    rest = rest.dropFirst(count)
  }
}
