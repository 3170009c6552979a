import Diagnostics
import Foundation
import HDF5Files
import Testing

@Suite struct HDF5WriterTests {
  private let work: WorkFolder
  private let path: String

  init() throws {
    work = try WorkFolder()
    path = work.path + "/out.h5"
  }

  @Test func whatIsWrittenIsRead() throws {
    let writer = try HDF5Writer(writing: path)
    try writer.write("data/inception/1x1/0", shape: [2, 3], [1, 2, 3, 4, 5, 6])
    try writer.write("data/inception/1x1/1", shape: [], [7])
    try writer.write("none", shape: [0, 4], [])
    try writer.write("iter", 20)
    try writer.write("learned_net", "a_iter_20.caffemodel.h5")
    try writer.makeGroup("data/relu")
    try writer.makeGroup("data/relu")
    #expect(work.names.allSatisfy { $0 != "out.h5" })
    try writer.finish()
    #expect(work.names == ["out.h5"])
    let file = try HDF5File(reading: path)
    #expect(
      try file.datasetNames() == [
        "data/inception/1x1/0", "data/inception/1x1/1", "iter", "learned_net", "none",
      ])
    #expect(try file.dataset("data/inception/1x1/0").shape == [2, 3])
    #expect(try file.dataset("data/inception/1x1/0").floats() == [1, 2, 3, 4, 5, 6])
    #expect(try file.dataset("data/inception/1x1/1").shape == [])
    #expect(try file.dataset("none").shape == [0, 4])
    #expect(try file.dataset("iter").integers() == [20])
    #expect(try file.dataset("iter").shape == [1])
    #expect(try file.dataset("learned_net").string() == "a_iter_20.caffemodel.h5")
    #expect(file.kind(of: "data/relu") == .group)
  }

  @Test func appendsRows() throws {
    for pass in 0..<5 {
      let writer = try pass == 0 ? HDF5Writer(writing: path) : HDF5Writer(extending: path)
      try writer.append("rows", shape: [3, 2], (0..<6).map { Float(6 * pass + $0) })
      if pass == 0 { #expect(!work.names.contains("out.h5")) }
      try writer.finish()
      #expect(work.names == ["out.h5"])
      let rows = try HDF5File(reading: path).dataset("rows")
      #expect(rows.shape == [3 * (pass + 1), 2])
      #expect(try rows.floats() == (0..<6 * (pass + 1)).map(Float.init))
    }
  }

  @Test func extendingNeedsAFile() {
    let fault = #expect(throws: Diagnostic.self) { try HDF5Writer(extending: path) }
    #expect(fault?.message == "cannot write '\(path)': No such file or directory")
  }

  @Test func whatIsNotFinishedLeavesNothing() throws {
    try Data("old".utf8).write(to: URL(fileURLWithPath: path))
    do {
      let writer = try HDF5Writer(writing: path)
      try writer.write("a", shape: [1], [1])
    }
    #expect(work.names == ["out.h5"])
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
  }

  @Test(arguments: [
    ("nowhere/out.h5", "No such file or directory"), (".", "it is a folder or a device, not a file"),
  ])
  func placesThatCannotBeWritten(_ name: String, _ reason: String) throws {
    let fault = #expect(throws: Diagnostic.self) { try HDF5Writer(writing: "\(work.path)/\(name)") }
    #expect(fault?.message == "cannot write '\(work.path)/\(name)': \(reason)")
    #expect(fault?.code == .unwritableFile)
  }
}
