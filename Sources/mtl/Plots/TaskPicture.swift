import Diagnostics
import Foundation
import Tasks

/// What happened to the tasks of a run, in one picture by gnuplot: a panel for each thing that was measured, a colour for
/// each task, a dotted line where a task stopped.
struct TaskPicture {
  let history: TaskHistory
  /// By task: the relative gain over a run of that task alone.
  let gains: [Double?]

  private struct Panel {
    var title: String
    /// What the y axis is.
    var unit: String
    var isLogarithmic = false
    /// Commands that only this panel needs.
    var settings: [String] = []
    var data: [String] = []
    var plot: String
  }

  /// Of a panel; of many tasks high enough for all their names in one column.
  private var size: (width: Int, height: Int) { (560, max(340, 90 + 15 * history.tasks.count)) }

  /// - Parameter output: the file that gnuplot is to write.
  func script(format: String, output: String) -> String {
    let panels = self.panels
    let columns = panels.count > 1 ? 2 : 1
    let rows = (panels.count + columns - 1) / columns
    var lines = panels.flatMap(\.data)
    lines += PlotScript.start(
      format: format, output: output, width: columns * size.width,
      height: rows * size.height + 30)
    lines.append(
      "set multiplot layout \(rows),\(columns) title \(PlotScript.quoted("tasks of " + history.name)) font ',14'")
    lines += ["set format y '%g'", "set grid linecolor '#dddddd'", "set key outside right top samplen 1.5 spacing 1.1"]
    for panel in panels {
      lines += [
        "set title \(PlotScript.quoted(panel.title))", "set ylabel \(PlotScript.quoted(panel.unit))",
        "set xlabel 'iteration'", panel.isLogarithmic ? "set logscale y" : "unset logscale y",
      ]
      lines += panel.settings
      lines.append(panel.plot)
    }
    return (lines + ["unset multiplot"]).joined(separator: "\n") + "\n"
  }

  private var panels: [Panel] {
    [
      curves("training loss", "loss", history.trainingLosses, isLogarithmic: true),
      curves("validation loss", "loss", history.testLosses, isLogarithmic: true),
      curves("validation metric", "metric", history.metrics), weightCurves,
      curves("norm of the gradient in the shared parameters", "norm", history.gradientNorms, isLogarithmic: true),
      curves("cosine of the gradient with the other tasks', mean", "cosine", history.cosines),
      cosineMatrix, stoppingCurves, gainBars,
    ].compactMap { $0 }
  }

  /// nil where every weight was 1 all the time.
  private var weightCurves: Panel? {
    guard history.weights.contains(where: { $0.contains { $0.value != 1 } }) else { return nil }
    return curves("weight of the loss", "weight", history.weights)
  }

  /// With a dashed line across at each threshold: grey where all tasks have it, else in the task's colour.
  private var stoppingCurves: Panel? {
    var panel = curves("stopping value (a task stops above the dashed line)", "value", history.stopping)
    let known = history.stopThresholds.enumerated().compactMap { task, value in value.map { (task: task, value: $0) } }
    let isOne = Set(known.map(\.value)).count == 1
    if !known.isEmpty { panel?.settings.append("set offsets 0, 0, graph 0.05, 0") }
    for threshold in isOne ? Array(known.prefix(1)) : known {
      let colour = isOne ? "#555555" : TaskColours.line(threshold.task)
      // As a curve, so that the axis reaches it, and a little further, where all values are far below.
      panel?.plot += ", \\\n  \(threshold.value) with lines dashtype 2 linewidth 1.5 linecolor '\(colour)' notitle"
    }
    return panel
  }

  /// nil where nothing was measured.
  private func curves(
    _ title: String, _ unit: String, _ curves: TaskHistory.Curves, isLogarithmic: Bool = false
  ) -> Panel? {
    let values = curves.flatMap { $0.map(\.value) }
    guard !values.isEmpty else { return nil }
    var data: [String] = []
    var parts: [String] = []
    for (task, points) in curves.enumerated() where !points.isEmpty {
      let name = "$\(title.filter(\.isLetter))\(task)"
      data.append("\(name) << END")
      data += points.map { "\($0.iteration) \($0.value)" }
      data.append("END")
      let marks = points.count < 40 ? "linespoints pointtype 7 pointsize 0.4" : "lines"
      parts.append(
        "\(name) using 1:2 with \(marks) linewidth 1.8 dashtype \(TaskColours.round(task) + 1) "
          + "linecolor '\(TaskColours.line(task))' title \(PlotScript.quoted(history.tasks[task].name))")
    }
    let isPositive = values.allSatisfy { $0 > 0 }
    return Panel(
      title: title, unit: unit, isLogarithmic: isLogarithmic && isPositive, settings: stopLines, data: data,
      plot: "plot " + parts.joined(separator: ", \\\n  "))
  }

  /// A dotted line in the task's colour where it stopped, with its name.
  private var stopLines: [String] {
    let stopped = history.stops.enumerated().compactMap { task, iteration in iteration.map { (task: task, at: $0) } }
    return ["unset arrow", "unset label"]
      + stopped.flatMap { task, iteration in
        PlotScript.stop(at: iteration, colour: TaskColours.line(task), text: "\(history.tasks[task].name) stopped")
      }
  }

  /// The mean cosine of each two tasks as a square of colours: blue for tasks that pull together, red for those that pull
  /// apart.
  private var cosineMatrix: Panel? {
    let names = history.tasks.map(\.name)
    var cells: [String] = []
    for (row, values) in history.cosineMatrix.enumerated() {
      for (column, value) in values.enumerated() {
        guard let value = row == column ? 1 : value else { continue }
        cells.append("\(column) \(row) \(value)")
      }
    }
    guard cells.count > names.count else { return nil }
    let tics = names.enumerated().map { "\(PlotScript.quoted($1)) \($0)" }.joined(separator: ", ")
    return Panel(
      title: "cosine of the gradients of two tasks, mean over the run", unit: "",
      settings: [
        "unset arrow", "unset label", "unset key", "unset xlabel",
        "set palette defined (-1 '#d73027', 0 '#ffffff', 1 '#4575b4')",
        "set cbrange [-1:1]", "set cblabel 'cosine'",
        "set xtics (\(tics)) rotate by \(names.count > 10 ? 90 : 30) right", "set ytics (\(tics))",
        "set xrange [-0.5:\(names.count).0-0.5]", "set yrange [\(names.count).0-0.5:-0.5]", "unset grid",
      ], data: ["$cosines << END"] + cells + ["END"],
      plot: "plot $cosines using 1:2:3 with image"
        + (names.count <= 10 ? ", $cosines using 1:2:(sprintf('%.2f', $3)) with labels font ',9'" : "")
        + "\nset key outside right top\nset xtics autofreq norotate\nset ytics autofreq\nset autoscale xy\n"
        + "set grid linecolor '#dddddd'\nunset cblabel")
  }

  /// A bar for each task of which there is a run alone; delta_m is their mean.
  private var gainBars: Panel? {
    let known = gains.enumerated().compactMap { task, gain in gain.map { (task: task, gain: $0) } }
    guard !known.isEmpty else { return nil }
    let mean = known.reduce(0) { $0 + $1.gain } / Double(known.count)
    let bars = known.enumerated().map { place, bar in
      "\(place) \(bar.gain * 100) \(PlotScript.quotedTwice(history.tasks[bar.task].name))"
    }
    let parts = known.enumerated().map { place, bar in
      "$gains every ::\(place)::\(place) using 1:2:(0.7) with boxes fillstyle solid linecolor "
        + "'\(TaskColours.line(bar.task))' notitle"
    }
    let sign = mean >= 0 ? "+" : ""
    return Panel(
      title: "gain over the task alone: delta_m \(sign)\(PlotScript.percent(mean)) %", unit: "gain in %",
      settings: [
        "unset arrow", "unset label", "unset offsets", "unset xlabel", "set xrange [-0.6:\(Double(known.count) - 0.4)]",
        "set xzeroaxis linetype -1",
        "set xtics ("
          + known.enumerated().map { "\(PlotScript.quoted(history.tasks[$1.task].name)) \($0)" }
          .joined(separator: ", ") + ")",
      ], data: ["$gains << END"] + bars + ["END"], plot: "plot " + parts.joined(separator: ", \\\n  "))
  }
}
