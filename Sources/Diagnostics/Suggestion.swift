/// The known name that a misspelt one most likely meant, or nil when none is near.
///
/// Near is an edit distance (insertions, deletions, substitutions and swaps of neighbours, after Damerau) of at most a
/// third of the name's length, letter case ignored at half the price of an edit.
package func nearestName(to misspelt: String, among known: some Sequence<String>) -> String? {
  let written = Letters(misspelt)
  let limit = 2 * max(1, written.count / 3)
  var best: (name: String, distance: Int)?
  for name in known {
    guard let distance = written.distance(to: Letters(name), atMost: limit) else { continue }
    if distance < best?.distance ?? .max { best = (name, distance) }
  }
  return best?.name
}

/// Whether a name is a known one but for one edit, or for the case of its letters. Another digit is another name,
/// and of up to three letters any other letter is (LRN and GRN).
package func isSlip(_ name: String, among known: some Sequence<String>) -> Bool {
  let written = Letters(name)
  return known.contains { known in
    let letters = Letters(known)
    if written.lowercase == letters.lowercase { return true }
    guard written.count > 3, !written.differsInDigit(from: letters) else { return false }
    return written.distance(to: letters, atMost: 2) != nil
  }
}

/// A name's letters as written and without their case. Names are looked up again and again while shapes are guessed.
private struct Letters {
  let written: [Unicode.Scalar]
  let lowercase: [Unicode.Scalar]
  var count: Int { written.count }

  init(_ name: String) {
    written = Array(name.unicodeScalars)
    lowercase = written.map { scalar in
      guard scalar.isASCII else { return scalar.properties.lowercaseMapping.unicodeScalars.first ?? scalar }
      return ("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) + 32) : scalar
    }
  }

  /// Whether both are alike but for one place, where one of them has a digit.
  func differsInDigit(from other: Letters) -> Bool {
    guard count == other.count else { return false }
    let differing = zip(lowercase, other.lowercase).filter { $0 != $1 }
    return differing.count == 1 && [differing[0].0, differing[0].1].contains { ("0"..."9").contains($0) }
  }

  /// Twice the number of edits, a change of letter case counting half an edit; nil when it is more than `limit`.
  func distance(to other: Letters, atMost limit: Int) -> Int? {
    guard 2 * abs(count - other.count) <= limit else { return nil }
    var older: [Int] = []
    var previous = Array(stride(from: 0, through: 2 * other.count, by: 2))
    for i in written.indices {
      var current = [previous[0] + 2]
      current.reserveCapacity(other.count + 1)
      for j in other.written.indices {
        let substitution =
          written[i] == other.written[j] ? 0 : lowercase[i] == other.lowercase[j] ? 1 : 2
        var cost = min(previous[j] + substitution, previous[j + 1] + 2, current[j] + 2)
        if i > 0, j > 0, written[i] == other.written[j - 1], written[i - 1] == other.written[j] {
          cost = min(cost, older[j - 1] + 2)
        }
        current.append(cost)
      }
      (older, previous) = (previous, current)
    }
    return previous[other.count] <= limit ? previous[other.count] : nil
  }
}
