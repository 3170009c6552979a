import CaffeSchema
import Foundation
import Testing

@Suite struct TextReadingTests {
  @Test(arguments: [
    "layer { top: \"a\" include { phase: TEST } loss_weight: 0.5 propagate_down: [true, false] }",
    "layer: < top: 'a'; include: { phase: 1 }, loss_weight: .5f propagate_down: true propagate_down: 0 >",
    "# a comment\r\nlayer {\r\n  top: \"a\" # another\r\n  include { phase: TEST }\r\n  loss_weight: 5e-1 "
      + "propagate_down: [t, f] }\r\n",
    "\u{FEFF}layer{top:\"\\141\"include{phase:TEST}loss_weight:0.5 propagate_down:[true,false]}",
  ])
  func readsEveryFormOfTheText(_ text: String) throws {
    let layer = try parseText(text, as: NetParameter.self, file: "n").message.layer[0]
    #expect(layer.top == ["a"])
    #expect(layer.include[0].phase == .test)
    #expect(layer.lossWeight == [0.5])
    #expect(layer.propagateDown == [true, false])
  }

  @Test func readsNumbersInOtherBases() throws {
    let net = try parseText("input_dim: [0x10, 010, -0]", as: NetParameter.self, file: "n").message
    #expect(net.inputDim == [16, 8, 0])
  }

  @Test func joinsStringsThatFollowOneAnother() throws {
    #expect(try parseText("name: \"a\" 'b'\n\"c\"", as: NetParameter.self, file: "n").message.name == "abc")
  }

  @Test func printsTextThatReadsBack() throws {
    var layer = LayerParameter()
    layer.name = "a \"b\" \\ c\n ü"
    layer.lossWeight = [0.1, 1e-20, 1.0 / 3, -.infinity, 16_777_216, 3.4e38]
    layer.phase = .test
    layer.blobs = [BlobProto.with { $0.doubleData = [0.1, 1e-300] }]
    let text = printText(layer)
    #expect(try parseText(text, as: LayerParameter.self, file: "n").message == layer)
    #expect(text.contains("loss_weight: 0.1\n"))
  }

  @Test func leavesFieldsWithoutANameOutOfTheText() throws {
    // Field 99999 of type varint, which no schema knows.
    let net = try NetParameter(serializedBytes: [0xF8, 0xE9, 0x30, 0x01] as [UInt8])
    #expect(printText(net) == "")
    #expect(try net.serializedBytes() as [UInt8] == [0xF8, 0xE9, 0x30, 0x01])
  }

  @Test func readsAFile() throws {
    try withFolder { folder in
      let path = folder + "/net.prototxt"
      try Data("name: \"n\"\n".utf8).write(to: URL(fileURLWithPath: path))
      let file = try TextFile<NetParameter>.read(path: path)
      #expect(file.message.name == "n")
      #expect(file.places.location("name")?.description == "\(path):1:1")
    }
  }

  @Test(arguments: [
    ("", "'F' is empty"),
    ("# nothing\n  \n# yet\n", "'F' is empty: it holds nothing but blanks and comments"),
    ("\u{0}\u{1}\u{2}layer", "'F' is a binary file (weights, a mean image?); a prototxt (text) is wanted here"),
    (
      "# a comment of some length, as all texts have\nname: \"n\"\u{1}",
      "F:2:10: error: invalid control characters encountered in text"
    ),
  ])
  func refusesFilesThatAreNoText(_ content: String, _ shown: String) throws {
    try refuses(Data(content.utf8), shown)
  }

  @Test func refusesOtherEncodings() throws {
    try refuses(Data([0xFF, 0xFE, 0x6E, 0x00]), "'F' is UTF-16 text; save it as UTF-8")
    try refuses(
      Data([0x89, 0x48, 0x44, 0x46, 0x0D]), "'F' is an HDF5 file; a prototxt (text) is wanted here")
    try refuses(
      Data("# \u{FC}\nname: \"".utf8) + [0xFC] + Data("\"\n".utf8),
      "F:2: error: a string is not UTF-8; save the file as UTF-8")
  }

  @Test func readsCommentsInAnyEncoding() throws {
    try withFolder { folder in
      let path = folder + "/net.prototxt"
      try (Data("# ".utf8) + [0xC4, 0xE3, 0x0A] + Data("name: \"n\"\n".utf8)).write(to: URL(fileURLWithPath: path))
      #expect(try TextFile<NetParameter>.read(path: path).message.name == "n")
    }
  }

  @Test func tellsOfFilesThatAreNotThere() throws {
    try withFolder { folder in
      try Data("name: \"n\"\n".utf8).write(to: URL(fileURLWithPath: folder + "/train.prototxt"))
      let missing = folder + "/trian.prototxt"
      #expect(
        messages { _ = try TextFile<NetParameter>.read(path: missing) }
          == "error: there is no file '\(missing)'; did you mean 'train.prototxt'?")
      #expect(
        messages { _ = try TextFile<NetParameter>.read(path: folder) }
          == "error: cannot read '\(folder)': it is a folder, not a file")
    }
  }

  private func refuses(_ content: Data, _ shown: String) throws {
    try withFolder { folder in
      let path = folder + "/f"
      try content.write(to: URL(fileURLWithPath: path))
      let told = messages { _ = try TextFile<NetParameter>.read(path: path) }
      #expect(told.replacing("error: '\(path)'", with: "'F'").replacing(path, with: "F") == shown)
    }
  }
}

/// Runs `body` with a folder of its own, which goes away with all that is in it.
func withFolder(_ body: (String) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  try body(folder.path)
}
