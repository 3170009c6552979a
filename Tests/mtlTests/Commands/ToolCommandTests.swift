import CaffeSchema
import Diagnostics
import Foundation
import HDF5Files
import Nets
import Records
import Tensors
import Testing

@testable import mtl

/// convert-imageset, compute-mean, inspect, extract-features and classify on a few small pictures.
@Suite struct ToolCommandTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-tools-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    // Grey squares of 10, 20, 30 and 40, as PGM: a head and bytes.
    var list = ""
    for index in 0..<4 {
      let bytes = Data("P5 6 6 255\n".utf8) + Data(repeating: UInt8(10 * (index + 1)), count: 36)
      try bytes.write(to: URL(fileURLWithPath: path("\(index).pgm")))
      list += "\(index).pgm \(index % 2)\n"
    }
    try Data(list.utf8).write(to: URL(fileURLWithPath: path("list.txt")))
  }

  private func path(_ name: String) -> String { folder + "/" + name }

  private func convert(_ arguments: [String]) throws -> ConversionOptions {
    try ConvertImagesetCommand.parse(
      LegacyFlags(flags: ImageConversionOptions.flagNames).normalized(arguments)
    ).conversion()
  }

  private func makeDatabase() throws {
    _ = try ConvertMultilabel(try convert(["-gray", folder + "/", path("list.txt"), path("db")])).run()
  }

  @Test func takesTheArgumentsOfConvertImageset() throws {
    let options = try convert(["--resize_height=3", "--resize_width=4", "-shuffle=true", "root/", "l.txt", "db"])
    #expect(options.root == "root/" && options.list == "l.txt" && options.labelCount == 1)
    #expect(options.size == .init(height: 3, width: 4) && options.shuffleSeed == 0)
    guard case .single("db") = options.target else {
      Issue.record("\(options.target)")
      return
    }
    #expect(try convert(["l.txt", "db"]).root == nil)
    #expect(throws: (any Error).self) { try convert(["l.txt"]) }
  }

  @Test func averagesADatabase() throws {
    try makeDatabase()
    let mean = try MeanImage(ofDatabase: path("db"))
    #expect(mean.shape == [1, 6, 6] && mean.count == 4)
    #expect(mean.values == [Float](repeating: 25, count: 36))
    #expect(mean.channelMeans == [25])
    #expect(mean.blob.dims == [1, 1, 6, 6])
  }

  @Test func inspectsDatabasesAndMeans() throws {
    try makeDatabase()
    let database = try Inspection(path("db"), records: 2)
    #expect(database.text.hasPrefix("4 records\nlabels from 0 to 1\n"), "\(database.text)")
    #expect(database.text.contains("00000001_") && !database.text.contains("00000002_"))
    try writeBinary(MeanImage(ofDatabase: path("db")).blob, to: path("mean.binaryproto"))
    let mean = try Inspection(path("mean.binaryproto"), records: 1)
    #expect(mean.text.contains("blob 1x1x6x6"))
    #expect(mean.nonFinite == 0)
  }

  @Test func inspectsFilesOfHDF5() throws {
    let writer = try HDF5Writer(writing: path("data.h5"))
    try writer.write("label", shape: [3, 2], [0, 1, 2, 3, .nan, 5])
    try writer.write("image", shape: [3, 1, 4, 4], [Float](repeating: 0.5, count: 48))
    try writer.write("note", "from a test")
    try writer.finish()
    let data = try Inspection(path("data.h5"), records: 2)
    #expect(data.nonFinite == 1)
    for part in ["3 datasets", "image", "3x1x4x4", "label[1]: 2 3", "note: from a test", "1 values are not finite"] {
      #expect(data.text.contains(part), "\(part) in \(data.text)")
    }
    #expect(!data.text.contains("label[2]"))

    let weights = try HDF5Writer(writing: path("w.caffemodel.h5"))
    try weights.write("data/conv/0", shape: [2, 1, 3, 3], [Float](repeating: 2, count: 18))
    try weights.finish()
    let net = try Inspection(path("w.caffemodel.h5"), records: 2)
    #expect(net.text.hasPrefix("weights: 1 layers, 1 with blobs, 18 values"), "\(net.text)")
    let state = try HDF5Writer(writing: path("s.solverstate.h5"))
    try state.write("iter", 12)
    try state.write("learned_net", "w.caffemodel.h5")
    try state.write("history/0", shape: [2], [0, 1])
    try state.finish()
    #expect(
      try Inspection(path("s.solverstate.h5"), records: 2).text.hasPrefix(
        "solver state: iteration 12, step 0, weights in 'w.caffemodel.h5'"))
  }

  /// With --encoded alone, as Caffe's tool does it; resized or made grey they are encoded anew.
  @Test func encodedImagesKeepTheirFilesBytes() throws {
    let png = Image(height: 2, width: 2, channels: 3, pixels: [UInt8](repeating: 7, count: 12))
    var bytes = try png.encoded(as: .png)
    // What stands behind the image tells whether it was encoded anew.
    bytes += Array("tail".utf8)
    try Data(bytes).write(to: URL(fileURLWithPath: path("a.png")))
    try Data("a.png 3\n".utf8).write(to: URL(fileURLWithPath: path("png.txt")))
    func kept(_ options: [String]) throws -> Bool {
      _ = try ConvertMultilabel(try convert(options + ["--force", folder + "/", path("png.txt"), path("png")])).run()
      let cursor = try openDatabase(path("png")).makeCursor()
      let datum = try withExtendedLifetime(cursor) { try Datum(serializedBytes: Array(cursor.next().value)) }
      #expect(datum.encoded && datum.label == 3)
      return Array(datum.data) == bytes
    }
    #expect(try kept(["--encoded"]))
    #expect(try kept(["--encoded", "--encode_type=png"]))
    #expect(try !kept(["--encode_type=jpg"]))
    #expect(try !kept(["--encoded", "--gray"]))
    #expect(try !kept(["--encoded", "--resize_height=3", "--resize_width=3"]))
  }

  @Test func findsValuesThatAreNotFinite() throws {
    var blob = BlobProto()
    blob.shape.dim = [4]
    blob.data = [1, .nan, -.infinity, 3]
    var layer = LayerParameter()
    layer.name = "ip"
    layer.type = "InnerProduct"
    layer.blobs = [blob]
    var net = NetParameter()
    net.layer = [layer]
    try writeBinary(net, to: path("bad.caffemodel"))
    let inspection = try Inspection(path("bad.caffemodel"), records: 1)
    #expect(inspection.nonFinite == 2)
    #expect(inspection.text.contains("warning: 2 values are not finite"))
    var state = SolverState()
    state.iter = 7
    state.history = [blob]
    try writeBinary(state, to: path("bad.solverstate"))
    #expect(try Inspection(path("bad.solverstate"), records: 1).text.contains("iteration 7"))
    #expect(throws: Diagnostic.self) { try Inspection(path("list.txt"), records: 1) }
  }

  // MARK: Nets on pictures

  private static let net = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 1 dim: 3 dim: 3 } } }
    layer { name: "bright" type: "InnerProduct" bottom: "data" top: "bright"
      inner_product_param { num_output: 3 weight_filler { type: "constant" value: 0 } } }
    layer { name: "p" type: "Softmax" bottom: "bright" top: "p" }
    """

  /// Weights whose class 2 wins for bright pictures, class 0 for dark ones, trained with a mean of 25.
  private func weights() throws -> NetParameter {
    var net = try NetSource(text: Self.net, file: "net").parameter
    var weights = BlobProto()
    weights.shape.dim = [3, 9]
    weights.data = [Float](repeating: -1, count: 9) + [Float](repeating: 0, count: 9) + [Float](repeating: 1, count: 9)
    var bias = BlobProto()
    bias.shape.dim = [3]
    bias.data = [0, 0, 0]
    net.layer[1].blobs = [weights, bias]
    var data = LayerParameter()
    data.name = "reader"
    data.type = "Data"
    data.top = ["data"]
    data.transformParam.meanValue = [25]
    data.transformParam.scale = 0.01
    net.layer.append(data)
    return net
  }

  @Test func classifiesPictures() throws {
    let classifier = try Classifier(
      NetSource(text: Self.net, file: "net"), weights: try weights(), origin: "w",
      engine: EngineOptions.parse(["--engine", "reference"]).makeEngine(), mean: nil,
      scale: nil, labels: ["": ["dark", "middle", "bright"]])
    let answers = try classifier.answers(for: [path("0.pgm"), path("3.pgm")], top: 2)
    #expect(answers.map { $0.map(\.task) } == [["p"], ["p"]])
    #expect(answers.map { $0[0].top.map(\.label) } == [["dark", "middle"], ["bright", "middle"]])
    // (10 - 25) / 100 times nine values of weight -1: softmax of 1.35, 0, -1.35.
    let expected = Float(exp(1.35) / (exp(1.35) + 1 + exp(-1.35)))
    #expect(abs(answers[0][0].top[0].score - expected) < 1e-5)
    #expect(answers[0][0].top[0].index == 0)
  }

  @Test func extractsFeatures() throws {
    let arguments = ["w.caffemodel", "net.prototxt", "ip,data", "a,b", "3", "lmdb", "CPU"]
    let request = try ExtractFeaturesCommand.parse(arguments).request()
    #expect(request.blobs == ["ip", "data"] && request.databases == ["a", "b"] && request.batches == 3)
    #expect(throws: (any Error).self) { try ExtractFeaturesCommand.parse(["w", "n", "a,b", "c", "3"]).request() }
    #expect(throws: (any Error).self) { try ExtractFeaturesCommand.parse(["w", "n", "a", "c", "0"]).request() }

    // Later layers may write over what nobody needs any more.
    let net = try ExtractFeaturesCommand.makeNet(
      NetSource(
        text: """
          layer { name: "in" type: "DummyData" top: "in"
            dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } data_filler { value: 3.5 } } }
          layer { name: "d" type: "Power" bottom: "in" top: "d" power_param { scale: 2 } }
          layer { name: "e" type: "Power" bottom: "d" top: "e" power_param { scale: 2 } }
          layer { name: "f" type: "Power" bottom: "e" top: "f" power_param { scale: 2 } }
          """, file: "net"), engine: EngineOptions.parse(["--engine", "cpu"]).makeEngine())
    var wanted = request
    wanted.blobs = ["d"]
    wanted.databases = [path("features")]
    #expect(try ExtractFeaturesCommand.extract(wanted, net, replaces: false) == [6])
    let database = try openDatabase(path("features"))
    #expect(database.count == 6)
    let cursor = try database.makeCursor()
    let datum = try withExtendedLifetime(cursor) {
      let record = try cursor.next()
      #expect(String(decoding: record.key, as: UTF8.self) == "0000000000")
      return try Datum(serializedBytes: Array(record.value))
    }
    #expect([datum.channels, datum.height, datum.width] == [3, 4, 5])
    #expect(datum.floatData == [Float](repeating: 7, count: 60))
    wanted.blobs = ["dd"]
    #expect(throws: Diagnostic.self) { try ExtractFeaturesCommand.extract(wanted, net, replaces: true) }

    wanted.blobs = ["d", "e"]
    wanted.databases = [path("features.h5"), path("features.h5")]
    wanted.kind = .hdf5
    #expect(try ExtractFeaturesCommand.extract(wanted, net, replaces: false) == [6, 6])
    let file = try HDF5File(reading: path("features.h5"))
    #expect(try file.datasetNames() == ["d", "e"])
    #expect(try file.dataset("e").shape == [6, 3, 4, 5])
    #expect(try file.dataset("e").floats() == [Float](repeating: 14, count: 360))
    let fault = #expect(throws: Diagnostic.self) { try ExtractFeaturesCommand.extract(wanted, net, replaces: false) }
    #expect(fault?.message == "'\(path("features.h5"))' exists; use --force to replace it")
    #expect(try ExtractFeaturesCommand.extract(wanted, net, replaces: true) == [6, 6])
    wanted.blobs = ["dd", "e"]
    wanted.databases = [path("none.h5"), path("none.h5")]
    #expect(throws: Diagnostic.self) { try ExtractFeaturesCommand.extract(wanted, net, replaces: false) }
    #expect(!FileManager.default.fileExists(atPath: path("none.h5")))
  }

  @Test func theKindOfFeaturesShowsInTheirNames() throws {
    func request(_ arguments: String) throws -> ExtractFeaturesCommand.Request {
      try ExtractFeaturesCommand.parse(arguments.split(separator: " ").map(String.init)).request()
    }
    #expect(try request("w n a,b f.h5 1").databases == ["f.h5", "f.h5"])
    #expect(try request("w n a,b f.h5,g.h5 1").kind == .hdf5)
    #expect(try request("w n a f 1 HDF5").kind == .hdf5)
    #expect(try request("w n a f 1").kind == .lmdb)
    #expect(throws: (any Error).self) { try request("w n a f 1 leveldb") }
    #expect(throws: (any Error).self) { try request("w n a,b f,f 1 lmdb") }
    #expect(throws: (any Error).self) { try request("w n a,a f.h5 1") }
  }
}
