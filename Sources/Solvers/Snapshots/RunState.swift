import CaffeSchema
import Diagnostics
import Foundation
import Tasks

/// What a run has to know to go on as if it had not stopped, beyond what Caffe's files hold: the contents of
/// `PREFIX_iter_N.runstate`.
///
/// The file is text: a line of JSON, and a line with that line's checksum. A field that is added later must be optional,
/// so that older files can be read; fields that a program does not know are passed over.
package struct RunState: Codable, Equatable, Sendable {
  /// A file of the snapshot as it was written, by its name in the folder of this one.
  package struct File: Codable, Equatable, Sendable {
    package var name: String
    package var byteCount: Int
    package var crc32c: UInt32

    package init(name: String, bytes: Data) {
      self.name = name
      byteCount = bytes.count
      crc32c = CRC32C(bytes).value
    }
  }

  /// The tasks with the state of their weighting.
  package struct Tasks: Codable, Equatable, Sendable {
    /// `UNCERTAINTY`, …
    package var weighting: String
    package var names: [String]
    /// Of the last iteration.
    package var weights: [Double]
    package var state: [String: [Double]]
  }

  /// Iterations done.
  package var iteration: Int
  /// The `type` of the solver.
  package var solver: String
  /// Of shuffles, augmentation and dropout.
  package var seed: UInt64
  /// Forward passes of the training net, and of each test net: with the seed, the place in the data.
  package var trainPass: Int
  package var testPasses: [Int]
  /// The losses that the smoothed loss is the mean of, oldest first.
  package var recentLosses: [Float]
  /// What the learning rate of the policy is multiplied by; below 1 after a rollback.
  package var rateFactor: Float
  /// The best test so far, where the best weights are kept.
  package var best: BestScore?
  /// The best test of each task so far, and how many tests ago one got better.
  package var taskBests: [String: BestScore]?
  package var testsWithoutGain: Int?
  /// The iteration of the newest test that tasks were judged by, and whether training ended then.
  package var judgedTest: Int?
  package var isOver: Bool?
  /// By task, where tasks stop by themselves.
  package var stopping: [String: StoppingState]?
  /// The iterations of this run's snapshots that are still there, this one included.
  package var kept: [Int]
  package var tasks: Tasks?
  /// Seconds since 1970.
  package var written: Double
  package var weights: File
  package var state: File

  /// The text of the file.
  func text() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let line = try encoder.encode(self)
    return line + Data("\n{\"crc32c\":\(CRC32C(line).value)}\n".utf8)
  }

  /// - Throws: `badState` for a file that is cut short, changed, or something else; `unreadableFile`.
  package static func read(_ path: String) throws -> RunState {
    let lines = try readFile(path).split(separator: UInt8(ascii: "\n"))
    struct Checksum: Decodable { var crc32c: UInt32 }
    do {
      guard lines.count == 2, try JSONDecoder().decode(Checksum.self, from: lines[1]).crc32c == CRC32C(lines[0]).value
      else { throw Diagnostic(.badState, "'\(path)' is damaged: its checksum does not fit") }
      return try JSONDecoder().decode(RunState.self, from: lines[0])
    } catch is DecodingError {
      throw Diagnostic(.badState, "'\(path)' is damaged, or no state of a run")
    }
  }

  /// Compares the files of the snapshot with what was written.
  ///
  /// - Parameter folder: where they are, with a slash at its end, or empty.
  /// - Throws: `badState` with what is missing or damaged.
  func check(in folder: String) throws {
    for file in [weights, state] {
      let path = folder + file.name
      guard fileExists(path) else {
        throw Diagnostic(.badState, "'\(path)' is missing; it belongs to the snapshot of iteration \(iteration)")
      }
      let bytes = try readFile(path)
      guard bytes.count == file.byteCount else {
        throw Diagnostic(
          .badState, "'\(path)' is damaged: it has \(bytes.count) bytes, and \(file.byteCount) were written")
      }
      guard CRC32C(bytes).value == file.crc32c else {
        throw Diagnostic(.badState, "'\(path)' is damaged: its checksum is not that of what was written")
      }
    }
  }
}
