import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Synchronization
import Tensors
import Testing

@testable import Records

@Suite struct IdentitySamplerTests {
  /// Ten identities: the first with one record, the second with two, and so on, all mixed.
  static let labels: [Float] = {
    let sorted = (0..<10).flatMap { [Float](repeating: Float($0), count: $0 + 1) }
    return RandomStream(seed: 3).permutation(sorted.count).map { sorted[$0] }
  }()

  private static func sampler(
    _ text: String, labels: [Float] = IdentitySamplerTests.labels, batch: Int, isTest: Bool = false
  ) throws -> IdentitySampler {
    try IdentitySampler(
      SamplerParameter(textFormatString: text), labels: labels, batchSize: batch, repeatsRounds: isTest)
  }

  @Test func groupsHoldDifferentRecordsOfDifferentIdentities() throws {
    let sampler = try Self.sampler("identities: 4 records_per_identity: 3", batch: 12)
    var seen = Set<Float>()
    for pass in 0..<50 {
      let batch = sampler.batch(pass, seed: 1)
      let groups = stride(from: 0, to: 12, by: 3).map { Array(batch[$0..<($0 + 3)]) }
      #expect(Set(groups.map { Self.labels[$0[0]] }).count == 4)
      for group in groups {
        let label = Self.labels[group[0]]
        #expect(group.allSatisfy { Self.labels[$0] == label })
        // Identity i has i + 1 records; those of the second come again.
        #expect(Set(group).count == min(3, Int(label) + 1))
        seen.insert(label)
      }
    }
    // All but the one that makes no pair.
    #expect(seen == Set((1..<10).map(Float.init)))
    #expect(sampler.remarks == ["1 of 10 identities have one record and are never drawn"])
  }

  @Test func pairsHaveTheShareOfPositives() throws {
    for (share, batch) in [(0.5, 16), (0.25, 20), (0, 8), (1, 8)] {
      let sampler = try Self.sampler("positive_share: \(share)", batch: batch)
      var alike = 0
      for pass in 0..<100 {
        let positions = sampler.batch(pass, seed: 1)
        for pair in 0..<(batch / 2) {
          let (a, b) = (positions[2 * pair], positions[2 * pair + 1])
          #expect(a != b)
          if Self.labels[a] == Self.labels[b] { alike += 1 }
        }
      }
      // In each batch exactly so many; the fraction of 2.5 by chance.
      let wanted = share * Double(batch / 2) * 100
      #expect(abs(Double(alike) - wanted) <= (wanted.truncatingRemainder(dividingBy: 100) == 0 ? 0 : 15))
    }
  }

  @Test func pairsKeepToTheIdentitiesOfTheirBatch() throws {
    let sampler = try Self.sampler("positive_share: 0.5 identities: 2", batch: 24)
    for pass in 0..<20 { #expect(Set(sampler.batch(pass, seed: 1).map { Self.labels[$0] }).count <= 2) }
  }

  @Test func drawsDependOnSeedAndPassAlone() throws {
    let sampler = try Self.sampler("positive_share: 0.5", batch: 8)
    let again = try Self.sampler("positive_share: 0.5", batch: 8)
    #expect(sampler.batch(7, seed: 1) == again.batch(7, seed: 1))
    #expect(sampler.batch(7, seed: 1) != sampler.batch(8, seed: 1))
    #expect(sampler.batch(7, seed: 1) != sampler.batch(7, seed: 2))
  }

  @Test func testsDrawTheSameInEachRoundWhateverTheSeed() throws {
    let sampler = try Self.sampler("positive_share: 0.5 records_per_round: 30", batch: 8, isTest: true)
    #expect(sampler.recordsPerRound == 24)
    #expect(sampler.batch(1, seed: 1) == sampler.batch(4, seed: 2))
    #expect(sampler.batch(1, seed: 1) != sampler.batch(2, seed: 1))
  }

  @Test func recordsWithoutALabelAreNeverDrawn() throws {
    let labels: [Float] = [0, .nan, 0, 1, .nan, 1]
    for text in ["positive_share: 0.5", "identities: 2 records_per_identity: 2"] {
      let sampler = try Self.sampler(text, labels: labels, batch: 4)
      #expect(sampler.remarks == ["2 of 6 records have no identity (NaN) and are never drawn"])
      for pass in 0..<20 { #expect(Set(sampler.batch(pass, seed: 1)).isDisjoint(with: [1, 4])) }
    }
  }

  @Test func labelsThatDoNotHoldWhatIsDrawn() {
    func message(_ text: String, _ labels: [Float], _ batch: Int) -> String {
      do {
        _ = try Self.sampler(text, labels: labels, batch: batch)
        return "none"
      } catch { return (error as? Diagnostic)?.message ?? "" }
    }
    let tail = "; is this the label of identities?"
    #expect(
      message("identities: 3 records_per_identity: 2", [0, 0, 1, 1, 2], 6)
        == "the sampler needs 3 identities with two records, but the labels are of 5 records of 3 identities, 2 of which "
        + "have several records" + tail)
    #expect(message("positive_share: 0.5", [0, 1, 2], 4).hasPrefix("the sampler needs an identity with two records"))
    #expect(message("positive_share: 0.5", [7, 7, 7], 4).hasPrefix("the sampler needs two identities"))
    #expect(message("positive_share: 0.5", [.nan], 4).hasPrefix("the sampler needs an identity with two records"))
    #expect(message("positive_share: 0", [0, 1, 2], 4) == "none")
  }

  // MARK: In nets

  /// Record i has the value i and the label i / 3, in an image database with integer labels, a database of label vectors,
  /// and a list.
  private func write(_ folder: TestFolder, count: Int = 30, labels: Int? = nil) throws {
    try database(folder, "image", count) { index in
      Datum.with {
        ($0.channels, $0.height, $0.width, $0.label) = (1, 2, 2, Int32(index / 3))
        $0.data = Data(repeating: UInt8(truncatingIfNeeded: index), count: 4)
      }
    }
    try database(folder, "label", labels ?? count) { index in
      Datum.with {
        ($0.channels, $0.height, $0.width) = (2, 1, 1)
        $0.floatData = [Float(index), Float(index / 3)]
      }
    }
  }

  private func database(_ folder: TestFolder, _ name: String, _ count: Int, _ datum: (Int) -> Datum) throws {
    try FileManager.default.createDirectory(atPath: folder(name), withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: folder(name))
    for index in 0..<count {
      let digits = String(100_000_000 + index).dropFirst()
      let key = name == "label" ? "\(digits)label_r" : "\(digits)_r"
      try writer.put(key: Array(key.utf8), value: datum(index).serializedBytes())
    }
    try writer.finish()
  }

  static let vectors = #"sampler { identities: 3 records_per_identity: 2 labels: "label" label_index: 1 }"#

  private func twoLayers(_ image: String = vectors, _ label: String = vectors) -> String {
    """
    layer { name: "image" type: "Data" top: "image" data_param { source: "image" batch_size: 6 backend: LMDB \(image) } }
    layer { name: "label" type: "Data" top: "label" data_param { source: "label" batch_size: 6 backend: LMDB \(label) } }
    """
  }

  @Test func layersThatBelongTogetherDrawTheSame() throws {
    let folder = try TestFolder()
    try write(folder)
    let net = try dataNet(twoLayers(), in: folder)
    #expect(try checkPairedDatabases(of: net.graph).isEmpty)
    for _ in 0..<8 {
      try net.forward()
      let images = try net.values(of: #require(net.blob("image")))
      let labels = try net.values(of: #require(net.blob("label")))
      for item in 0..<6 {
        #expect(images[4 * item] == labels[2 * item])
        #expect(labels[2 * item + 1] == (images[4 * item] / 3).rounded(.down))
        #expect(labels[2 * item + 1] == labels[2 * (item - item % 2) + 1])
      }
    }
    // A pass is the same however it is reached.
    let all = try passes(9, of: dataNet(twoLayers(), in: folder), "image")
    let jumping = try dataNet(twoLayers(), in: folder)
    for pass in [5, 2, 8] {
      jumping.clock.pass = pass
      #expect(try passes(1, of: jumping, "image") == Array(all[(24 * pass)..<(24 * pass + 24)]))
    }
  }

  /// The pass over all labels; other tests make passes over fewer records meanwhile.
  @Test func tellsHowFarItIsWithTheLabels() throws {
    let folder = try TestFolder()
    try write(folder, count: 2003)
    let told = Mutex<[Int]>([])
    RecordPass.progress.withLock { $0 = { done, count in if count == 2003 { told.withLock { $0.append(done) } } } }
    defer { RecordPass.progress.withLock { $0 = nil } }
    _ = try dataNet(
      """
      layer { name: "d" type: "Data" top: "image" top: "label" data_param { source: "image" batch_size: 8
        sampler { positive_share: 0.5 } } }
      """, in: folder
    ).forward()
    #expect(told.withLock { $0 } == [1000, 2000, 2003])
  }

  @Test func samplersThatDifferAreRefused() throws {
    let folder = try TestFolder()
    try write(folder)
    let net = try dataNet(twoLayers(Self.vectors, ""), in: folder)
    let fault = #expect(throws: Diagnostic.self) { try checkPairedDatabases(of: net.graph) }
    #expect(fault?.message.contains("their samplers differ") == true)
    // The label layer's own database is the one that the other names.
    let own = try dataNet(
      twoLayers(Self.vectors, "sampler { identities: 3 records_per_identity: 2 label_index: 1 }"), in: folder)
    #expect(try checkPairedDatabases(of: own.graph).isEmpty)
  }

  @Test func integerLabels() throws {
    let folder = try TestFolder()
    try write(folder)
    let net = try dataNet(
      """
      layer { name: "d" type: "Data" top: "image" top: "label" data_param { source: "image" batch_size: 8
        sampler { positive_share: 0.5 } } }
      """, in: folder)
    let labels = try passes(10, of: net, "label")
    let alike = (0..<40).count { labels[2 * $0] == labels[2 * $0 + 1] }
    #expect(alike == 20)
  }

  @Test func lists() throws {
    let folder = try TestFolder()
    for index in 0..<6 {
      let picture = Image(height: 2, width: 2, channels: 1, pixels: [UInt8](repeating: UInt8(index), count: 4))
      try folder.write(picture.encoded(as: .png), to: "\(index).png")
    }
    try folder.write((0..<6).map { "\($0).png 0.5 \($0 / 2)\n" }.joined(), to: "list.txt")
    let net = try dataNet(
      """
      layer { name: "d" type: "ImageData" top: "image" top: "label" image_data_param { source: "list.txt" batch_size: 4
        is_color: false sampler { identities: 2 records_per_identity: 2 label_index: 1 } } }
      """, in: folder)
    for _ in 0..<5 {
      try net.forward()
      let labels = try net.values(of: #require(net.blob("label")))
      #expect(labels[1] == labels[3] && labels[5] == labels[7] && labels[1] != labels[5])
      let image = try net.values(of: #require(net.blob("image")))
      #expect((image[0] / 2).rounded(.down) == labels[1])
    }
  }

  @Test func faults() throws {
    let folder = try TestFolder()
    try write(folder, labels: 29)
    func layer(_ sampler: String, batch: Int = 6, _ more: String = "") -> String {
      #"layer { name: "d" type: "Data" top: "d" data_param { source: "image" batch_size: \#(batch) \#(more) sampler { \#(sampler) } } }"#
    }
    let expected: [(String, String)] = [
      (layer(""), "give identities and records_per_identity for groups of records, or positive_share for pairs"),
      (
        layer("identities: 2 records_per_identity: 2"),
        "2 identities with 2 records each are 4 records, but batch_size is 6"
      ),
      (layer("positive_share: 0.5", batch: 7), "pairs need an even batch_size, not 7"),
      (layer("positive_share: 2"), "positive_share is from 0 to 1, not 2.0"),
      (
        layer("positive_share: 0.5 records_per_identity: 2"),
        "give positive_share for pairs, or records_per_identity for groups, not both"
      ),
      (
        layer("positive_share: 0.5", batch: 6, "shuffle: true"),
        "shuffle is not supported: a sampler draws the records at random"
      ),
      (layer("identities: 3 records_per_identity: 2 label_index: 4"), "label_index"),
      (
        layer(#"positive_share: 0.5 labels: "label" label_index: 1"#),
        "'WORK/label' holds the labels of 29 records, but 'WORK/image' has 30"
      ),
      (layer(#"positive_share: 0.5 labels: "gone""#), "there is no such folder"),
      (
        layer("identities: 11 records_per_identity: 2", batch: 22),
        "the sampler needs 11 identities with two records, but the labels are of 30 records of 10 identities"
      ),
    ]
    for (text, message) in expected {
      let told = fault(text, in: folder)
      #expect(told.contains(message), "\(told)")
      #expect(told.hasPrefix("WORK/net.prototxt:1:"), "\(told)")
    }
  }
}
