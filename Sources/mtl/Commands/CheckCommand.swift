import ArgumentParser
import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// `mtl check`: what can be told of nets and solvers without running them.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    _superCommandName: "mtl",
    abstract: "Checks nets and solvers without running them.",
    discussion: """
      Prints every layer with its tops, shapes, parameters and multiply-adds, the tasks with their losses, and warnings \
      about what is likely to be a mistake. Data need not be there: the shapes of data layers are then taken from their \
      fields, and where those do not tell, assumed, which is said. Ends with 1 when a file cannot be loaded.
      """
  )

  @Argument(help: ArgumentHelp("Net and solver files.", valueName: "file"), completion: .file())
  var files: [String]

  @Option(help: "Check this phase alone. (default: every phase that the file has a net for)")
  var phase: PhaseArgument?

  @Option(help: ArgumentHelp("A stage that rules of layers are tested against.", valueName: "name"))
  var stage: [String] = []

  @Option(help: ArgumentHelp("The level that rules of layers are tested against.", valueName: "number"))
  var level: Int32?

  @Option(
    help: ArgumentHelp(
      "The shape of a top whose source is absent, such as data=32x3x227x227.", valueName: "top=NxCxHxW"))
  var shape: [GivenShape] = []

  @Flag(help: "Print JSON, for tools.")
  var json = false

  /// Options without a value, as scripts may spell them.
  static let flagNames: Set<String> = ["json"]

  func run() throws {
    let options = CheckOptions(
      phase: phase?.phase, stages: stage, level: level,
      shapes: Dictionary(shape.map { ($0.top, $0.shape) }, uniquingKeysWith: { $1 }))
    var checked: [CheckedFile] = []
    var failed = 0
    for path in files {
      let file = CheckedFile(path, options, catalogue: EngineOptions.catalogue)
      if !file.loads { failed += 1 }
      if json {
        checked.append(file)
        continue
      }
      let text = CheckText(file)
      if !text.text.isEmpty { print(text.text, terminator: "\n\n") }
      MTL.show(text.faults)
    }
    if json {
      print(try CheckJSON(checked).text())
    } else if files.count > 1 {
      print("\(files.count - failed) of \(files.count) files can be loaded")
    }
    if failed > 0 { throw ExitCode.failure }
  }
}

/// `top=NxCxHxW`.
struct GivenShape: ExpressibleByArgument {
  let top: String
  let shape: Shape

  init?(argument: String) {
    guard let equals = argument.lastIndex(of: "="), equals > argument.startIndex else { return nil }
    let parts = argument[argument.index(after: equals)...].split(omittingEmptySubsequences: false) {
      $0 == "x" || $0 == ","
    }
    let dims = parts.compactMap { Int($0) }
    guard dims.count == parts.count, dims.allSatisfy({ $0 > 0 && $0 <= Int(Int32.max) }) else { return nil }
    top = String(argument[..<equals])
    shape = Shape(dims)
  }
}
