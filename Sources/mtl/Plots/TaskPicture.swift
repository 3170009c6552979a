import Diagnostics
import Foundation
import Solvers
import Tasks

/// What happened to the tasks of a run, in one picture by gnuplot: a panel for each thing that was measured, a colour for
/// each task, a dotted line where a task stopped. So many tasks that their curves could not be told apart have a row of
/// cells each, whose colours are the values.
struct TaskPicture {
  let history: TaskHistory
  /// By task: the relative gain over a run of that task alone.
  let gains: [Double?]

  /// More tasks than these have rows, not curves.
  private static let mostCurves = 12
  /// Of a row.
  private static let mostCells = 60
  /// From low to high, dark to light.
  private static let rising = "set palette defined (0 '#440154', 1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725')"
  /// Blue for tasks that pull together, red for those that pull apart.
  private static let signed = "set palette defined (-1 '#d73027', 0 '#ffffff', 1 '#4575b4')"
  /// What a panel starts with, whatever the one before it has set.
  private static let plain = [
    "unset arrow", "unset label", "unset object", "unset offsets", "unset logscale", "unset cblabel", "unset xzeroaxis",
    "set autoscale xy", "set autoscale cb", "set cbtics autofreq", "set xtics autofreq norotate", "set ytics autofreq",
    "set grid linecolor '#dddddd'",
    "set xlabel 'iteration'", "set key outside right top samplen 1.5 spacing 1.1",
  ]

  private struct Panel {
    var title: String
    /// What the y axis is.
    var unit: String
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
    lines.append("set format y '%g'")
    for panel in panels {
      lines += ["set title \(PlotScript.quoted(panel.title))", "set ylabel \(PlotScript.quoted(panel.unit))"]
      lines += TaskPicture.plain + panel.settings
      lines.append(panel.plot)
    }
    return (lines + ["unset multiplot"]).joined(separator: "\n") + "\n"
  }

  private var panels: [Panel] {
    [
      curves("training loss", "loss", history.trainingLosses, isLogarithmic: true),
      curves("validation loss", "loss", history.testLosses, isLogarithmic: true),
      curves("validation metric", "metric", history.metrics), weightCurves,
      // Of a batch without a label there is none.
      curves(
        "norm of the gradient in the shared parameters", "norm",
        history.gradientNorms.map { $0.filter { $0.value > 0 } },
        isLogarithmic: true),
      curves("cosine of the gradient with the other tasks', mean", "cosine", history.cosines, isSigned: true),
      cosineMatrix, stoppingCurves, gainBars,
    ].compactMap { $0 }
  }

  /// nil where every weight was 1 all the time.
  private var weightCurves: Panel? {
    guard history.weights.contains(where: { $0.contains { $0.value != 1 } }) else { return nil }
    let values = history.weights.joined().map(\.value)
    // The small ones would all be at 0.
    let isWide = (values.max() ?? 1) > 30 * (values.min() ?? 1)
    return curves("weight of the loss", "weight", history.weights, isLogarithmic: isWide)
  }

  /// With a dashed line across at each threshold: grey where all tasks have it, else in the task's colour.
  private var stoppingCurves: Panel? {
    let known = history.stopThresholds.enumerated().compactMap { task, value in value.map { (task: task, value: $0) } }
    let isOne = Set(known.map(\.value)).count == 1
    guard history.tasks.count <= TaskPicture.mostCurves else {
      let limit = isOne ? logText(known[0].value) : "its threshold"
      return curves("stopping value (a task stops above \(limit))", "value", history.stopping)
    }
    var panel = curves("stopping value (a task stops above the dashed line)", "value", history.stopping)
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
    _ title: String, _ unit: String, _ curves: TaskHistory.Curves, isLogarithmic: Bool = false, isSigned: Bool = false
  ) -> Panel? {
    let values = curves.flatMap { $0.map(\.value) }
    guard !values.isEmpty else { return nil }
    let isLogarithmic = isLogarithmic && values.allSatisfy { $0 > 0 }
    if history.tasks.count > TaskPicture.mostCurves {
      return rows(title, unit, curves, isLogarithmic: isLogarithmic, isSigned: isSigned)
    }
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
    return Panel(
      title: title, unit: unit, settings: (isLogarithmic ? ["set logscale y"] : []) + stopLines, data: data,
      plot: "plot " + parts.joined(separator: ", \\\n  "))
  }

  // MARK: Many tasks

  /// A row of cells for each task, from an iteration to the next; where nothing is known, it is grey.
  private func rows(
    _ title: String, _ unit: String, _ curves: TaskHistory.Curves, isLogarithmic: Bool, isSigned: Bool
  ) -> Panel {
    let iterations = Set(curves.joined().map(\.iteration)).sorted()
    let count = (iterations.count + TaskPicture.mostCells - 1) / TaskPicture.mostCells
    let starts = stride(from: 0, to: iterations.count, by: count).map { iterations[$0] }
    let last = starts[starts.count - 1]
    let end = max(iterations[iterations.count - 1], last + (starts.count > 1 ? last - starts[starts.count - 2] : 1))
    var cells: [String] = []
    var means: [Double] = []
    for (task, points) in curves.enumerated() {
      for (place, start) in starts.enumerated() {
        let next = place + 1 < starts.count ? starts[place + 1] : end
        let values = points.filter { $0.iteration >= start && ($0.iteration < next || place + 1 == starts.count) }
          .map(\.value)
        guard !values.isEmpty else { continue }
        let mean = values.reduce(0, +) / Double(values.count)
        means.append(mean)
        cells.append(TaskPicture.cell(start, next, row: task, mean))
      }
    }
    let stops = history.stops.enumerated().compactMap { task, iteration in
      iteration.map {
        "set arrow from \($0),\(Double(task) - 0.5) to \($0),\(Double(task) + 0.5) nohead front linewidth 2 linecolor 'black'"
      }
    }
    let name = "$\(title.filter(\.isLetter))"
    return Panel(
      title: title + (stops.isEmpty ? "" : ", to the black mark where it stopped"), unit: "",
      settings: rowSettings(unit) + stops + ["set xrange [\(starts[0]):\(end)]"]
        + TaskPicture.colours(of: means, isLogarithmic: isLogarithmic, isSigned: isSigned),
      data: ["\(name) << END"] + cells + ["END"], plot: "plot \(name) \(TaskPicture.cellStyle)")
  }

  private static func colours(of values: [Double], isLogarithmic: Bool, isSigned: Bool) -> [String] {
    if isSigned {
      let most = values.map(abs).max() ?? 0
      return [signed] + (most > 0 ? ["set cbrange [\(-most):\(most)]"] : [])
    }
    guard isLogarithmic, let least = values.min(), let most = values.max(), least > 0 else { return [rising] }
    // gnuplot names the powers of ten alone.
    let powers = Int(log10(least).rounded(.down))...Int(log10(most).rounded(.up))
    let tics = powers.flatMap { power in [1, 2, 5].map { $0 * pow(10, Double(power)) } }
    return [rising, "set logscale cb", "set cbtics (\(tics.map { logText($0) }.joined(separator: ", ")))"]
  }

  /// x, y, their ranges, and the value.
  private static func cell(_ start: Double, _ end: Double, row: Int, _ value: Double) -> String {
    let (low, high) = (Double(row) - 0.5, Double(row) + 0.5)
    return "\((start + end) / 2) \(row) \(start) \(end) \(low) \(high) \(value)"
  }

  private static let cellStyle =
    "using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder linecolor palette notitle"

  /// A row for each task, with its name.
  private func rowSettings(_ unit: String) -> [String] {
    [
      "unset key", "unset grid", "set cblabel \(PlotScript.quoted(unit))", "set ytics (\(tics))",
      "set yrange [\(history.tasks.count).0-0.5:-0.5]",
      "set object 1 rectangle from graph 0,0 to graph 1,1 behind fillstyle solid noborder fillcolor '#e8e8e8'",
    ]
  }

  /// The names of all tasks at 0, 1, …
  private var tics: String {
    history.tasks.enumerated().map { "\(PlotScript.quoted($1.name)) \($0)" }.joined(separator: ", ")
  }

  private func rotation(_ names: Int) -> String { names > 10 ? "rotate by 90 right" : "" }

  /// A dotted line in the task's colour where it stopped, with its name.
  private var stopLines: [String] {
    let stopped = history.stops.enumerated().compactMap { task, iteration in iteration.map { (task: task, at: $0) } }
    return stopped.flatMap { task, iteration in
      PlotScript.stop(at: iteration, colour: TaskColours.line(task), text: "\(history.tasks[task].name) stopped")
    }
  }

  /// The mean cosine of each two tasks as a square of colours; grey for tasks that were never measured together.
  private var cosineMatrix: Panel? {
    let count = history.tasks.count
    var cells: [String] = []
    for (row, values) in history.cosineMatrix.enumerated() where values.contains(where: { $0 != nil }) {
      for (column, value) in values.enumerated() {
        guard let value = row == column ? 1 : value else { continue }
        cells.append(TaskPicture.cell(Double(column) - 0.5, Double(column) + 0.5, row: row, value))
      }
    }
    guard !cells.isEmpty else { return nil }
    return Panel(
      title: "cosine of the gradients of two tasks, mean over the run", unit: "",
      settings: rowSettings("cosine") + [
        "unset xlabel", TaskPicture.signed, "set cbrange [-1:1]", "set xtics (\(tics)) \(rotation(count))",
        "set xrange [-0.5:\(count).0-0.5]",
      ], data: ["$cosines << END"] + cells + ["END"],
      plot: "plot $cosines \(TaskPicture.cellStyle)"
        + (count <= 10 ? ", $cosines using 1:2:(sprintf('%.2f', $7)) with labels font ',9' notitle" : ""))
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
        "unset xlabel", "set xrange [-0.6:\(Double(known.count) - 0.4)]",
        "set xzeroaxis linetype -1",
        "set xtics ("
          + known.enumerated().map { "\(PlotScript.quoted(history.tasks[$1.task].name)) \($0)" }
          .joined(separator: ", ") + ") \(rotation(known.count))",
      ], data: ["$gains << END"] + bars + ["END"], plot: "plot " + parts.joined(separator: ", \\\n  "))
  }
}
