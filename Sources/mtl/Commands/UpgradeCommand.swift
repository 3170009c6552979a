import ArgumentParser
import CaffeSchema
import Diagnostics
import Foundation

/// `mtl upgrade`: old nets, solvers and weights in today's form.
struct UpgradeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upgrade",
    _superCommandName: "mtl",
    abstract: "Writes a net, a solver or weights of older versions in today's form.",
    usage: """
      mtl upgrade FILE [--out FILE]
      mtl upgrade FILE OUT
      """,
    discussion: """
      Takes nets of 2013 and 2014 ('layers'), input_dim, data layers with their own crop and mean, solver_type, and \
      .caffemodel weights of those times. Comments stay with the fields that they stand at. A text goes to standard \
      output unless a file is named; weights need one. A file in today's form stays as it is.
      """
  )

  @Argument(help: ArgumentHelp("A net or solver prototxt, or a .caffemodel.", valueName: "file"), completion: .file())
  var input: String

  @Argument(help: ArgumentHelp("The file to write, as Caffe's upgrade tools take it.", visibility: .hidden))
  var output: String?

  @Option(help: ArgumentHelp("The file to write; it may be the same.", valueName: "file"), completion: .file())
  var out: String?

  func validate() throws {
    if output != nil, out != nil { throw ValidationError("Give the file to write once.") }
  }

  func run() throws {
    let target = out ?? output
    let upgrade = try FileUpgrade(path: input)
    MTL.show(upgrade.warnings)
    if !upgrade.isChanged { printError("'\(input)' is in today's form already") }
    switch (upgrade.content, target) {
    case (.text(let text), let target?): try writeFile(text, to: target)
    case (.text(let text), nil): FileHandle.standardOutput.write(Data(text.utf8))
    case (.weights(let weights), let target?): try writeBinary(weights, to: target)
    case (.weights, nil):
      throw Diagnostic(.badArgument, "'\(input)' holds weights; name the file to write: --out NEW.caffemodel")
    }
  }
}
