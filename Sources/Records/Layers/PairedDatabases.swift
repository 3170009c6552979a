import Diagnostics
import Nets

/// Checks that the databases which a net reads side by side are in step.
///
/// Two data layers are read side by side when rows of both meet in one layer, as scores and labels do in a loss. Layers
/// whose batches are joined (Concat along axis 0) are not: they may hold different records. Image and label databases
/// that were converted together have the keys `00000012_path` and `00000012label_path`: their counts and all keys are
/// compared, and they must have one sampler or none. For databases of other tools a differing count is worth a warning.
/// Labels that are to move with pictures must have a crop and a mirror as one of the layers beside them.
///
/// - Returns: warnings.
/// - Throws: `outOfStep` with the first key that differs; `badParameter` for labels that move otherwise.
package func checkPairedDatabases(of graph: Graph) throws -> [Diagnostic] {
  let layers = graph.nodes.compactMap { $0.definition as? DataLayer }
  for layer in layers { try layer.checkMotion(beside: layers) }
  return try MeetingRows(graph).pairs.flatMap { pair -> [Diagnostic] in
    guard let a = graph.nodes[pair.a].definition as? DataLayer, let b = graph.nodes[pair.b].definition as? DataLayer
    else {
      return []
    }
    let (ones, others) = (try a.databases(), try b.databases())
    guard ones.count == others.count else {
      return [
        Diagnostic(
          .outOfStep,
          "mixes the records of \(others.count) databases, and layer '\(a.identity.name)', which is read beside it, "
            + "those of \(ones.count): records and labels will not match",
          severity: .warning, layer: b.identity, at: b.location)
      ]
    }
    return try zip(ones, others).compactMap { try compare($0, $1, a, b) }
  }
}

private func compare(_ one: any RecordDatabase, _ two: any RecordDatabase, _ a: DataLayer, _ b: DataLayer) throws
  -> Diagnostic?
{
  guard one.path != two.path else { return nil }
  let counts = "'\(one.path)' holds \(one.count) records, '\(two.path)' \(two.count)"
  let cursors = (try one.makeCursor(), try two.makeCursor())
  let areConverted = try isConverted(cursors.0.next().key) && isConverted(cursors.1.next().key)
  guard areConverted else {
    guard one.count != two.count else { return nil }
    return Diagnostic(
      .outOfStep, "\(counts); they are read side by side, so from the first round on records and labels will not match",
      severity: .warning, layer: b.identity, at: b.location)
  }
  guard a.samplingText == b.samplingText else {
    throw Diagnostic(
      .outOfStep,
      "'\(one.path)' and '\(two.path)' belong together, but their samplers differ: records would get labels of others; "
        + "give both layers one sampler, with the same database as labels",
      layer: b.identity, at: b.location)
  }
  for position in 0..<min(one.count, two.count) {
    let keys =
      try position == 0
      ? (cursors.0.record(at: 0).key, cursors.1.record(at: 0).key) : (cursors.0.next().key, cursors.1.next().key)
    guard common(keys.0).elementsEqual(common(keys.1)) else {
      throw Diagnostic(
        .outOfStep,
        "record \(position) is '\(text(keys.0))' in '\(one.path)', but '\(text(keys.1))' in '\(two.path)': labels would "
          + "belong to other images; convert both from one list",
        layer: b.identity, at: b.location)
    }
  }
  guard one.count == two.count else {
    let (longer, cursor) = one.count > two.count ? (one.path, cursors.0) : (two.path, cursors.1)
    throw Diagnostic(
      .outOfStep,
      "\(counts): '\(longer)' goes on with '\(text(try cursor.record(at: min(one.count, two.count)).key))'; convert both "
        + "from one list",
      layer: b.identity, at: b.location)
  }
  return nil
}

private func text(_ key: UnsafeRawBufferPointer) -> String { String(decoding: key, as: UTF8.self) }

/// Eight digits, perhaps `label`, `_`.
private func isConverted(_ key: UnsafeRawBufferPointer) -> Bool {
  let digits = key.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }.count
  let rest = key.dropFirst(digits)
  return digits >= 8 && (rest.starts(with: "_".utf8) || rest.starts(with: "label_".utf8))
}

/// A converted key without the word `label`: what the keys of a pair have in common.
private func common(_ key: UnsafeRawBufferPointer) -> [UInt8] {
  let digits = key.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
  let rest = key.dropFirst(digits.count)
  return Array(digits) + Array(rest.starts(with: "label_".utf8) ? rest.dropFirst("label".utf8.count) : rest)
}
