import Diagnostics
import Foundation
import Tasks

/// Curves of several runs as a script for gnuplot: a panel for each loss and metric, a colour for each run (or, of one
/// run, for each task), training drawn through and tests dashed with dots.
struct CurvePlot {
  let runs: [RunCurves]

  private static let panel = (width: 520, height: 320)

  /// The names of the panels, in the order in which the runs tell them.
  var panels: [String] {
    var names: [String] = []
    for run in runs { for curve in run.curves where !names.contains(curve.name) { names.append(curve.name) } }
    return names
  }

  /// What tells the runs apart: their names, with as many folders before them as it takes.
  var titles: [String] {
    for count in 1...max(1, runs.map(\.path.count).max() ?? 1) {
      let titles = runs.map { $0.path.suffix(count).joined(separator: "/") }
      if Set(titles).count == titles.count { return titles }
    }
    return runs.map { $0.path.joined(separator: "/") }
  }

  /// - Parameters:
  ///   - format: `svg` or `png`.
  ///   - output: the file that gnuplot is to write.
  func script(format: String, output: String) -> String {
    let names = panels
    let columns = names.count > 1 ? 2 : 1
    let rows = (names.count + columns - 1) / columns
    let titles = titles
    // Beside the curves, which may be anywhere in the panel.
    let beside = 60 + (runs.count > 1 ? 7 * (titles.map(\.count).max() ?? 0) : 0)
    let start = PlotScript.start(
      format: format, output: output, width: columns * (CurvePlot.panel.width + beside),
      height: rows * CurvePlot.panel.height)
    var lines =
      start + [
        "set multiplot layout \(rows),\(columns)", "set grid linecolor '#dddddd'",
        "set key outside right top", "set xlabel 'iteration'",
      ]
    var number = 0
    var blocks: [String] = []
    for name in names {
      var parts: [String] = []
      for (index, run) in runs.enumerated() {
        let colour = self.colour(of: name, run: index)
        for curve in run.curves where curve.name == name {
          blocks.append("$c\(number) << END")
          blocks += curve.points.map { "\($0.iteration) \($0.value)" }
          blocks.append("END")
          let phase = !curve.isTest ? "train" : run.testNets > 1 ? "test net \(curve.net)" : "test"
          let title = (runs.count > 1 ? titles[index] + " " : "") + phase
          // Full and open dots, and so on.
          let style =
            curve.isTest
            ? "linespoints dashtype \(2 + curve.net) pointtype \(7 - curve.net % 7) pointsize 0.4" : "lines"
          parts.append(
            "$c\(number) using 1:2 with \(style) linewidth 1.5 linecolor '\(colour)' title \(PlotScript.quoted(title))")
          number += 1
        }
      }
      lines += stopLines(of: name)
      lines += ["set title \(PlotScript.quoted(name))", "set ylabel \(PlotScript.quoted(unit(of: name)))"]
      lines.append("plot " + parts.joined(separator: ", \\\n  "))
    }
    return (blocks + lines + ["unset multiplot"]).joined(separator: "\n") + "\n"
  }

  /// What the y axis of a panel is.
  private func unit(of output: String) -> String {
    if output == "loss" { return "objective" }
    for run in runs {
      guard let task = run.task(of: output) else { continue }
      return run.tasks[task].losses.contains(output) ? "loss" : "metric"
    }
    return output.contains("loss") ? "loss" : "value"
  }

  /// Of a run; where there is but one, of the task that the output belongs to.
  private func colour(of output: String, run: Int) -> String {
    if runs.count == 1, let task = runs[0].task(of: output) { return TaskColours.line(task) }
    return PlotScript.colours[run % PlotScript.colours.count]
  }

  /// A dotted line where the task stopped that the output belongs to.
  private func stopLines(of output: String) -> [String] {
    ["unset arrow", "unset label"]
      + runs.enumerated().flatMap { index, run -> [String] in
        guard let task = run.task(of: output), let iteration = run.stops[run.tasks[task].name] else { return [] }
        return PlotScript.stop(at: iteration, colour: colour(of: output, run: index), text: "stopped")
      }
  }

  /// Writes the picture.
  ///
  /// - Throws: as `PlotScript.write`.
  func write(to path: String) throws { try PlotScript.write(to: path, script: script) }
}
