import CaffeSchema
import Diagnostics
import Foundation
import HDF5Files
import Nets
import Records
import Solvers
import Tasks
import Tensors

/// What a file of weights, states, means or records holds, as text.
struct Inspection {
  let text: String
  /// Values that are no numbers, in all of it.
  let nonFinite: Int

  /// - Parameter records: how many records of a database are shown.
  /// - Throws: a `Diagnostic` for a path that is missing or holds none of these.
  init(_ path: String, records: Int) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      self = try DatabaseInspection(path, shown: records).inspection
      return
    }
    if path.hasSuffix(".runstate") {
      self = try Inspection.runState(RunState.read(path))
      return
    }
    switch try isHDF5(path) ? BinaryContent(hdf5: path) : BinaryContent(path) {
    case .net(let net): self = Inspection.net(net)
    case .state(let state): self = Inspection.state(state)
    case .blob(let blob): self = Inspection.blob(blob)
    case .datasets(let file): self = try DatasetInspection(file, shown: records).inspection
    }
  }

  init(text: String, nonFinite: Int) {
    self.text = text
    self.nonFinite = nonFinite
  }

  private static let heads = ValueSummary.columns.map { (head: $0, isNumber: true) }

  private static func net(_ net: NetParameter) -> Inspection {
    var table = TextTable([("layer", false), ("type", false), ("blob", true), ("shape", false)] + heads)
    var total = ValueSummary()
    for layer in net.layer {
      for (index, blob) in layer.blobs.enumerated() {
        let values = blob.values
        let summary = ValueSummary(values)
        for value in values { total.add(value) }
        table.add([layer.name, layer.type, "\(index)", Shape(blob.dims).description] + summary.cells)
      }
    }
    let name = net.name.isEmpty ? "weights" : "weights of '\(net.name)'"
    let without = net.layer.filter(\.blobs.isEmpty).count
    let head =
      "\(name): \(net.layer.count) layers, \(net.layer.count - without) with blobs, \(CheckText.grouped(total.count)) values"
    return Inspection(text: "\(head)\n\n\(table.text)\(warning(total.nonFinite))", nonFinite: total.nonFinite)
  }

  private static func state(_ state: SolverState) -> Inspection {
    var table = TextTable([("history", true), ("shape", false)] + heads)
    var nonFinite = 0
    for (index, blob) in state.history.enumerated() {
      let summary = ValueSummary(blob.values)
      nonFinite += summary.nonFinite
      table.add(["\(index)", Shape(blob.dims).description] + summary.cells)
    }
    let weights = state.learnedNet.isEmpty ? "" : ", weights in '\(state.learnedNet)'"
    let head = "solver state: iteration \(state.iter), step \(state.currentStep)\(weights)"
    return Inspection(text: "\(head)\n\n\(table.text)\(warning(nonFinite))", nonFinite: nonFinite)
  }

  private static func blob(_ blob: BlobProto) -> Inspection {
    let shape = Shape(blob.dims)
    let values = blob.values
    var table = TextTable([("channel", true)] + heads)
    let channels = max(1, shape.rank >= 3 ? shape[shape.rank - 3] : 1)
    let area = values.count / channels
    var nonFinite = 0
    for channel in 0..<channels {
      let summary = ValueSummary(values[channel * area..<(channel + 1) * area])
      nonFinite += summary.nonFinite
      table.add(["\(channel)"] + summary.cells)
    }
    return Inspection(text: "blob \(shape)\n\n\(table.text)\(warning(nonFinite))", nonFinite: nonFinite)
  }

  private static func runState(_ state: RunState) -> Inspection {
    var table = TextTable([("what", false), ("value", false)])
    table.add(["iteration", "\(state.iteration)"])
    table.add(["solver", state.solver])
    table.add(["seed", "\(state.seed)"])
    table.add(["forward passes of the training net", "\(state.trainPass)"])
    table.add(["forward passes of the test nets", state.testPasses.map { "\($0)" }.joined(separator: ", ")])
    table.add(["smoothed loss over", "\(state.recentLosses.count) iterations"])
    table.add(["learning rate times", logText(state.rateFactor)])
    if let best = state.best {
      table.add(["best \(best.metric)", "\(logText(best.value)) at iteration \(best.iteration)"])
    }
    table.add(["snapshots kept", state.kept.map { "\($0)" }.joined(separator: ", ")])
    for file in [state.weights, state.state] {
      table.add([file.name, "\(CheckText.grouped(file.byteCount)) bytes, CRC-32C \(file.crc32c)"])
    }
    return Inspection(text: "what a run needs to go on, beside its solver state\n\n\(table.text)", nonFinite: 0)
  }

  static func warning(_ nonFinite: Int) -> String {
    nonFinite == 0 ? "" : "\n\nwarning: \(CheckText.grouped(nonFinite)) values are not finite"
  }
}

/// The binary messages that files of the format hold, told apart by their endings and contents.
private enum BinaryContent {
  case net(NetParameter)
  case state(SolverState)
  case blob(BlobProto)
  /// HDF5 that is none of these.
  case datasets(HDF5File)

  init(hdf5 path: String) throws {
    let file = try HDF5File(reading: path)
    if file.kind(of: "data") == .group {
      self = .net(try NetSource.readWeights(path))
    } else if file.kind(of: "history") == .group, file.kind(of: "iter") == .dataset {
      self = .state(try HDF5State.read(path))
    } else {
      self = .datasets(file)
    }
  }

  init(_ path: String) throws {
    if path.hasSuffix(".caffemodel") {
      self = .net(try NetSource.readWeights(path))
    } else if path.hasSuffix(".solverstate") {
      self = .state(try readBinary(path))
    } else if path.hasSuffix(".binaryproto"), let blob = try? readBinary(path, as: BlobProto.self),
      !blob.data.isEmpty || !blob.doubleData.isEmpty
    {
      self = .blob(blob)
    } else if let net = try? readBinary(path, as: NetParameter.self), !net.layer.isEmpty || !net.layers.isEmpty {
      self = .net(try NetSource(parameter: net, file: path).parameter)
    } else if let blob = try? readBinary(path, as: BlobProto.self), !blob.data.isEmpty || !blob.doubleData.isEmpty {
      self = .blob(blob)
    } else {
      // What is wrong with a file that cannot be read is told as it is.
      _ = try readFile(path)
      guard let state = try? readBinary(path, as: SolverState.self), state.hasIter else {
        throw Diagnostic(
          .unreadableFile,
          "'\(path)' holds no weights, solver state, mean or data; 'mtl check' looks at prototxt files")
      }
      self = .state(state)
    }
  }
}
