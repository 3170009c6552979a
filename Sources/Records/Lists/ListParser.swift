import Diagnostics

extension LabelList {
  /// Reads a list file; see `parse`.
  ///
  /// Throws a `Diagnostic` (`unreadableFile`, `badList`) when there is no list to speak of. Faults of single lines are
  /// given back.
  package static func read(
    _ file: String, labelCount: Int?, pathsMayHoldBlanks: Bool = false
  ) throws -> (list: LabelList, faults: [Diagnostic]) {
    try parse(contents(of: file), file: file, labelCount: labelCount, pathsMayHoldBlanks: pathsMayHoldBlanks)
  }

  /// Throws a `Diagnostic` (`unreadableFile`).
  static func contents(of file: String) throws -> [UInt8] {
    do {
      return try readFile(file.utf8)
    } catch let fault as Diagnostic where fault.code == .unreadableFile {
      throw Diagnostic(.unreadableFile, "cannot read the list '\(file)': \(fault.message)")
    }
  }

  /// Parses lines of a path and labels.
  ///
  /// The path ends at the first blank. To hold blanks it stands in double quotes, or a tab parts it from the labels.
  /// A label is a decimal number, or `?` or `nan` where it is missing. Blank lines, a byte-order mark and carriage
  /// returns are passed over.
  ///
  /// - Parameters:
  ///   - labelCount: the number of labels of each line; nil takes it from the first.
  ///   - pathsMayHoldBlanks: whether the path goes on to the last word that is no label, as Caffe's ImageData has it.
  ///   - heads: lines at the start that are no records.
  ///   - labelsAreOptional: whether lines may be a path alone.
  /// Throws a `Diagnostic` (`badList`) for a list without a line. Lines with faults are left out, and reported.
  package static func parse(
    _ bytes: [UInt8], file: String, labelCount: Int?, pathsMayHoldBlanks: Bool = false, heads: Int = 0,
    labelsAreOptional: Bool = false
  ) throws -> (list: LabelList, faults: [Diagnostic]) {
    if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
      throw Diagnostic(
        .badList, "the list is UTF-16 text; save it as UTF-8", at: SourceLocation(file: file))
    }
    let bytes = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes.dropFirst(3)) : bytes
    var lines: [(number: Int, range: Range<Int>)] = []
    var start = 0
    var number = 0
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      number += 1
      let line = trimmed(start..<end, of: bytes)
      if !line.isEmpty && number > heads { lines.append((number, line)) }
      start = end + 1
    }
    if lines.isEmpty { throw Diagnostic(.badList, "the list holds no record", at: SourceLocation(file: file)) }
    let parser = LineParser(
      bytes: bytes, file: file, pathsMayHoldBlanks: pathsMayHoldBlanks, labelsAreOptional: labelsAreOptional)
    var count = labelCount ?? 0
    var wanted = "\(count) were asked for"
    if labelCount == nil, let first = lines.first(where: { parser.fields(of: $0.range)?.labels.isEmpty == false }) {
      count = parser.fields(of: first.range)?.labels.count ?? 0
      wanted = "line \(first.number) has \(count)"
    }
    var list = LabelList(file: file, labelCount: count, bytes: bytes)
    var faults: [Diagnostic] = []
    for (number, range) in lines {
      do {
        let (path, labels) = try parser.parse(range, line: number, labelCount: count, wanted: wanted)
        list.append(line: number, path: path, labels: labels)
      } catch {
        faults.append(error)
      }
    }
    return (list, faults)
  }
}

/// A space, tab, carriage return, vertical tab or form feed.
private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (0x09...0x0d).contains(byte) }

private func trimmed(_ range: Range<Int>, of bytes: [UInt8]) -> Range<Int> {
  var range = range
  while let last = range.last, isBlank(bytes[last]) { range = range.lowerBound..<last }
  while let first = range.first, isBlank(bytes[first]) { range = first + 1..<range.upperBound }
  return range
}

/// Takes apart one line, without blanks at its ends.
private struct LineParser {
  let bytes: [UInt8]
  let file: String
  let pathsMayHoldBlanks: Bool
  let labelsAreOptional: Bool

  typealias Fields = (path: Range<Int>, labels: [Range<Int>])

  func parse(
    _ line: Range<Int>, line number: Int, labelCount: Int, wanted: String
  ) throws(Diagnostic) -> (path: Range<Int>, labels: [Float]) {
    func fault(_ message: String, at place: Int? = nil) -> Diagnostic {
      let start = bytes[..<line.lowerBound].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
      let column = place.map { String(decoding: bytes[start..<$0], as: UTF8.self).unicodeScalars.count + 1 }
      return Diagnostic(.badList, message, at: SourceLocation(file: file, line: number, column: column ?? 0))
    }
    guard let (path, labels) = fields(of: line) else {
      throw fault("the quote that begins the path is not closed")
    }
    if path.isEmpty { throw fault("the path is empty") }
    if bytes[line].contains(0) { throw fault("the line holds a zero byte: this is no text") }
    var values: [Float] = []
    values.reserveCapacity(labels.count)
    for (index, label) in labels.enumerated() {
      let text = bytes[label]
      if isMissing(text) {
        values.append(.nan)
      } else if let value = decimal(text) {
        guard value.isFinite else {
          throw fault("label \(index + 1), '\(shown(text))', is too large", at: label.lowerBound)
        }
        values.append(value)
      } else {
        let hint = index == 0 && labels.count > max(labelCount, 1) ? "; a path with blanks must be quoted" : ""
        throw fault("label \(index + 1), '\(shown(text))', is not a number\(hint)", at: label.lowerBound)
      }
    }
    if labels.isEmpty, !labelsAreOptional || labelCount > 0 { throw fault("there is no label after the path") }
    guard labels.count == labelCount else {
      throw fault("the line has \(labels.count) label\(labels.count == 1 ? "" : "s"), but \(wanted)")
    }
    return (path, values)
  }

  /// Where the path and the labels are; nil for a quote that is not closed.
  func fields(of line: Range<Int>) -> Fields? {
    if bytes[line.lowerBound] == UInt8(ascii: "\"") {
      let start = line.lowerBound + 1
      guard let end = bytes[start..<line.upperBound].firstIndex(of: UInt8(ascii: "\"")) else { return nil }
      return (start..<end, words(in: end + 1..<line.upperBound))
    }
    let all = words(in: line)
    let firstWord = all[0]
    if pathsMayHoldBlanks, let last = all.lastIndex(where: { !isLabel(bytes[$0]) }), last > 0 {
      return (line.lowerBound..<all[last].upperBound, Array(all[(last + 1)...]))
    }
    if let tab = bytes[line].firstIndex(of: UInt8(ascii: "\t")) {
      let path = trimmed(line.lowerBound..<tab, of: bytes)
      // 'a.jpg 1<tab>2': blanks of both kinds between labels.
      let last = words(in: path).last ?? path
      if last == firstWord || !isLabel(bytes[last]) { return (path, words(in: tab..<line.upperBound)) }
    }
    return (firstWord, words(in: firstWord.upperBound..<line.upperBound))
  }

  private func words(in range: Range<Int>) -> [Range<Int>] {
    var words: [Range<Int>] = []
    var start = range.lowerBound
    for i in range {
      if isBlank(bytes[i]) {
        if i > start { words.append(start..<i) }
        start = i + 1
      }
    }
    if range.upperBound > start { words.append(start..<range.upperBound) }
    return words
  }

  private func isLabel(_ text: ArraySlice<UInt8>) -> Bool { isMissing(text) || decimal(text) != nil }

  private func isMissing(_ text: ArraySlice<UInt8>) -> Bool {
    text.elementsEqual("?".utf8) || String(decoding: text, as: UTF8.self).lowercased() == "nan"
  }

  /// The nearest float to a decimal number; infinite for one that is too large, nil for what is none.
  private func decimal(_ text: ArraySlice<UInt8>) -> Float? {
    // Of what C takes for numbers, hexadecimal ones and the names of infinity are not meant in a list.
    let isDecimal = text.allSatisfy {
      switch $0 {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
        UInt8(ascii: "e"), UInt8(ascii: "E"):
        true
      default: false
      }
    }
    return isDecimal ? Float(shown(text)) : nil
  }

  private func shown(_ text: ArraySlice<UInt8>) -> String { String(decoding: text, as: UTF8.self) }
}
