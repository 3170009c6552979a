import CaffeSchema
import Foundation
import Testing

@testable import Solvers

/// The files for TensorBoard, read back as its format says.
@Suite struct EventFileTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  private struct Event {
    var step = 0
    var version = ""
    var isStart = false
    var scalars: [String: Float] = [:]
    var texts: [String: String] = [:]
  }

  /// The records of a file, their checksums compared.
  private func events() throws -> [Event] {
    let names = try job.names().filter { $0 == "board" }
    #expect(names == ["board"])
    let files = try FileManager.default.contentsOfDirectory(atPath: "\(job.path)/board")
    #expect(files.count == 1 && files[0].hasPrefix("events.out.tfevents."))
    var bytes = try job.contents("board/\(files[0])")[...]
    var events: [Event] = []
    func take(_ count: Int) throws -> Data {
      try #require(bytes.count >= count)
      defer { bytes = bytes.dropFirst(count) }
      return Data(bytes.prefix(count))
    }
    while !bytes.isEmpty {
      let length = try take(8)
      #expect(try take(4) == CRC32C(length).masked.littleEndianBytes)
      let content = try take(Int(length.reversed().reduce(0) { $0 << 8 | UInt64($1) }))
      #expect(try take(4) == CRC32C(content).masked.littleEndianBytes)
      events.append(try event(content))
    }
    return events
  }

  private func event(_ bytes: Data) throws -> Event {
    var event = Event()
    for (field, value) in fields(bytes) {
      switch field {
      case 2: event.step = value.number
      case 3: event.version = String(decoding: value.bytes, as: UTF8.self)
      case 5:
        for (_, scalar) in fields(value.bytes) {
          let parts = Dictionary(fields(scalar.bytes).map { ($0.field, $0.value) }, uniquingKeysWith: { a, _ in a })
          let tag = String(decoding: try #require(parts[1]).bytes, as: UTF8.self)
          if let metadata = parts[9] {
            let plugin = try #require(fields(metadata.bytes).first)
            #expect(fields(plugin.value.bytes).first?.value.bytes == Data("text".utf8))
            let tensor = fields(try #require(parts[8]).bytes)
            #expect(tensor.map(\.field) == [1, 2, 8] && tensor[0].value.number == 7)
            event.texts[tag] = String(decoding: tensor[2].value.bytes, as: UTF8.self)
            continue
          }
          event.scalars[tag] = Float(bitPattern: UInt32(truncatingIfNeeded: try #require(parts[2]).number))
        }
      case 7: event.isStart = true
      default: #expect(field == 1)
      }
    }
    return event
  }

  private struct Value {
    var number = 0
    var bytes = Data()
  }

  private func fields(_ bytes: Data) -> [(field: Int, value: Value)] {
    var rest = [UInt8](bytes)[...]
    func variable() -> Int {
      var (value, shift) = (0, 0)
      while let byte = rest.popFirst() {
        value |= Int(byte & 0x7f) << shift
        shift += 7
        if byte < 0x80 { break }
      }
      return value
    }
    func fixed(_ count: Int) -> Int {
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count).reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    var found: [(field: Int, value: Value)] = []
    while !rest.isEmpty {
      let key = variable()
      var value = Value()
      switch key & 7 {
      case 0: value.number = variable()
      case 1:
        value.number = Int(truncatingIfNeeded: rest.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        rest = rest.dropFirst(8)
      case 5: value.number = fixed(4)
      default:
        let count = variable()
        value.bytes = Data(rest.prefix(count))
        rest = rest.dropFirst(count)
      }
      found.append((key >> 3, value))
    }
    return found
  }

  @Test func holdsWhatTheLogSays() throws {
    let recorder = Recorder()
    let solver = try job.solver { [job] _ in
      var options = Solver.Options()
      options.recorders = [recorder, EventFile(folder: "\(job.path)/board", warn: { Issue.record("\($0)") })]
      return options
    }
    #expect(try solver.solve())
    let events = try events()
    #expect(events[0].version == "brain.Event:2")
    #expect(events[1].isStart && events[1].step == 0)
    #expect(events.dropFirst(2).map(\.step) == recorder.records.map(\.iteration))
    for (event, record) in zip(events.dropFirst(2), recorder.records) {
      let phase = record.phase == .train ? "train" : "test"
      for output in record.outputs { #expect(event.scalars["\(phase)/\(output.name)"] == output.value) }
      #expect(event.scalars["\(phase)/objective"] == record.loss)
      if record.phase == .train { #expect(event.scalars["run/lr"] == record.rate) }
    }
  }

  @Test func tellsOfTasksThatStop() throws {
    let file = EventFile(folder: "\(job.path)/board", warn: { Issue.record("\($0)") })
    try file.start(at: 0)
    file.add(.stopping([("slant", 12.5, 10), ("digit", 3, 10)]), at: 20)
    file.add(.taskStopped("slant", value: 12.5), at: 20)
    let events = try events().dropFirst(2)
    #expect(events.map(\.step) == [20, 20])
    #expect(events.first?.scalars == ["stopping/slant": 12.5, "stopping/digit": 3])
    #expect(events.last?.texts == ["stopped/slant": "task 'slant' stops at iteration 20, stopping value 12.5"])
  }

  @Test func aRunThatGoesOnSaysWhere() throws {
    let first = try job.solver()
    for _ in 0..<5 { _ = try first.step() }
    try first.snapshot()
    let solver = try job.solver { [job] _ in
      var options = Solver.Options()
      options.recorders = [EventFile(folder: "\(job.path)/board", warn: { Issue.record("\($0)") })]
      return options
    }
    try solver.restore(ResumePoint("\(job.path)/snap_iter_5.solverstate"))
    #expect(try solver.solve())
    let events = try events()
    #expect(events[1].isStart && events[1].step == 5)
    #expect(events.dropFirst(2).first?.step == 5)
  }
}

extension UInt32 {
  fileprivate var littleEndianBytes: Data { withUnsafeBytes(of: littleEndian) { Data($0) } }
}
