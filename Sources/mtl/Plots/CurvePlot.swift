import Diagnostics
import Foundation

/// Curves of several runs as a script for gnuplot: a panel for each loss and metric, a colour for each run, training
/// drawn through and tests dashed with dots.
struct CurvePlot {
  let runs: [RunCurves]

  private static let colours = [
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2",
  ]
  private static let panel = (width: 520, height: 320)

  /// The names of the panels, in the order in which the runs tell them.
  var panels: [String] {
    var names: [String] = []
    for run in runs { for curve in run.curves where !names.contains(curve.name) { names.append(curve.name) } }
    return names
  }

  /// - Parameters:
  ///   - format: `svg` or `png`.
  ///   - output: the file that gnuplot is to write.
  func script(format: String, output: String) -> String {
    let names = panels
    let columns = names.count > 1 ? 2 : 1
    let rows = (names.count + columns - 1) / columns
    let size = "\(columns * CurvePlot.panel.width),\(rows * CurvePlot.panel.height)"
    let terminal =
      format == "png"
      ? "pngcairo noenhanced font 'Helvetica,10'" : "svg noenhanced font 'Helvetica,12' background '#ffffff'"
    var lines = [
      "set terminal \(terminal) size \(size)", "set output \(quoted(output))",
      "set multiplot layout \(rows),\(columns)", "set grid linecolor '#dddddd'", "set key top right",
      "set xlabel 'iteration'",
    ]
    var number = 0
    var blocks: [String] = []
    for name in names {
      var parts: [String] = []
      for (index, run) in runs.enumerated() {
        let colour = CurvePlot.colours[index % CurvePlot.colours.count]
        for curve in run.curves where curve.name == name {
          blocks.append("$c\(number) << END")
          blocks += curve.points.map { "\($0.iteration) \($0.value)" }
          blocks.append("END")
          let title = (runs.count > 1 ? run.name + " " : "") + (curve.isTest ? "test" : "train")
          let style = curve.isTest ? "linespoints dashtype 2 pointtype 7 pointsize 0.4" : "lines"
          parts.append(
            "$c\(number) using 1:2 with \(style) linewidth 1.5 linecolor '\(colour)' title \(quoted(title))")
          number += 1
        }
      }
      lines.append("set title \(quoted(name))")
      lines.append("plot " + parts.joined(separator: ", \\\n  "))
    }
    return (blocks + lines + ["unset multiplot"]).joined(separator: "\n") + "\n"
  }

  private func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }

  /// Writes the picture.
  ///
  /// - Throws: `badArgument` for another ending than .svg and .png; `machine` when gnuplot is missing or fails.
  func write(to path: String) throws {
    let format = path.split(separator: ".").last.map { $0.lowercased() } ?? ""
    guard ["svg", "png"].contains(format) else {
      throw Diagnostic(.badArgument, "'\(path)' must end in .svg or .png")
    }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-plot-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (input, output) = (folder.appendingPathComponent("plot.gp"), folder.appendingPathComponent("plot." + format))
    try Data(script(format: format, output: output.path).utf8).write(to: input)
    _ = try runProgram(
      "gnuplot", [input.path], missing: "curves are drawn by gnuplot, which is missing: apt-get install gnuplot-nox")
    guard let picture = FileManager.default.contents(atPath: output.path), !picture.isEmpty else {
      throw Diagnostic(.machine, "gnuplot wrote no picture")
    }
    try writePicture(picture, to: path)
  }
}
