import ArgumentParser

/// `mtl inspect`: what is in a binary file or a database.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    _superCommandName: "mtl",
    abstract: "Tells what is in weights, solver states, means, databases and HDF5 files.",
    discussion: """
      Shapes, ranges and values that are not finite of every blob; of a database or a file of data, the first records. \
      Nets and solvers as text are for 'mtl check'.
      """
  )

  @Argument(
    help: ArgumentHelp(
      ".caffemodel, .solverstate (both also with .h5), .runstate, .binaryproto, .h5, or the folder of a database.",
      valueName: "file"), completion: .file())
  var files: [String]

  @Option(help: ArgumentHelp("How many records of a database, or rows of a dataset, are shown.", valueName: "count"))
  var records = 10

  func validate() throws {
    if records < 0 { throw ValidationError("--records must be at least 0.") }
  }

  func run() throws {
    for (index, file) in files.enumerated() {
      let inspection = try Inspection(file, records: records)
      if files.count > 1 { print("\(index > 0 ? "\n" : "")\(file)") }
      print(inspection.text)
    }
  }
}
