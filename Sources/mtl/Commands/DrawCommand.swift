import ArgumentParser
import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Tasks

/// `mtl draw`: a picture of a net.
struct DrawCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "draw",
    _superCommandName: "mtl",
    abstract: "Draws a net with its shapes and tasks.",
    usage: """
      mtl draw NET -o net.svg
      mtl draw NET net.png
      """,
    discussion: """
      The ending of the file says what is written: svg, png, pdf, or dot, the text that Graphviz makes the others from. \
      Data need not be there: see 'mtl check'.
      """
  )

  @Argument(help: ArgumentHelp("The net.", valueName: "prototxt"), completion: .file(extensions: ["prototxt"]))
  var model: String

  @Argument(help: ArgumentHelp("The picture, as Caffe's draw_net.py takes it.", visibility: .hidden))
  var image: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The picture: .svg, .png, .pdf or .dot.", valueName: "file"),
    completion: .file())
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Which way the data go: TB (down), LR, BT or RL. (default: TB, or LR for more than ten tasks)",
      valueName: "direction"))
  var rankdir: NetDrawing.Direction?

  @Option(help: "The phase to draw. (default: TRAIN if the net has one)")
  var phase: PhaseArgument?

  @Option(
    help: ArgumentHelp(
      "The shape of a top whose source is absent, such as data=32x3x227x227.", valueName: "top=NxCxHxW"))
  var shape: [GivenShape] = []

  func validate() throws {
    guard (image == nil) != (output == nil) else { throw ValidationError("Name the picture: -o net.svg.") }
  }

  func run() throws {
    let path = output ?? image ?? ""
    let dot = try drawing()
    let kind = path.split(separator: ".").last.map { $0.lowercased() } ?? ""
    guard path.contains("."), ["svg", "png", "pdf", "dot", "gv"].contains(kind) else {
      throw Diagnostic(.badArgument, "'\(path)' must end in .svg, .png, .pdf or .dot")
    }
    if kind == "dot" || kind == "gv" { return try writeFile(dot, to: path) }
    try writePicture(try DrawCommand.picture(of: dot, format: kind), to: path)
  }

  /// - Throws: `machine` when Graphviz is missing or refuses the graph.
  private static func picture(of dot: String, format: String) throws -> Data {
    let input = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString).dot")
    try Data(dot.utf8).write(to: input)
    defer { try? FileManager.default.removeItem(at: input) }
    return try runProgram(
      "dot", ["-T\(format)"] + (format == "png" ? ["-Gdpi=110"] : []) + [input.path],
      missing: "pictures of nets are made by Graphviz, which is missing: apt-get install graphviz, or write a .dot")
  }

  private func drawing() throws -> String {
    let source = try NetSource.read(path: model)
    var state = source.parameter.state
    state.phase = .train
    let trains = try source.layers(in: state).contains { $0.parameter.bottom.isEmpty }
    state.phase = phase?.phase ?? (trains ? .train : .test)
    let assumed = try ShapeAssumptions(
      layers: source.layers(in: state), phase: state.phase, paths: PathSearch(besideFile: model),
      catalogue: EngineOptions.catalogue,
      given: Dictionary(shape.map { ($0.top, $0.shape) }, uniquingKeysWith: { $1 }))
    if let fault = assumed.fault { throw fault }
    let name = source.parameter.name.isEmpty ? model : source.parameter.name
    let guessed = assumed.assumptions.filter { !$0.isKnown && !$0.isGiven }.flatMap(\.tops)
    let note = guessed.isEmpty ? "" : "; assumed: " + guessed.map { "\($0.name) \($0.shape)" }.joined(separator: ", ")
    // Heads beside each other make a picture wide, below each other tall.
    let named = source.parameter.task
    let taskCount = TaskTable(assumed.graph, named: named).tasks.count
    let direction = rankdir ?? (taskCount > DrawCommand.mostTasksAcross ? .right : .down)
    return NetDrawing(
      assumed.graph, tasks: named,
      title: "\(name), \(state.phase == .train ? "TRAIN" : "TEST")\(note)", direction: direction
    ).dot
  }

  private static let mostTasksAcross = 10
}

extension NetDrawing.Direction: ExpressibleByArgument {}
