import Diagnostics

/// The points of one picture in a file of its own, `NAME.pts`, as 300-W and the sets annotated like it publish them:
/// ```
/// version: 1
/// n_points: 68
/// {
/// 30.5 40.25
/// …
/// }
/// ```
/// A line between the braces is x and y in pixels. They count from 1 (menpo's `menpo/io/input/landmark.py` says so): the
/// middle of the upper left pixel is (1, 1), and (0.5, 0.5) with us.
enum PointFile {
  /// x and y of each point in turn.
  ///
  /// - Parameter count: how many points there must be.
  /// Throws a `Diagnostic` (`badList`) with the line of the file.
  static func points(_ bytes: [UInt8], file: String, count: Int) throws -> [Float] {
    func fault(_ message: String, _ line: Int) -> Diagnostic {
      Diagnostic(.badList, message, at: SourceLocation(file: file, line: line))
    }
    var points: [Float] = []
    var isWithin = false
    let lines = String(decoding: bytes, as: UTF8.self).split(omittingEmptySubsequences: false) { $0.isNewline }
    for (index, line) in lines.enumerated() {
      let words = line.split { $0.isWhitespace || $0 == "," }
      guard let first = words.first else { continue }
      if first == "}" { break }
      guard isWithin else {
        isWithin = first == "{"
        if first.hasPrefix("n_points"), let told = words.last.flatMap({ Int($0.drop { !$0.isNumber }) }), told != count
        {
          throw fault("it has \(told) points, but \(count) were asked for", index + 1)
        }
        continue
      }
      let numbers = words.compactMap { Float($0) }
      guard numbers.count == words.count, numbers.count == 2, numbers.allSatisfy(\.isFinite) else {
        throw fault("'\(line)' is no point; a point is two numbers, x and y", index + 1)
      }
      points += numbers.map { $0 - 0.5 }
    }
    guard isWithin else { throw fault("there is no '{' before points; is it a file of points?", 1) }
    guard points.count == 2 * count else {
      throw fault("it has \(points.count / 2) points, but \(count) were asked for", 1)
    }
    return points
  }
}
