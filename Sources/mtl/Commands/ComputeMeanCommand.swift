import ArgumentParser
import CaffeSchema
import Records
import Solvers

/// `mtl compute-mean`: the mean image of a database.
struct ComputeMeanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compute-mean",
    _superCommandName: "mtl",
    abstract: "Computes the mean image of a database, and the mean of each channel.",
    discussion: """
      The file is for mean_file in transform_param, as Caffe's compute_image_mean writes it; the channels' means, which \
      are printed, are for mean_value.
      """
  )

  @Argument(help: ArgumentHelp("The database.", valueName: "db"), completion: .directory)
  var database: String

  @Argument(
    help: ArgumentHelp("The .binaryproto to write; without it, the means are printed alone.", valueName: "file"),
    completion: .file())
  var output: String?

  @Option(help: ArgumentHelp("Accepted for old scripts: the kind shows in the database.", visibility: .hidden))
  var backend: String?

  func run() throws {
    Interruption.watch()
    var line = ProgressLine("averaging", unit: "records")
    defer { line.clear() }
    let mean = try MeanImage(
      ofDatabase: database, progress: { line.update($0, of: $1) }, isInterrupted: { Interruption.isRequested })
    line.clear()
    if let output { try writeBinary(mean.blob, to: output) }
    for (channel, value) in mean.channelMeans.enumerated() {
      print("mean_value channel [\(channel)]: \(logText(value))")
    }
    printError(
      "the mean of \(mean.count) record\(mean.count == 1 ? "" : "s"), \(mean.shape)"
        + (output.map { ", is in \($0)" } ?? ""))
  }
}
