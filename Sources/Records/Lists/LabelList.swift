import Diagnostics

/// A list of images with their labels, as `PATH L1 … LC` lines give it.
package struct LabelList: Sendable {
  /// One line of the list.
  package struct Entry: Sendable {
    /// From 1.
    package let line: Int
    fileprivate let path: Range<Int>
    /// Where its labels begin among all.
    fileprivate let firstLabel: Int
  }

  /// The list's name as the user gave it.
  package let file: String
  /// The number of labels of every entry.
  package let labelCount: Int
  package private(set) var entries: [Entry] = []
  private let bytes: [UInt8]
  private var values: [Float] = []

  init(file: String, labelCount: Int, bytes: [UInt8]) {
    self.file = file
    self.labelCount = labelCount
    self.bytes = bytes
  }

  mutating func append(line: Int, path: Range<Int>, labels: [Float]) {
    precondition(labels.count == labelCount)
    entries.append(Entry(line: line, path: path, firstLabel: values.count))
    values += labels
  }

  /// Keeps the entries that fulfil a condition.
  package mutating func keep(where condition: (Entry) -> Bool) { entries.removeAll { !condition($0) } }

  /// The list with other labels for each line.
  ///
  /// - Parameters:
  ///   - labelCount: how many there are then.
  ///   - change: from a line and its labels to the new ones; nil leaves the line out. What it throws is given back, and
  ///     the line is left out too.
  func mapped(
    labelCount: Int, _ change: (Entry, ArraySlice<Float>) throws(Diagnostic) -> [Float]?
  ) -> (list: LabelList, faults: [Diagnostic]) {
    var new = LabelList(file: file, labelCount: labelCount, bytes: bytes)
    var faults: [Diagnostic] = []
    for entry in entries {
      do throws(Diagnostic) {
        guard let labels = try change(entry, labels(of: entry)) else { continue }
        new.append(line: entry.line, path: entry.path, labels: labels)
      } catch {
        faults.append(error.within(at: SourceLocation(file: file, line: entry.line)))
      }
    }
    return (new, faults)
  }

  /// The path as the list has it, without quotes: bytes, for file names need not be UTF-8.
  package func path(of entry: Entry) -> ArraySlice<UInt8> { bytes[entry.path] }

  /// The labels; NaN where one is missing.
  package func labels(of entry: Entry) -> ArraySlice<Float> {
    values[entry.firstLabel..<entry.firstLabel + labelCount]
  }
}
