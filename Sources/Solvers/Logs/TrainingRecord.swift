import Glibc
import Nets

/// A line of progress of a run: what is known at a display or a test.
package struct TrainingRecord: Sendable {
  package enum Phase: Sendable, Equatable {
    case train
    /// The test net of this number.
    case test(Int)
  }

  package var phase: Phase
  package var iteration: Int
  /// Rounds over the training records; nil for a net that reads none.
  package var epoch: Double?
  /// The learning rate.
  package var rate: Float
  /// The objective; smoothed in training.
  package var loss: Float
  package var outputs: [OutputValue]
  package var recordsPerSecond: Double?
  /// Memory of the process.
  package var memoryByteCount: Int

  package init(
    phase: Phase, iteration: Int, epoch: Double?, rate: Float, loss: Float, outputs: [OutputValue],
    recordsPerSecond: Double?, memoryByteCount: Int
  ) {
    self.phase = phase
    self.iteration = iteration
    self.epoch = epoch
    self.rate = rate
    self.loss = loss
    self.outputs = outputs
    self.recordsPerSecond = recordsPerSecond
    self.memoryByteCount = memoryByteCount
  }
}

/// Keeps the lines of progress of a run in a form for programs.
package protocol TrainingRecorder: AnyObject {
  /// The run goes on at an iteration: what was kept of it and of later ones is void.
  func start(at iteration: Int) throws
  /// Keeps a line. What cannot be written must not end the training.
  func add(_ record: TrainingRecord)
}

extension Net {
  private var records: (any RecordRun)? {
    graph.nodes.indices.lazy.compactMap { self.run(ofLayer: $0) as? any RecordRun }.first
  }

  /// The records of a batch; nil for a net that reads none.
  var batchSize: Int? { records?.batchSize }

  /// Rounds over the records so far.
  var epoch: Double? {
    records.map { Double(clock.pass) * Double($0.batchSize) / Double(max(1, $0.recordCount)) }
  }
}

/// The memory that this process holds now.
func residentByteCount() -> Int {
  guard let file = fopen("/proc/self/statm", "re") else { return 0 }
  defer { fclose(file) }
  var all: CLong = 0
  var resident: CLong = 0
  let count = withUnsafeMutablePointer(to: &all) { all in
    withUnsafeMutablePointer(to: &resident) { resident in
      withVaList([all, resident]) { vfscanf(file, "%ld %ld", $0) }
    }
  }
  return count == 2 ? Int(resident) * sysconf(Int32(_SC_PAGESIZE)) : 0
}
