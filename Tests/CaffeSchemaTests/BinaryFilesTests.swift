import CaffeSchema
import Diagnostics
import Foundation
import Testing

@Suite struct BinaryFilesTests {
  private let net = NetParameter.with { net in
    net.name = "n"
    net.layer = [
      LayerParameter.with { layer in
        layer.name = "c"
        layer.blobs = [
          BlobProto.with {
            $0.shape.dim = [2, 3]
            $0.data = [1, 2, 3, 4, 5, 6.5]
          }
        ]
      }
    ]
  }

  @Test func readsWhatItWrote() throws {
    try withFolder { folder in
      let path = folder + "/n.caffemodel"
      try writeBinary(net, to: path)
      #expect(try readBinary(path, as: NetParameter.self) == net)
      try writeBinary(NetParameter(), to: path + "2")
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["n.caffemodel", "n.caffemodel2"])
    }
  }

  @Test func replacesATargetAndFollowsALink() throws {
    try withFolder { folder in
      try writeFile("old", to: folder + "/target")
      try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "target")
      try writeFile("new", to: folder + "/link")
      #expect(try String(contentsOfFile: folder + "/target", encoding: .utf8) == "new")
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/link") == "target")
    }
  }

  @Test func leavesNothingBehindWhenItCannotWrite() throws {
    try withFolder { folder in
      let inNoFolder = folder + "/no/n.caffemodel"
      let noFolder = messages { try writeBinary(net, to: inNoFolder) }
      #expect(noFolder == "error: cannot write '\(inNoFolder)': No such file or directory")
      let noFile = messages { try writeBinary(net, to: folder) }
      #expect(noFile == "error: cannot write '\(folder)': it is a folder or a device, not a file")
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.isEmpty)
    }
  }

  @Test func doesNotReplaceDevices() throws {
    let error = #expect(throws: Diagnostic.self) { try writeFile("x", to: "/dev/null") }
    #expect(error?.code == .unwritableFile)
  }

  @Test func tellsWhatAFileIsInstead() throws {
    try withFolder { folder in
      let path = folder + "/f"
      func told(_ content: Data) throws -> String {
        try content.write(to: URL(fileURLWithPath: path))
        return messages { _ = try readBinary(path, as: NetParameter.self) }
      }
      #expect(
        try told(Data("name: \"n\"\n".utf8))
          == "error: '\(path)' is a text file; a binary NetParameter is wanted here")
      #expect(
        try told(Data([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A]))
          == "error: '\(path)' is an HDF5 file; a binary NetParameter is wanted here")
      let whole: Data = try net.serializedBytes()
      #expect(
        try told(whole.dropLast(3))
          == "error: '\(path)' is damaged, cut short, or no NetParameter: it ends in the middle of a field")
      #expect(try told(Data()) == "error: '\(path)' is empty")
    }
  }

  @Test func keepsFieldsThatItDoesNotKnow() throws {
    try withFolder { folder in
      // `name`, then field 137 of a fork's net.
      let bytes = Data([0x0A, 0x01, 0x6E, 0xCA, 0x08, 0x02, 0x68, 0x69])
      try bytes.write(to: URL(fileURLWithPath: folder + "/f"))
      let net = try readBinary(folder + "/f", as: NetParameter.self)
      #expect(net.name == "n")
      try writeBinary(net, to: folder + "/g")
      #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/g")) == bytes)
    }
  }

  @Test func givesDimsAndValuesOfEveryForm() {
    #expect(BlobProto.with { $0.shape.dim = [4, 5] }.dims == [4, 5])
    #expect(BlobProto().dims == [])
    let old = BlobProto.with {
      $0.num = 1
      $0.channels = 3
      $0.height = 2
      $0.width = 2
    }
    #expect(old.dims == [1, 3, 2, 2])
    #expect(BlobProto.with { $0.doubleData = [0.5, 2] }.values == [0.5, 2])
    #expect(BlobProto.with { $0.diff = [1, 2] }.gradients == [1, 2])
  }
}
