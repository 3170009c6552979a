import CaffeSchema
import Diagnostics
import Foundation

/// A file of scalars that TensorBoard reads: losses, metrics, learning rate and speed over the iterations.
///
/// The file is a sequence of records: the length (8 bytes, little-endian), its masked CRC-32C (4), the bytes, their
/// masked CRC-32C (4). Each record is an `Event` message of TensorFlow's `event.proto`: `wall_time` 1, `step` 2,
/// `file_version` 3, `summary` 5 { `value` 1 { `tag` 1, `simple_value` 2 } }, `session_log` 7 { `status` 1 }. A text is a
/// value with a `tensor` 8 { `dtype` 1 (7, string), `tensor_shape` 2 { `dim` 2 { `size` 1 } }, `string_val` 8 } and
/// `metadata` 9 { `plugin_data` 1 { `plugin_name` 1 } }, of the plugin 'text'.
package final class EventFile: TrainingRecorder {
  private let folder: String
  private let warn: (String) -> Void
  private var file: AppendedFile?

  /// - Parameter folder: made when it is not there. Each run adds a file of its own.
  package init(folder: String, warn: @escaping (String) -> Void) {
    self.folder = folder
    self.warn = warn
  }

  /// Tells that what earlier files of the folder hold of this iteration and later ones is void.
  package func start(at iteration: Int) throws {
    if file == nil {
      do {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      } catch {
        throw Diagnostic(
          .unwritableFile, "the folder '\(folder)' for --tensorboard cannot be made: \(error.localizedDescription)")
      }
      var host = [CChar](repeating: 0, count: 256)
      gethostname(&host, host.count - 1)
      let name = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let time = Int(Date().timeIntervalSince1970)
      // TensorBoard reads the files of a folder in the order of their names.
      file = AppendedFile("\(folder)/events.out.tfevents.\(time).\(name).\(getpid())", warn: warn)
      var version = ProtobufMessage()
      version.add(1, Date().timeIntervalSince1970)
      version.add(3, "brain.Event:2")
      write(version)
    }
    var log = ProtobufMessage()
    log.add(1, 1)  // START
    var event = event(at: iteration)
    event.add(7, log)
    write(event)
  }

  package func add(_ record: TrainingRecord) {
    let phase =
      switch record.phase {
      case .train: "train"
      case .test(0): "test"
      case .test(let net): "test\(net)"
      }
    var summary = ProtobufMessage()
    func add(_ tag: String, _ value: Float) {
      var scalar = ProtobufMessage()
      scalar.add(1, tag)
      scalar.add(2, value)
      summary.add(1, scalar)
    }
    add("\(phase)/objective", record.loss)
    for name in record.names {
      let outputs = record.outputs.filter { $0.name == name }
      for (index, output) in outputs.enumerated() where output.isKnown {
        add("\(phase)/\(name)" + (outputs.count > 1 ? "/\(index)" : ""), output.value)
      }
    }
    for task in record.tasks {
      if let loss = task.loss { add("\(phase)/tasks/\(task.name)/loss", loss) }
      if let weight = task.weight { add("\(phase)/tasks/\(task.name)/weight", Float(weight)) }
    }
    if record.phase == .train {
      add("run/lr", record.rate)
      if let epoch = record.epoch { add("run/epoch", Float(epoch)) }
      if let speed = record.recordsPerSecond { add("run/records_per_second", Float(speed)) }
      add("run/memory_mib", Float(record.memoryByteCount) / 1_048_576)
    }
    var event = event(at: record.iteration)
    event.add(5, summary)
    write(event)
  }

  package func add(_ conflict: TaskConflict) {
    var summary = ProtobufMessage()
    func add(_ tag: String, _ value: Double) {
      var scalar = ProtobufMessage()
      scalar.add(1, tag)
      scalar.add(2, Float(value))
      summary.add(1, scalar)
    }
    for (a, task) in conflict.tasks.enumerated() {
      add("conflict/norm/\(task)", conflict.norms[a])
      for (b, other) in conflict.tasks.enumerated().dropFirst(a + 1) {
        if let cosine = conflict.cosines[a][b] { add("conflict/cosine/\(task), \(other)", cosine) }
      }
    }
    var event = event(at: conflict.iteration)
    event.add(5, summary)
    write(event)
  }

  /// The values of the stopping rule as scalars, a task that stops as a text.
  package func add(_ happening: TrainingEvent, at iteration: Int) {
    var summary = ProtobufMessage()
    switch happening {
    case .tasks: return
    case .stopping(let values):
      guard !values.isEmpty else { return }
      for (task, value, _) in values {
        var scalar = ProtobufMessage()
        scalar.add(1, "stopping/\(task)")
        scalar.add(2, value)
        summary.add(1, scalar)
      }
    case .taskStopped(let task, let value):
      summary.add(
        1,
        text("task '\(task)' stops at iteration \(iteration), stopping value \(logText(value))", tag: "stopped/\(task)")
      )
    }
    var event = event(at: iteration)
    event.add(5, summary)
    write(event)
  }

  private func text(_ text: String, tag: String) -> ProtobufMessage {
    var dimension = ProtobufMessage()
    dimension.add(1, 1)
    var shape = ProtobufMessage()
    shape.add(2, dimension)
    var tensor = ProtobufMessage()
    tensor.add(1, 7)
    tensor.add(2, shape)
    tensor.add(8, text)
    var plugin = ProtobufMessage()
    plugin.add(1, "text")
    var metadata = ProtobufMessage()
    metadata.add(1, plugin)
    var value = ProtobufMessage()
    value.add(1, tag)
    value.add(8, tensor)
    value.add(9, metadata)
    return value
  }

  private func event(at iteration: Int) -> ProtobufMessage {
    var event = ProtobufMessage()
    event.add(1, Date().timeIntervalSince1970)
    event.add(2, iteration)
    return event
  }

  private func write(_ event: ProtobufMessage) {
    let length = littleEndian(UInt64(event.bytes.count))
    file?.append(
      length + littleEndian(CRC32C(length).masked) + event.bytes + littleEndian(CRC32C(event.bytes).masked))
  }
}

private func littleEndian(_ value: some FixedWidthInteger) -> Data {
  withUnsafeBytes(of: value.littleEndian) { Data($0) }
}

/// A message in protobuf's wire form, field after field.
private struct ProtobufMessage {
  private(set) var bytes = Data()

  mutating func add(_ field: Int, _ value: Double) {
    key(field, wireType: 1)
    bytes += littleEndian(value.bitPattern)
  }

  mutating func add(_ field: Int, _ value: Float) {
    key(field, wireType: 5)
    bytes += littleEndian(value.bitPattern)
  }

  mutating func add(_ field: Int, _ value: Int) {
    key(field, wireType: 0)
    variable(UInt64(bitPattern: Int64(value)))
  }

  mutating func add(_ field: Int, _ text: String) { add(field, Data(text.utf8)) }
  mutating func add(_ field: Int, _ message: ProtobufMessage) { add(field, message.bytes) }

  private mutating func add(_ field: Int, _ content: Data) {
    key(field, wireType: 2)
    variable(UInt64(content.count))
    bytes += content
  }

  private mutating func key(_ field: Int, wireType: Int) { variable(UInt64(field << 3 | wireType)) }

  private mutating func variable(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }
}
