import Nets
import Tasks
import Tensors

/// What a net's memory holds, as text.
struct MemoryTable {
  let net: Net
  private let steps: [Step]
  private let names: [ObjectIdentifier: [String]]

  init(_ net: Net) {
    self.net = net
    steps = net.forwardSteps + net.backwardSteps
    names = MemoryTable.names(of: steps)
  }

  /// The step (from 0) at which most bytes are in use, and how many.
  var peak: (step: Int, byteCount: Int) {
    var most = (step: 0, byteCount: 0)
    for index in steps.indices {
      let bytes = inUse(at: index).reduce(0) { $0 + $1.region.byteCount }
      if bytes > most.byteCount { most = (index, bytes) }
    }
    return most
  }

  private func inUse(at step: Int) -> [MemoryPlan.Entry] {
    net.memoryPlan.entries.filter { $0.steps.contains(step) }
  }

  /// Sizes of the arena, the parameters and of batches that data layers own.
  var sizes: String {
    let peak = peak
    let parameters = net.parameterTable.unique.map(\.parameter)
    let values = parameters.reduce(0) { $0 + $1.count } * MemoryLayout<Float>.stride
    let isTrained = !net.backwardSteps.isEmpty
    let learned =
      parameters.filter { isTrained && $0.isLearned }.reduce(0) { $0 + $1.count } * MemoryLayout<Float>.stride
    var external: [ObjectIdentifier: Int] = [:]
    for region in steps.flatMap({ $0.reads + $0.writes }) where region.root.isExternal {
      external[ObjectIdentifier(region.root)] = region.root.byteCount
    }
    var table = TextTable([("memory", false), ("bytes", true), ("", false)])
    let place =
      steps.isEmpty ? "" : "at step \(peak.step + 1), \(steps[peak.step].kind.rawValue) \(steps[peak.step].name)"
    table.add(["arena", byteText(net.memoryPlan.byteCount), "blobs, gradients, workspaces, scratch"])
    table.add(["in use at the peak", byteText(peak.byteCount), place])
    table.add(["parameters", byteText(values), "shared by the nets of a solver"])
    table.add(["their gradients", byteText(learned), ""])
    table.add(["batches", byteText(external.values.reduce(0, +)), "of data layers, for each one that is kept ready"])
    return table.text
  }

  /// The largest regions in use at the peak.
  func holders(_ count: Int) -> String {
    var table = TextTable([("in use at the peak", false), ("bytes", true), ("from step", true), ("to", true)])
    // Regions of one size and lifetime come in any order; their names settle it.
    let entries = inUse(at: peak.step).map { (entry: $0, name: name($0.region)) }.sorted {
      let (a, b) = ($0.entry, $1.entry)
      return (-a.region.byteCount, a.steps.lowerBound, a.steps.upperBound, $0.name)
        < (-b.region.byteCount, b.steps.lowerBound, b.steps.upperBound, $1.name)
    }
    for (entry, name) in entries.prefix(count) {
      table.add([
        name, byteText(entry.region.byteCount), String(entry.steps.lowerBound + 1),
        String(entry.steps.upperBound + 1),
      ])
    }
    let rest = entries.dropFirst(count)
    if !rest.isEmpty {
      let bytes = rest.reduce(0) { $0 + $1.entry.region.byteCount }
      table.add(["\(rest.count) more", byteText(bytes), "", ""])
    }
    return table.text
  }

  private func name(_ region: Region) -> String {
    let all = names[ObjectIdentifier(region.root)] ?? []
    let shown = all.prefix(3).joined(separator: " = ")
    return all.count > 3 ? "\(shown) = … (\(all.count) in one place)" : shown
  }

  /// What lies in each root region: blobs and gradients by the blob's name, else the layer whose memory it is.
  private static func names(of steps: [Step]) -> [ObjectIdentifier: [String]] {
    var names: [ObjectIdentifier: [String]] = [:]
    var known: Set<ObjectIdentifier> = []
    func add(_ name: String, _ region: Region) {
      guard region.byteCount > 0, known.insert(ObjectIdentifier(region)).inserted else { return }
      let root = ObjectIdentifier(region.root)
      if names[root]?.contains(name) != true { names[root, default: []].append(name) }
    }
    // Copies in another layout carry the blob's name; they are named first.
    for step in steps where step.kind == .reorder {
      for top in step.tops {
        add("\(top.name) as \(top.layout.name)", top.dataRegion)
        add("gradient of \(top.name) as \(top.layout.name)", top.gradientRegion)
      }
    }
    for step in steps {
      for blob in step.tops + step.bottoms {
        add(blob.name, blob.dataRegion)
        add("gradient of \(blob.name)", blob.gradientRegion)
      }
    }
    let kept = Set(steps.flatMap(\.reads).map { ObjectIdentifier($0) })
    for step in steps {
      for region in step.reads + step.writes {
        add("\(kept.contains(ObjectIdentifier(region)) ? "workspace" : "scratch") of \(step.name)", region)
      }
    }
    return names
  }
}
