import Diagnostics
import Foundation
import Solvers

/// What the scripts for gnuplot have in common, and how they become pictures.
enum PlotScript {
  /// Of what is no task, one after the other.
  static let colours = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2"]

  /// The first lines.
  static func start(format: String, output: String, width: Int, height: Int) -> [String] {
    let terminal =
      format == "png"
      ? "pngcairo noenhanced font 'Helvetica,10'" : "svg noenhanced font 'Helvetica,12' background '#ffffff'"
    return ["set terminal \(terminal) size \(width),\(height)", "set output \(quoted(output))"]
  }

  /// A dotted line across the panel at an iteration.
  static func stop(at iteration: Double, colour: String, text: String) -> [String] {
    [
      "set arrow from \(iteration), graph 0 to \(iteration), graph 1 nohead dashtype 3 linewidth 2 linecolor '\(colour)'",
      "set label \(quoted(text)) at \(iteration), graph 0.97 rotate by 90 right offset -0.8,0 font ',8' "
        + "textcolor '\(colour)'",
    ]
  }

  static func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
  /// For a column of data.
  static func quotedTwice(_ text: String) -> String { "\"" + text.replacing("\"", with: "'") + "\"" }
  static func percent(_ share: Double) -> String { fixedText(share * 100, decimals: 2) }

  /// Writes the picture that a script makes.
  ///
  /// - Parameter script: the script for a format, svg or png, that writes to a file.
  /// - Throws: `badArgument` for another ending than .svg and .png; `machine` when gnuplot is missing or fails.
  static func write(to path: String, script: (_ format: String, _ output: String) -> String) throws {
    let format = path.split(separator: ".").last.map { $0.lowercased() } ?? ""
    guard ["svg", "png"].contains(format) else {
      throw Diagnostic(.badArgument, "'\(path)' must end in .svg or .png")
    }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-plot-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (input, output) = (folder.appendingPathComponent("plot.gp"), folder.appendingPathComponent("plot." + format))
    try Data(script(format, output.path).utf8).write(to: input)
    _ = try runProgram(
      "gnuplot", [input.path], missing: "curves are drawn by gnuplot, which is missing: apt-get install gnuplot-nox")
    guard let picture = FileManager.default.contents(atPath: output.path), !picture.isEmpty else {
      throw Diagnostic(.machine, "gnuplot wrote no picture")
    }
    try writePicture(picture, to: path)
  }
}
