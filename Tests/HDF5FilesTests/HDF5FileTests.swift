import Diagnostics
import Foundation
import HDF5Files
import Testing

/// Reading files that h5py wrote.
@Suite struct HDF5FileTests {
  static let folder = Bundle.module.bundlePath + "/Fixtures"

  private func open(_ name: String) throws -> HDF5File { try HDF5File(reading: Self.folder + "/" + name) }

  @Test(arguments: ["float", "double", "half", "big_endian", "byte", "short_big", "long"])
  func convertsNumbers(_ name: String) throws {
    let dataset = try open("kinds.h5").dataset(name)
    #expect(dataset.shape == [2, 3])
    #expect(try dataset.floats() == [-1, 0, 1, 2, 3, 4])
  }

  @Test func convertsUnsignedNumbers() throws {
    #expect(try open("kinds.h5").dataset("/unsigned").floats() == [0, 1, 2, 3, 4, 5])
  }

  @Test func readsIntegersAndTexts() throws {
    let file = try open("kinds.h5")
    #expect(try file.dataset("short_big").integers() == [-1, 0, 1, 2, 3, 4])
    #expect(try file.dataset("text").string() == "the learned net")
    #expect(try file.dataset("fixed_text").string() == "fixed")
    #expect(try file.dataset("scalar").shape == [])
    #expect(try file.dataset("scalar").floats() == [7])
  }

  @Test func readsRows() throws {
    let file = try open("kinds.h5")
    for (name, first, rowCount) in [("packed", 0, 6), ("float", -1, 3)] {
      let dataset = try file.dataset(name)
      #expect(dataset.rowCount == rowCount)
      for rows in [0..<1, 1..<2, 0..<2, 1..<1] {
        var values = [Float](repeating: -9, count: 2 * rowCount)
        try dataset.read(rows: rows, into: &values)
        let start = first + rows.lowerBound * rowCount
        #expect(values.prefix(rows.count * rowCount) == (start..<start + rows.count * rowCount).map(Float.init)[...])
        #expect(values.dropFirst(rows.count * rowCount).allSatisfy { $0 == -9 })
      }
    }
  }

  @Test func datasetsWithoutRows() throws {
    let dataset = try open("kinds.h5").dataset("no_rows")
    #expect(dataset.shape == [0, 3])
    #expect(try dataset.floats().isEmpty)
  }

  @Test func aDatasetOutlivesItsFile() throws {
    let dataset = try open("kinds.h5").dataset("float")
    #expect(try dataset.floats().count == 6)
  }

  @Test func groups() throws {
    let file = try open("weights.h5")
    #expect(try file.names() == ["again", "data", "iter", "loop"])
    #expect(try file.names(in: "data") == ["conv1", "inception", "relu"])
    #expect(try file.names(in: "/data/relu").isEmpty)
    #expect(file.kind(of: "data/conv1") == .group)
    #expect(file.kind(of: "data/conv1/0") == .dataset)
    #expect(file.kind(of: "data/conv2") == nil)
    #expect(try file.dataset("data/conv1/0").shape == [2, 1, 3, 3])
    #expect(try file.dataset("loop/conv1/1").floats() == [0, 1])
    // Each dataset once, though two lie in a group with two names.
    #expect(try file.datasetNames() == ["again/0", "again/1", "data/inception/1x1/0", "iter"])
  }

  // MARK: Faults

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "no fault"
    } catch {
      return "\(error)".replacing(Self.folder + "/", with: "")
    }
  }

  @Test(arguments: [
    ("boolean", "dataset 'boolean' of 'kinds.h5' holds an enumeration (Booleans?), where numbers are wanted"),
    ("text", "dataset 'text' of 'kinds.h5' holds text, where numbers are wanted"),
    ("records", "dataset 'records' of 'kinds.h5' holds records of several fields, where numbers are wanted"),
    ("empty", "dataset 'empty' of 'kinds.h5' has no shape and holds nothing"),
    ("lzf", "dataset 'lzf' of 'kinds.h5' cannot be read: required filter 'lzf' is not registered"),
  ])
  func refusesWhatIsNoNumbers(_ name: String, _ expected: String) throws {
    let file = try open("kinds.h5")
    #expect(message { _ = try file.dataset(name).floats() } == "error: " + expected)
  }

  @Test func namesWhatIsThereInstead() throws {
    #expect(
      message { _ = try open("weights.h5").dataset("data/conv1/2") }
        == "error: 'weights.h5' holds no dataset 'data/conv1/2', but 'again/0', 'again/1', "
        + "'data/inception/1x1/0', 'iter'")
    #expect(message { _ = try open("weights.h5").names(in: "diff") } == "error: 'weights.h5' holds no group 'diff'")
    #expect(
      message { _ = try open("kinds.h5").dataset("flaot") }
        == "error: 'kinds.h5' holds no dataset 'flaot', but 'big_endian', 'boolean', 'byte', 'double', 'empty', "
        + "'fixed_text', 'float', 'half', 'long', 'lzf', …; did you mean 'float'?")
    #expect(
      message { _ = try open("kinds.h5").dataset("float").integers() }
        == "error: dataset 'float' of 'kinds.h5' holds floating-point numbers, where integers are wanted")
    #expect(
      message { _ = try open("kinds.h5").dataset("float").string() }
        == "error: dataset 'float' of 'kinds.h5' holds 6 values, where one text is wanted")
  }

  @Test func filesThatAreNone() throws {
    let work = try WorkFolder()
    #expect(message { _ = try open("nothing.h5") } == "error: there is no file 'nothing.h5'")
    #expect(message { _ = try open("README.md") } == "error: cannot read 'README.md': it is no HDF5 file")
    #expect(
      message { _ = try HDF5File(reading: "/tmp") } == "error: cannot read '/tmp': it is a folder, not a file")
    try Data().write(to: URL(fileURLWithPath: work.path + "/empty.h5"))
    #expect(
      message { _ = try HDF5File(reading: work.path + "/empty.h5") } == "error: '\(work.path)/empty.h5' is empty")
    let bytes = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/kinds.h5"))
    try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: work.path + "/cut.h5"))
    #expect(
      message { _ = try HDF5File(reading: work.path + "/cut.h5") }
        == "error: cannot read '\(work.path)/cut.h5': it is damaged or cut short")
  }

  /// Whatever byte is damaged, it ends with values or a fault.
  @Test func damagedBytes() throws {
    let work = try WorkFolder()
    let bytes = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/weights.h5"))
    for place in stride(from: 0, to: bytes.count, by: 149) {
      var damaged = bytes
      damaged[place] ^= 0xff
      let path = work.path + "/damaged.h5"
      try damaged.write(to: URL(fileURLWithPath: path))
      do {
        let file = try HDF5File(reading: path)
        for name in try file.datasetNames() { _ = try file.dataset(name).floats() }
      } catch {
        #expect(error is Diagnostic)
      }
    }
  }
}

/// A folder that is removed with the test.
final class WorkFolder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "mtl-hdf5-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}
