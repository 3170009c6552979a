extension BlobProto {
  /// The extents, outermost first. The four of older files, where they are given, come before `shape`, as for Caffe.
  package var dims: [Int] {
    if hasNum || hasChannels || hasHeight || hasWidth {
      return [num, channels, height, width].map(Int.init)
    }
    return shape.dim.map(Int.init)
  }

  /// The values, whichever precision they are stored in.
  package var values: [Float] { doubleData.isEmpty ? data : doubleData.map(Float.init) }

  /// The gradients, whichever precision they are stored in.
  package var gradients: [Float] { doubleDiff.isEmpty ? diff : doubleDiff.map(Float.init) }
}
