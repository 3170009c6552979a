import Diagnostics
import Glibc
import Nets
import Tasks

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
  package var tasks: [TaskValue] = []
  /// What the weighting remembers; empty where it remembers nothing, and in tests.
  package var weightingState: WeightingState = [:]
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
  /// Keeps a measurement of the tasks' gradients, under the same condition.
  func add(_ conflict: TaskConflict)
  /// Keeps an event, under the same condition.
  func add(_ event: TrainingEvent, at iteration: Int)
  /// What could not be written, where the rest of the run is worth nothing without it: then it ends, without a snapshot, so
  /// that it can go on from before. nil unless the recorder is needed.
  var fault: Diagnostic? { get }
}

extension TrainingRecorder {
  package func add(_ event: TrainingEvent, at iteration: Int) {}
  package func add(_ conflict: TaskConflict) {}
  package var fault: Diagnostic? { nil }
}

/// A task in a line of progress.
package struct TaskValue: Sendable, Equatable {
  package var name: String
  /// The names of its losses and of its metrics among the outputs.
  package var losses: [String]
  package var metrics: [String]
  /// The sum of loss_weight times loss; nil for a task that is only measured, or had no label.
  package var loss: Float?
  /// What the weighting multiplies the loss by; nil in tests.
  package var weight: Double?

  /// The tasks of a net with what it has put out.
  package static func values(of net: Net, _ outputs: [OutputValue]) -> [TaskValue] {
    TaskTable(net).tasks.map { task in
      let losses = task.losses.map { net.graph.values[$0].name }
      let own = outputs.filter { losses.contains($0.name) && $0.isKnown }
      return TaskValue(
        name: task.name, losses: losses, metrics: task.metrics.map { net.graph.values[$0].name },
        loss: own.isEmpty ? nil : own.reduce(0) { $0 + $1.lossWeight * $1.value })
    }
  }
}

/// The names of a task's outputs.
package struct TaskOutputs: Sendable, Equatable {
  package var name: String
  package var losses: [String]
  /// The main one first.
  package var metrics: [String]
  package var lowerIsBetter: Bool
}

/// What happens to tasks in the course of a run.
package enum TrainingEvent: Sendable {
  /// The tasks of the run, as it starts or goes on.
  case tasks([TaskOutputs])
  /// The value of the stopping rule of each task that goes on, at a test, and what it stops above; 0 for never.
  case stopping([(task: String, value: Float, threshold: Float)])
  case taskStopped(String, value: Float)
}

extension Net {
  /// The first layer that reads records.
  var records: (any RecordRun)? {
    graph.nodes.indices.lazy.compactMap { self.run(ofLayer: $0) as? any RecordRun }.first
  }

  /// The records of a batch; nil for a net that reads none.
  var batchSize: Int? { records?.batchSize }

  /// Forward passes in a round over the records, rounded up; nil for a net that reads none.
  var passesInRound: Int? {
    records.map { ($0.recordCount + $0.batchSize - 1) / max(1, $0.batchSize) }
  }

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
