import Diagnostics

/// Which attributes of which images are taken from a list file as CelebA publishes it (`list_attr_celeba.txt`).
///
/// Its first line is the number of images, its second the attributes' names; each further line is an image and, for each
/// attribute, 1 or -1. Source: Liu, Luo, Wang, Tang, Deep learning face attributes in the wild (ICCV 2015), the README of
/// the data set.
package struct AttributeList: Sendable {
  /// The parts that a partition file (`list_eval_partition.txt`) gives its images to, by number.
  package enum Part: Int, CaseIterable, Sendable {
    case train
    case val
    case test
  }

  /// The attributes that are taken, in this order; none stands for all.
  package var attributes: [String]
  /// The partition file, and the part that is taken; nil takes all images.
  package var partition: (file: String, part: Part)?

  package init(attributes: [String] = [], partition: (file: String, part: Part)? = nil) {
    self.attributes = attributes
    self.partition = partition
  }

  /// The names in the second line.
  ///
  /// Throws a `Diagnostic` (`unreadableFile`, `badList`).
  package static func names(in file: String) throws -> [String] { try Head(LabelList.contents(of: file), file).names }

  /// A list with 1 for an attribute that is there, 0 for one that is not, NaN for one that is missing (0 or `?`).
  ///
  /// Throws a `Diagnostic` (`unreadableFile`, `badList`). Faults of single lines are given back.
  func read(_ file: String) throws -> (list: LabelList, faults: [Diagnostic]) {
    let bytes = try LabelList.contents(of: file)
    let head = try Head(bytes, file)
    let columns = try head.columns(of: attributes)
    let parts = try partition.map { try Partition($0.file) }
    var (list, faults) = try LabelList.parse(bytes, file: file, labelCount: head.names.count, heads: 2)
    let count = list.entries.count + faults.count
    if count != head.count {
      faults.append(
        Diagnostic(
          .badList, "the first line tells of \(head.count) images, but \(count) follow; is the file cut off?",
          at: SourceLocation(file: file, line: 1)))
    }
    let (chosen, labelFaults) = list.mapped(labelCount: columns.count) { entry, labels throws(Diagnostic) in
      if let partition, let parts {
        let path = String(decoding: list.path(of: entry), as: UTF8.self)
        guard let part = parts.part(of: path) else {
          throw Diagnostic(.badList, "'\(path)' is not in the partition file '\(parts.file)'")
        }
        if part != partition.part { return nil }
      }
      return try columns.map { column throws(Diagnostic) in
        let value = labels[labels.startIndex + column]
        if value.isNaN || value == 0 { return .nan }
        guard abs(value) == 1 else {
          throw Diagnostic(.badList, "\(head.names[column]) is \(value); an attribute is 1 or -1")
        }
        return value == 1 ? 1 : 0
      }
    }
    list = chosen
    faults += labelFaults + (parts?.faults ?? [])
    if list.entries.isEmpty && faults.isEmpty {
      throw Diagnostic(
        .badList, "no image is in the part '\(partition.map { "\($0.part)" } ?? "")'", at: SourceLocation(file: file))
    }
    return (list, faults)
  }
}

/// The first two lines of an attribute list.
private struct Head {
  let count: Int
  let names: [String]
  private let file: String

  init(_ bytes: [UInt8], _ file: String) throws {
    self.file = file
    let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
      .prefix(2).map { String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init) }
    guard let first = lines.first, first.count == 1, let count = Int(first[0]), count >= 0 else {
      throw Diagnostic(
        .badList, "the first line must be the number of images, as in list_attr_celeba.txt",
        at: SourceLocation(file: file, line: 1))
    }
    names = lines.count > 1 ? lines[1] : []
    self.count = count
    guard !names.isEmpty, names.allSatisfy({ Float($0) == nil }), Set(names).count == names.count else {
      throw Diagnostic(
        .badList, "the second line must name the attributes, each once", at: SourceLocation(file: file, line: 2))
    }
  }

  func columns(of attributes: [String]) throws -> [Int] {
    if attributes.isEmpty { return Array(names.indices) }
    return try attributes.map { name in
      if let column = names.firstIndex(of: name) { return column }
      let hint = nearestName(to: name, among: names).map { "; '\($0)' is near" } ?? ": \(names.joined(separator: ", "))"
      throw Diagnostic(
        .badArgument, "there is no attribute '\(name)' among the \(names.count)\(hint)",
        at: SourceLocation(file: file, line: 2))
    }
  }
}

/// Which part each image is in.
private struct Partition {
  let file: String
  let faults: [Diagnostic]
  private let parts: [String: AttributeList.Part]

  init(_ file: String) throws {
    self.file = file
    let (list, lineFaults) = try LabelList.read(file, labelCount: 1)
    var parts: [String: AttributeList.Part] = [:]
    var faults = lineFaults
    for entry in list.entries {
      let value = list.labels(of: entry).first ?? .nan
      guard let number = Int(exactly: value), let part = AttributeList.Part(rawValue: number) else {
        faults.append(
          Diagnostic(
            .badList, "the part is \(value); 0 is train, 1 val and 2 test",
            at: SourceLocation(file: file, line: entry.line)))
        continue
      }
      parts[String(decoding: list.path(of: entry), as: UTF8.self)] = part
    }
    self.parts = parts
    self.faults = faults
  }

  func part(of path: String) -> AttributeList.Part? { parts[path] }
}
