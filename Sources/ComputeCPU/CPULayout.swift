import CDNNL
import CKernels
import Tensors

/// How the elements of N x C x (spatial) lie in memory.
enum Format: Hashable, Sendable {
  case plain
  case channelsLast
  /// Channels in blocks that lie innermost; the last block is filled up with zeros, and every op keeps them zero.
  case blocked8, blocked16

  init?(_ native: mtl_format) {
    switch native {
    case MTL_FORMAT_PLAIN: self = .plain
    case MTL_FORMAT_CHANNELS_LAST: self = .channelsLast
    case MTL_FORMAT_BLOCKED_8: self = .blocked8
    case MTL_FORMAT_BLOCKED_16: self = .blocked16
    default: return nil
    }
  }

  var native: mtl_format {
    switch self {
    case .plain: MTL_FORMAT_PLAIN
    case .channelsLast: MTL_FORMAT_CHANNELS_LAST
    case .blocked8: MTL_FORMAT_BLOCKED_8
    case .blocked16: MTL_FORMAT_BLOCKED_16
    }
  }

  /// Channels to a block, 1 without blocks.
  var block: Int {
    switch self {
    case .plain, .channelsLast: 1
    case .blocked8: 8
    case .blocked16: 16
    }
  }

  /// Channels with those that fill up the last block.
  func paddedChannels(_ channels: Int) -> Int { (channels + block - 1) / block * block }
}

/// A format for one shape, as the planner sees it.
final class CPULayout: NativeLayout {
  let format: Format
  let shape: Shape
  /// Elements of 16 bits (bfloat16) where not of 32: what convolutions of that precision read and write.
  let isHalf: Bool

  init(format: Format, shape: Shape, isHalf: Bool = false) {
    self.format = format
    self.shape = shape
    self.isHalf = isHalf
  }

  /// As oneDNN writes them: `nChw16c`, `nhwc`; with the precision where it is not float.
  var name: String {
    let axes = String("dhw".suffix(shape.rank - 2))
    let order =
      switch format {
      case .plain: "nc\(axes)"
      case .channelsLast: "n\(axes)c"
      case .blocked8, .blocked16: "nC\(axes)\(format.block)c"
      }
    return isHalf ? order + "_bf16" : order
  }

  var byteCount: Int { elementCount * (isHalf ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride) }

  var holdsFloats: Bool { !isHalf }

  /// With those that fill up blocks.
  var elementCount: Int { shape[0] * format.paddedChannels(shape[1]) * shape.count(2...) }

  func isEqual(to other: any NativeLayout) -> Bool {
    guard let other = other as? CPULayout else { return false }
    return other.format == format && other.shape == shape && other.isHalf == isHalf
  }
}

extension Layout {
  /// The layout of `shape` in a format; plain when the elements lie in that order anyway.
  init(_ format: Format, _ shape: Shape, isHalf: Bool = false) {
    if isHalf {
      self = Layout(native: CPULayout(format: format, shape: shape, isHalf: true))
      return
    }
    let isPlain =
      switch format {
      case .plain: true
      case .channelsLast: shape[1] == 1 || shape.count(2...) == 1
      case .blocked8, .blocked16: shape.count(2...) == 1 && shape[1] % format.block == 0
      }
    self = isPlain ? .plain : Layout(native: CPULayout(format: format, shape: shape))
  }

  /// With those that fill up blocks.
  func elementCount(for shape: Shape) -> Int {
    byteCount(for: shape) / (isHalf ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride)
  }

  /// - Precondition: the layout is the CPU engine's.
  var format: Format {
    guard let native else { return .plain }
    guard let layout = native as? CPULayout else {
      preconditionFailure("the CPU engine was handed the layout \(name) of another engine")
    }
    return layout.format
  }

  var isHalf: Bool { (native as? CPULayout)?.isHalf ?? false }

  /// For ops of our own, which read halves in blocks of 16 channels alone.
  var readable: Layout { isHalf && format != .blocked16 ? .plain : self }
}

extension mtl_channel_order {
  /// How the channels of an image of `shape` lie; see CKernels.h. The zeros that fill up the last block count as
  /// channels, so that they are written too.
  init(_ format: Format, _ shape: Shape) {
    let (channels, positions) = (shape[1], shape.count(2...))
    switch format {
    case .plain:
      self.init(
        groups: channels, lanes: 1, last_lanes: 1, pitch: 1, group_stride: positions,
        image_stride: channels * positions)
    case .channelsLast:
      self.init(
        groups: (channels + 15) / 16, lanes: 16, last_lanes: (channels - 1) % 16 + 1, pitch: channels, group_stride: 16,
        image_stride: channels * positions)
    case .blocked8, .blocked16:
      let block = format.block
      self.init(
        groups: (channels + block - 1) / block, lanes: block,
        last_lanes: block, pitch: block, group_stride: block * positions,
        image_stride: format.paddedChannels(channels) * positions)
    }
  }
}

extension mtl_dims {
  init(_ shape: Shape) {
    self.init()
    rank = Int32(shape.rank)
    withUnsafeMutableBytes(of: &dims) { bytes in
      for (axis, extent) in shape.dims.enumerated() {
        bytes.storeBytes(of: Int64(extent), toByteOffset: axis * 8, as: Int64.self)
      }
    }
  }
}
