/// The known name that a misspelt one most likely meant, or nil when none is near.
///
/// Near is an edit distance (insertions, deletions, substitutions and swaps of neighbours, after Damerau) of at most a
/// third of the name's length, letter case ignored at half the price of an edit.
package func nearestName(to misspelt: String, among known: some Sequence<String>) -> String? {
  let limit = 2 * max(1, misspelt.count / 3)
  var best: (name: String, distance: Int)?
  for name in known {
    let distance = editDistance(Array(misspelt), Array(name))
    if distance <= limit, distance < best?.distance ?? .max { best = (name, distance) }
  }
  return best?.name
}

/// Whether a name is a known one but for one edit, or for the case of its letters.
package func isSlip(_ name: String, among known: some Sequence<String>) -> Bool {
  known.contains { editDistance(Array(name), Array($0)) <= 2 || name.lowercased() == $0.lowercased() }
}

/// Twice the number of edits; a change of letter case counts half an edit.
private func editDistance(_ a: [Character], _ b: [Character]) -> Int {
  var older: [Int] = []
  var previous = Array(stride(from: 0, through: 2 * b.count, by: 2))
  for i in a.indices {
    var current = [previous[0] + 2]
    for j in b.indices {
      let substitution = a[i] == b[j] ? 0 : a[i].lowercased() == b[j].lowercased() ? 1 : 2
      var cost = min(previous[j] + substitution, previous[j + 1] + 2, current[j] + 2)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, older[j - 1] + 2) }
      current.append(cost)
    }
    (older, previous) = (previous, current)
  }
  return previous[b.count]
}
