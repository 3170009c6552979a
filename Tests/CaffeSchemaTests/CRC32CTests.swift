import CaffeSchema
import Foundation
import Testing

@Suite struct CRC32CTests {
  /// The examples of RFC 3720, B.4, and the check value of the catalogues.
  private static let known: [(bytes: [UInt8], sum: UInt32)] = [
    ([], 0), (Array("123456789".utf8), 0xe306_9283), (Array(repeating: 0, count: 32), 0x8a91_36aa),
    (Array(repeating: 0xff, count: 32), 0x62a8_ab43), (Array(0..<32), 0x46dd_794e),
    (Array((0..<32).reversed()), 0x113f_db5c),
  ]

  @Test(arguments: known.indices)
  func knownSums(_ index: Int) { #expect(CRC32C(Self.known[index].bytes).value == Self.known[index].sum) }

  @Test func piecesOfAnyLengthAddUp() {
    let bytes = Data((0..<1000).map { UInt8(truncatingIfNeeded: $0 * $0 + 7) })
    for cut in [1, 3, 8, 9, 500, 999] {
      var sum = CRC32C(bytes.prefix(cut))
      sum.update(bytes.dropFirst(cut))
      #expect(sum.value == CRC32C(bytes).value)
    }
  }

  @Test func masked() {
    let sum: UInt32 = 0xe306_9283
    #expect(CRC32C(Data("123456789".utf8)).masked == (sum >> 15 | sum << 17) &+ 0xa282_ead8)
  }
}
