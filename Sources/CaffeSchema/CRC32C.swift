import Foundation

/// The Castagnoli checksum (CRC-32C, RFC 3720, appendix B.4): of snapshots, and of the records of event files.
///
/// Eight bytes are taken at a time by eight tables (Kounavis, Berry: A systematic approach to building high performance
/// software-based CRC generators, ISCC 2005).
package struct CRC32C: Sendable {
  private var state: UInt32 = 0xffff_ffff

  package init() {}

  package init(_ bytes: some ContiguousBytes) {
    update(bytes)
  }

  package var value: UInt32 { ~state }

  /// Turned and shifted, as in files of records that may hold checksums themselves (TensorFlow's TFRecord).
  package var masked: UInt32 { (value >> 15 | value << 17) &+ 0xa282_ead8 }

  package mutating func update(_ bytes: some ContiguousBytes) {
    bytes.withUnsafeBytes { update($0) }
  }

  private mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    var crc = state
    CRC32C.tables.withUnsafeBufferPointer { tables in
      guard let table = tables.baseAddress else { return }
      var at = 0
      while at + 8 <= bytes.count {
        let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self)) ^ UInt64(crc)
        var next: UInt32 = 0
        for i in 0..<8 { next ^= table[(7 - i) * 256 + Int(truncatingIfNeeded: word >> UInt64(8 * i) & 0xff)] }
        crc = next
        at += 8
      }
      while at < bytes.count {
        crc = table[Int((crc ^ UInt32(base.load(fromByteOffset: at, as: UInt8.self))) & 0xff)] ^ crc >> 8
        at += 1
      }
    }
    state = crc
  }

  /// Table k says what a byte does to the sum when k more bytes follow it.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var crc = UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
      tables[byte] = crc
    }
    for at in 256..<tables.count {
      let before = tables[at - 256]
      tables[at] = tables[Int(before & 0xff)] ^ before >> 8
    }
    return tables
  }()
}
