import CaffeSchema
import Diagnostics
import Foundation
import Nets

/// Curves of one kind, such as ROC, of one or several nets as a picture.
struct MetricPlot {
  /// Each with what the key calls it.
  let curves: [(name: String, curve: MetricCurve)]

  /// - Parameters:
  ///   - format: `svg` or `png`.
  ///   - output: the file that gnuplot is to write.
  func script(format: String, output: String) -> String {
    guard let first = curves.first?.curve else { return "" }
    var lines: [String] = []
    for (index, curve) in curves.enumerated() {
      lines.append("$c\(index) << END")
      lines += curve.curve.points.map { "\($0.x) \($0.y)" }
      lines.append("END")
    }
    lines += PlotScript.start(format: format, output: output, width: 560, height: 420)
    lines += [
      "set grid linecolor '#dddddd'",
      "set title \(PlotScript.quoted(first.title))", "set xlabel \(PlotScript.quoted(first.x.label))",
      "set ylabel \(PlotScript.quoted(first.y.label))",
    ]
    // What rises from the left has room at the lower right.
    lines.append(curves.count > 1 ? "set key bottom right" : "unset key")
    if first.x.isLogarithmic { lines.append("set logscale x") }
    if first.y.isLogarithmic { lines.append("set logscale y") }
    let parts = curves.enumerated().map { index, curve in
      "$c\(index) using 1:2 with lines linewidth 1.5 linecolor '\(PlotScript.colours[index % PlotScript.colours.count])' "
        + "title \(PlotScript.quoted(curve.name))"
    }
    lines.append("plot " + parts.joined(separator: ", \\\n  "))
    return lines.joined(separator: "\n") + "\n"
  }

  /// Writes the picture; see `PlotScript.write`.
  func write(to path: String) throws { try PlotScript.write(to: path, script: script) }
}

/// A curve as text: lines of x, tab, y under a head of comments.
enum CurveFile {
  private static let mark = "# mtl curve"

  static func text(of curve: MetricCurve) -> String {
    func axis(_ axis: MetricCurve.Axis) -> String { axis.label + (axis.isLogarithmic ? " (logarithmic)" : "") }
    let head = [
      mark, "# title: \(curve.title)", "# x: \(axis(curve.x))", "# y: \(axis(curve.y))",
    ]
    return (head + curve.points.map { "\($0.x)\t\($0.y)" }).joined(separator: "\n") + "\n"
  }

  static func isOne(_ path: String) -> Bool {
    FileManager.default.contents(atPath: path)?.starts(with: Data(mark.utf8)) ?? false
  }

  /// - Throws: `unreadableFile` at the line that is wrong.
  static func read(_ path: String) throws -> MetricCurve {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Diagnostic(.unreadableFile, "there is no curve '\(path)'")
    }
    let name = path.split(separator: "/").last.map { $0.split(separator: ".").first ?? $0 } ?? ""
    var curve = MetricCurve(String(name), title: "", x: .init(""), y: .init(""), points: [])
    for (number, line) in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).enumerated() {
      func value(_ key: String) -> String? {
        line.hasPrefix("# \(key): ") ? String(line.dropFirst(key.count + 4)) : nil
      }
      func axis(_ text: String) -> MetricCurve.Axis {
        let label = text.replacing(" (logarithmic)", with: "")
        return MetricCurve.Axis(label, isLogarithmic: label != text)
      }
      if let title = value("title") { curve.title = title }
      if let text = value("x") { curve.x = axis(text) }
      if let text = value("y") { curve.y = axis(text) }
      if line.hasPrefix("#") { continue }
      let numbers = line.split(separator: "\t").compactMap { Float($0) }
      guard numbers.count == 2 else {
        throw Diagnostic(
          .unreadableFile, "a point of a curve is two numbers with a tab between",
          at: SourceLocation(file: path, line: number + 1))
      }
      curve.points.append((numbers[0], numbers[1]))
    }
    return curve
  }

  /// What tells several files apart: their names, or their folders where the names are one.
  static func names(of paths: [String]) -> [String] {
    let parts = paths.map { $0.split(separator: "/").map(String.init) }
    let last = parts.map { $0.last ?? "" }
    guard paths.count > 1, Set(last).count < paths.count else { return last.map { $0.replacing(".tsv", with: "") } }
    return parts.map { $0.count > 1 ? $0[$0.count - 2] : $0.last ?? "" }
  }
}

extension Evaluation.Outcome {
  /// Writes each curve as a picture and as text into a folder, which is made when it is not there.
  ///
  /// - Returns: the pictures' paths.
  func writePlots(into folder: String) throws -> [String] {
    guard !curves.isEmpty else {
      throw Diagnostic(
        .badArgument, "--plots: no layer of the net draws curves; VerificationAccuracy and RetrievalAccuracy do")
    }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw Diagnostic(
        .unwritableFile, "the folder '\(folder)' for --plots cannot be made: \(error.localizedDescription)")
    }
    return try curves.map { layer, curve in
      let name = layer.map { $0.isLetter || $0.isNumber || "-_.@".contains($0) ? String($0) : "_" }.joined()
      let path = "\(folder)/\(name)_\(curve.name)"
      try writeFile(CurveFile.text(of: curve), to: path + ".tsv")
      try MetricPlot(curves: [(layer, curve)]).write(to: path + ".svg")
      return path + ".svg"
    }
  }
}
