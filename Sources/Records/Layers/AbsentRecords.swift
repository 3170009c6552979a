import CaffeSchema
import Diagnostics
import Nets

extension LayerFields {
  /// What the layer's fields, and a mean file that is there, tell of images whose source is not.
  ///
  /// - Parameters:
  ///   - channels, height, width: of the images, where the layer's own fields tell them; 0 for unknown.
  func outlineOfImages(batch: Int, channels: UInt32 = 0, height: UInt32 = 0, width: UInt32 = 0) -> TopOutline {
    let mean = parameter.transformParam.hasMeanFile ? meanExtents(existingPath(parameter.transformParam.meanFile)) : nil
    func known(_ value: UInt32, _ axis: Int) -> UInt32 { value > 0 ? value : UInt32(mean?[axis] ?? 0) }
    return parameter.transformParam.imageOutline(
      batch: batch, channels: known(channels, 0), height: known(height, 1), width: known(width, 2))
  }

  private func meanExtents(_ path: String) -> [Int]? {
    guard exists(path), let blob = try? readBinary(path, as: BlobProto.self), blob.dims.count >= 3 else { return nil }
    return Array(blob.dims.suffix(3))
  }
}

/// What refuses, as a value: for layers that are accepted in shapes and not when they run.
func refusal(_ check: () throws -> Void) -> Diagnostic? {
  do {
    try check()
    return nil
  } catch {
    return error as? Diagnostic
  }
}
