/// The value of a field of a message in wire form.
enum WireValue {
  case number(UInt64)
  case bytes(UnsafeRawBufferPointer)
}

/// Calls `body` for each whole number and each string of bytes (text, a message) of a message in wire form, without
/// touching what is in the bytes: a picture's label is found without reading the picture. It stops where the message is
/// damaged.
func forEachField(of message: UnsafeRawBufferPointer, _ body: (_ number: UInt64, _ value: WireValue) -> Void) {
  var place = 0
  func varint() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard place < message.count else { return nil }
      let byte = message[place]
      place += 1
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
  while place < message.count {
    guard let tag = varint() else { return }
    switch tag & 7 {
    case 0:
      guard let number = varint() else { return }
      body(tag >> 3, .number(number))
    case 1: place += 8
    case 5: place += 4
    case 2:
      guard let length = varint(), length <= UInt64(message.count - place) else { return }
      body(tag >> 3, .bytes(UnsafeRawBufferPointer(rebasing: message[place..<place + Int(length)])))
      place += Int(length)
    default: return
    }
  }
}
