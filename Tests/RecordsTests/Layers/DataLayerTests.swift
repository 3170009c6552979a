import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Nets
import Records
import Testing

/// Data layers over small databases made here: record i holds the value i (and its square as a label).
@Suite struct DataLayerTests {
  fileprivate let work: WorkFolder

  init() throws { work = try WorkFolder() }

  fileprivate func makeNet(_ text: String, seed: UInt64 = 1, phase: Phase = .train) throws -> Net {
    var options = NetOptions(phase: phase)
    options.seed = seed
    return try Net(
      NetSource(text: text, file: work.path + "/net.prototxt"), engine: ReferenceEngine(),
      catalogue: LayerCatalogue(recordLayerTypes), options: options)
  }

  fileprivate func layer(_ name: String, batch: Int = 4, _ more: String = "") -> String {
    """
    layer { name: "\(name)" type: "Data" top: "\(name)" data_param { source: "\(name)" batch_size: \(batch)
      backend: LMDB \(more) } }
    """
  }

  fileprivate func values(_ net: Net, _ blob: String, passes: Int) throws -> [Float] {
    try (0..<passes).flatMap { _ in
      try net.forward()
      return try net.values(of: #require(net.blob(blob)))
    }
  }

  @Test func goesRoundAtTheEnd() throws {
    try work.database("a", count: 6) { Datum(floats: [Float($0)]) }
    let net = try makeNet(layer("a"))
    #expect(try values(net, "a", passes: 4) == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
  }

  @Test func readsLabels() throws {
    try work.database("a", count: 4) { Datum(floats: [Float($0)], label: $0 * $0) }
    let net = try makeNet(
      #"layer { name: "a" type: "Data" top: "a" top: "l" data_param { source: "a" batch_size: 4 backend: LMDB } }"#)
    #expect(try values(net, "l", passes: 1) == [0, 1, 4, 9])
    #expect(net.blob("l")?.shape == [4])
    #expect(net.blob("a")?.shape == [4, 1, 1, 1])
  }

  @Test func shuffledRoundsDifferAndHoldEveryRecord() throws {
    try work.database("a", count: 8) { Datum(floats: [Float($0)]) }
    let net = try makeNet(layer("a", "shuffle: true"))
    let first = try values(net, "a", passes: 2)
    let second = try values(net, "a", passes: 2)
    #expect(first.sorted() == (0..<8).map(Float.init))
    #expect(second.sorted() == first.sorted())
    #expect(first != second)
  }

  fileprivate func layer(_ name: String, _ more: String) -> String { layer(name, batch: 4, more) }

  @Test func databasesThatBelongTogetherAreShuffledAlike() throws {
    try work.database("a", count: 10) { Datum(floats: [Float($0)]) }
    try work.database("b", count: 10) { Datum(floats: [Float($0) * 10]) }
    let net = try makeNet(layer("a", "shuffle: true") + layer("b", batch: 4, "shuffle: true prefetch: 1"))
    for _ in 0..<7 {
      try net.forward()
      let a = try net.values(of: #require(net.blob("a")))
      #expect(try net.values(of: #require(net.blob("b"))) == a.map { $0 * 10 })
    }
  }

  @Test func aPassIsTheSameHoweverItIsReached() throws {
    try work.database("a", count: 7) { Datum(floats: [Float($0)]) }
    let straight = try makeNet(layer("a", "shuffle: true rand_skip: 5"))
    let all = try values(straight, "a", passes: 9)
    let jumping = try makeNet(layer("a", "shuffle: true rand_skip: 5"))
    for pass in [5, 6, 2, 8, 0] {
      jumping.clock.pass = pass
      #expect(try values(jumping, "a", passes: 1) == Array(all[(4 * pass)..<(4 * pass + 4)]))
    }
  }

  @Test func cropAndMirrorAreDrawnByRecordAndRound() throws {
    try work.database("a", count: 3) { index in
      Datum(pixels: (0..<48).map { UInt8($0 + index) }, channels: 3, height: 4, width: 4)
    }
    let text =
      #"layer { name: "a" type: "Data" top: "a" transform_param { crop_size: 2 mirror: true } "#
      + #"data_param { source: "a" batch_size: 3 backend: LMDB } }"#
    let first = try values(makeNet(text), "a", passes: 20)
    #expect(try values(makeNet(text), "a", passes: 20) == first)
    #expect(try values(makeNet(text, seed: 2), "a", passes: 20) != first)
    // Record 0 in each of 20 rounds: all nine places and both directions turn up, and nothing else.
    let corners = Set((0..<20).map { Array(first[($0 * 36)..<($0 * 36 + 2)]) })
    #expect(corners.count > 9)
    #expect(corners.allSatisfy { abs($0[0] - $0[1]) == 1 && $0[0] < 12 })
  }

  // MARK: Faults

  fileprivate func fault(_ text: String, passes: Int = 0) -> String {
    do {
      let net = try makeNet(text)
      _ = try checkPairedDatabases(of: net.graph)
      for _ in 0..<passes { try net.forward() }
      return "no fault"
    } catch {
      return "\(error)".replacing(work.path, with: "WORK")
    }
  }

  @Test func namesTheRecordThatIsOfAnotherShape() throws {
    try work.database("a", count: 6) { Datum(floats: [Float](repeating: 1, count: $0 == 4 ? 2 : 1)) }
    #expect(
      fault(layer("a"), passes: 2)
        == "error: layer 'a' (Data): record '00000004_r' of database 'WORK/a' is 2x1x1, but the first record is 1x1x1; "
        + "all must have one shape")
  }

  @Test func namesTheRecordThatIsDamaged() throws {
    try work.database("a", count: 3) { Datum(floats: [Float($0)]) }
    try work.raw(
      "b", [("00000000_r", Array(try Datum(floats: [1]).serializedData())), ("00000001_r", [0xff, 0xff, 0xff])])
    #expect(
      fault(layer("b"), passes: 1).hasSuffix(
        "record '00000001_r' of database 'WORK/b' is no Datum; the record is damaged, or the database holds something else"
      ))
  }

  @Test func saysWhereTheDatabaseShouldBe() throws {
    #expect(
      fault(layer("nowhere")).hasPrefix(
        "WORK/net.prototxt:1:66: error: layer 'nowhere' (Data): cannot open database 'nowhere'"))
  }

  // MARK: Pairs

  @Test func pairsInStepAreFine() throws {
    try work.database("a", count: 5) { Datum(floats: [Float($0)]) }
    try work.database("b", key: "label_r", count: 5) { Datum(floats: [Float($0)]) }
    #expect(fault(layer("a") + layer("b")) == "no fault")
  }

  @Test func aPairWithOtherKeysIsRefused() throws {
    try work.database("a", count: 5) { Datum(floats: [Float($0)]) }
    try work.raw(
      "b",
      try [0, 1, 3, 4, 5].map { ("0000000\($0)label_r", Array(try Datum(floats: [1]).serializedData())) })
    #expect(
      fault(layer("a") + layer("b")).contains(
        "record 2 is '00000002_r' in 'WORK/a', but '00000003label_r' in 'WORK/b': labels would belong to other images"))
  }

  @Test func aPairOfUnequalLengthIsRefused() throws {
    try work.database("a", count: 5) { Datum(floats: [Float($0)]) }
    try work.database("b", key: "label_r", count: 4) { Datum(floats: [Float($0)]) }
    #expect(
      fault(layer("a") + layer("b")).contains(
        "'WORK/a' holds 5 records, 'WORK/b' 4: 'WORK/a' goes on with '00000004_r'; convert both from one list"))
  }

  @Test func otherDatabasesOfUnequalLengthGetAWarning() throws {
    try work.raw("a", try ["x", "y"].map { ($0, Array(try Datum(floats: [1]).serializedData())) })
    try work.raw("b", try ["1", "2", "3"].map { ($0, Array(try Datum(floats: [1]).serializedData())) })
    let warnings = try checkPairedDatabases(of: makeNet(layer("a") + layer("b")).graph)
    #expect(warnings.count == 1)
    #expect(warnings.first?.severity == .warning)
  }
}

/// Several databases: mixed in one layer, and in layers whose batches are joined.
extension DataLayerTests {
  private func mixed(_ a: String, _ b: String, _ more: String = "", top: String = "m", batch: Int = 5) -> String {
    """
    layer { name: "\(top)" type: "Data" top: "\(top)" data_param { source: "\(a)" batch_size: \(batch) backend: LMDB
      mixed { source: "\(b)" } \(more) } }
    """
  }

  @Test func mixesDatabasesOfUnequalLength() throws {
    try work.database("a", count: 3) { Datum(floats: [Float($0)]) }
    try work.database("b", count: 2) { Datum(floats: [Float(10 + $0)]) }
    #expect(try values(makeNet(mixed("a", "b")), "m", passes: 2) == [0, 10, 1, 11, 2, 0, 10, 1, 11, 2])
    let inTurn = try makeNet(mixed("a", "b", "mixing: IN_TURN", batch: 6))
    #expect(try values(inTurn, "m", passes: 2) == [0, 10, 1, 11, 2, 10, 0, 11, 1, 10, 2, 11])
    // A test sees each record once whatever the training does.
    let test = try makeNet(mixed("a", "b", "mixing: IN_TURN"), phase: .test)
    #expect(try values(test, "m", passes: 1).sorted() == [0, 1, 2, 10, 11])
  }

  /// Shuffled or not, images and labels that are mixed alike stay in step, from any pass on.
  @Test(arguments: ["", "mixing: IN_TURN", "mixing: BY_WEIGHT source_weight: 3"])
  func mixedPairsStayInStep(_ mixing: String) throws {
    try work.database("a", count: 5) { Datum(floats: [Float($0)]) }
    try work.database("b", count: 3) { Datum(floats: [Float(10 + $0)]) }
    try work.database("la", key: "label_r", count: 5) { Datum(floats: [Float($0), 1]) }
    try work.database("lb", key: "label_r", count: 3) { Datum(floats: [Float(10 + $0)]) }
    let labels = """
      layer { name: "l" type: "Data" top: "l" data_param { source: "la" batch_size: 5 backend: LMDB shuffle: true
        mixed { source: "lb" channel: 2 } \(mixing) } }
      """
    let text = mixed("a", "b", "shuffle: true \(mixing)") + labels
    let net = try makeNet(text)
    #expect(try checkPairedDatabases(of: net.graph).isEmpty)
    #expect(net.blob("l")?.shape == [5, 3, 1, 1])
    var batches: [[Float]] = []
    for _ in 0..<12 {
      try net.forward()
      let images = try net.values(of: #require(net.blob("m")))
      let labels = try net.values(of: #require(net.blob("l")))
      batches.append(images)
      for (i, image) in images.enumerated() {
        let label = labels[(i * 3)..<(i * 3 + 3)].map { $0.isNaN ? -1 : $0 }
        #expect(label == (image < 10 ? [image, 1, -1] : [-1, -1, image]))
      }
    }
    let later = try makeNet(text)
    later.clock.pass = 7
    #expect(try values(later, "m", passes: 1) == batches[7])
  }

  @Test func refusesMixturesThatDoNotFit() throws {
    try work.database("a", count: 2) { _ in Datum(floats: [1]) }
    try work.database("b", count: 2) { _ in Datum(floats: [1, 2]) }
    try work.database("c", count: 2) { _ in Datum(pixels: [1, 2, 3, 4], channels: 1, height: 2, width: 2) }
    #expect(
      fault(mixed("a", "b")).hasSuffix(
        "the records of 'WORK/b' are 2x1x1, but those of 'WORK/a' are 1x1x1; say by channel where the labels of each begin"
      ))
    #expect(fault(mixed("a", "c")).hasSuffix("the records of 'WORK/c' are 1x2x2, but those of 'WORK/a' are 1x1x1"))
    #expect(fault(mixed("a", "nowhere")).contains("cannot open database 'nowhere'"))
    #expect(fault(mixed("a", "a", "source_weight: 2")).hasSuffix("weights of databases go with mixing: BY_WEIGHT"))
    #expect(fault(mixed("a", "a", "mixing: BY_WEIGHT source_weight: 0")).hasSuffix("source_weight must be above 0"))
    #expect(fault(layer("a", "mixing: IN_TURN")).hasSuffix("mixing takes several databases; name the others in mixed"))
  }

  /// Two pairs of databases of other records, whose batches are joined: nothing of it is out of step.
  @Test func joinedBatchesNeedNotBeInStep() throws {
    try work.database("a", count: 5) { Datum(floats: [Float($0)]) }
    try work.database("la", key: "label_r", count: 5) { Datum(floats: [Float($0)]) }
    try work.database("b", count: 3) { Datum(floats: [Float($0)]) }
    try work.database("lb", key: "label_r", count: 3) { Datum(floats: [Float($0)]) }
    let joined = """
      \(layer("a"))\(layer("la"))\(layer("b", batch: 2))\(layer("lb", batch: 2))
      layer { name: "x" type: "Concat" bottom: "a" bottom: "b" top: "x" concat_param { axis: 0 } }
      layer { name: "y" type: "Concat" bottom: "la" bottom: "lb" top: "y" concat_param { axis: 0 } }
      layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 1 } }
      layer { name: "cut" type: "Slice" bottom: "ip" top: "ip_a" top: "ip_b" slice_param { axis: 0 slice_point: 4 } }
      layer { name: "e" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "e" }
      """
    func warnings(_ text: String) throws -> Int {
      let net = try Net(
        NetSource(text: text, file: work.path + "/net.prototxt"), engine: ReferenceEngine(),
        catalogue: LayerCatalogue(layerTypes + recordLayerTypes), options: NetOptions(phase: .train))
      try net.forward()
      return try checkPairedDatabases(of: net.graph).count
    }
    #expect(try warnings(joined) == 0)
    let apart = #"layer { name: "ea" type: "EuclideanLoss" bottom: "ip_a" bottom: "la" top: "ea" }"#
    #expect(try warnings(joined + apart) == 0)
    // Labels of the one with records of the other are told.
    let wrong = joined.replacing(#"bottom: "la" bottom: "lb""#, with: #"bottom: "lb" bottom: "la""#)
      .replacing("batch_size: 2", with: "batch_size: 4")
    #expect(throws: Diagnostic.self) { try warnings(wrong) }
  }
}

/// A folder with databases that is removed with the test.
private final class WorkFolder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "mtl-data-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func database(_ name: String, key: String = "_r", count: Int, _ record: (Int) -> Datum) throws {
    try raw(
      name,
      (0..<count).map { index in
        let digits = String(index)
        let padded = String(repeating: "0", count: 8 - digits.count) + digits
        return (padded + key, Array(try record(index).serializedData()))
      })
  }

  func raw(_ name: String, _ records: [(key: String, value: [UInt8])]) throws {
    try FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: "\(path)/\(name)")
    for record in records { try writer.put(key: Array(record.key.utf8), value: record.value) }
    try writer.finish()
  }
}

extension Datum {
  fileprivate init(floats: [Float], label: Int = 0) {
    self.init()
    channels = Int32(floats.count)
    height = 1
    width = 1
    floatData = floats
    self.label = Int32(label)
  }

  fileprivate init(pixels: [UInt8], channels: Int32, height: Int32, width: Int32) {
    self.init()
    self.channels = channels
    self.height = height
    self.width = width
    data = Data(pixels)
  }
}
