import Glibc

/// A number as C++ streams print it, six significant digits: what parsers of these logs expect.
package func logText(_ value: some BinaryFloatingPoint) -> String {
  var buffer = [CChar](repeating: 0, count: 40)
  let count = withVaList([Double(value)]) { vsnprintf(&buffer, buffer.count, "%g", $0) }
  return String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// A number with a fixed count of decimals.
package func fixedText(_ value: Double, decimals: Int) -> String {
  var buffer = [CChar](repeating: 0, count: 400)
  let count = withVaList([Int32(decimals), value]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
  return String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
