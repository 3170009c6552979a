import CKernels
import Compute
import Tensors

/// Normalisation of channels by a kernel of our own, in any format. It reads the bottom twice forward, and bottom and top
/// gradient twice backward, with scale, shift and rectifier included; oneDNN's reads it three times and keeps a NaN from
/// being seen behind a rectifier.
final class CPUBatchNorm: BatchNormOp {
  let layout: Layout
  let implementation: String
  private let description: BatchNormDescription
  private let channels: Int
  /// Images x positions.
  private let count: Int
  private let norm: UnsafeMutablePointer<mtl_norm>
  private let units: Int
  private let unitSize: Int
  private let pool: ThreadPool
  /// Rows of one float for each lane of each group: see `Row`.
  private let constants: Memory
  private let paddedChannels: Int
  private let sums: Memory

  private enum Row: Int, CaseIterable {
    case mean, factor, shift, offset, tilt
  }

  /// Elements to a piece that are worth a thread.
  private static let grain = 16384
  /// Enough pieces for many threads, whatever their number, so that it changes no sum.
  private static let pieces = 32

  init(_ description: BatchNormDescription, bottom: Layout, pool: ThreadPool) {
    self.description = description
    self.pool = pool
    let shape = description.shape
    let positions = shape.count(2...)
    channels = shape[1]
    count = shape[0] * positions
    layout = bottom
    // Without positions the channels of a row are neighbours.
    let order = mtl_channel_order(positions == 1 && bottom.isPlain ? .channelsLast : bottom.format, shape)
    let runs = min(shape[0], (CPUBatchNorm.pieces + order.groups - 1) / order.groups)
    norm = .allocate(capacity: 1)
    norm.initialize(
      to: mtl_norm(
        images: shape[0], positions: positions, runs: runs, rectifies: description.rectifies,
        depends: description.statistics == .batch, order: order))
    units = order.groups * runs
    unitSize = max(1, count * order.lanes / runs)
    paddedChannels = order.groups * order.lanes
    constants = Memory(byteCount: Row.allCases.count * (paddedChannels + 16) * MemoryLayout<Float>.stride)
    sums = Memory(byteCount: units * 2 * Int(MTL_NORM_LANES) * MemoryLayout<Double>.stride)
    var name = description.statistics == .none ? "" : "normalize"
    if description.hasScale || description.hasShift { name += name.isEmpty ? "scale" : "+scale" }
    implementation = name + (description.rectifies ? "+rectify" : "") + (bottom.isHalf ? " bf16" : "")
  }

  deinit { norm.deallocate() }

  private func row(_ row: Row) -> UnsafeMutablePointer<Float> {
    constants.base.assumingMemoryBound(to: Float.self) + row.rawValue * (paddedChannels + 16)
  }

  private var partials: UnsafeMutablePointer<Double> { sums.base.assumingMemoryBound(to: Double.self) }

  private func forEachUnit(_ body: (_ from: Int, _ to: Int) -> Void) {
    pool.run(units, grain: max(1, CPUBatchNorm.grain / unitSize), body)
  }

  /// Both sums of a channel, added up in the order of the pieces.
  private func total(_ channel: Int) -> (first: Double, second: Double) {
    let lanes = norm.pointee.order.lanes
    var (first, second) = (0.0, 0.0)
    for run in 0..<norm.pointee.runs {
      let unit = partials + (channel / lanes * norm.pointee.runs + run) * 2 * Int(MTL_NORM_LANES) + channel % lanes
      first += unit[0]
      second += unit[Int(MTL_NORM_LANES)]
    }
    return (first, second)
  }

  func forward(
    bottom: UnsafeRawPointer, mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    scale: Parameter?, shift: Parameter?, top: UnsafeMutableRawPointer
  ) {
    if description.statistics == .batch { measure(bottom, mean, variance) }
    setConstants(mean, variance, scale, shift)
    forEachUnit { from, to in
      layout.isHalf
        ? mtl_norm_apply_halves(from, to, norm, row(.mean), row(.factor), row(.shift), bottom, top)
        : mtl_norm_apply(from, to, norm, row(.mean), row(.factor), row(.shift), bottom.floats, top.floats)
    }
  }

  private func element(_ index: Int, of x: UnsafeRawPointer) -> Float {
    guard layout.isHalf else { return x.floats[index] }
    return Float(bitPattern: UInt32(x.load(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
  }

  /// The sums are taken around each channel's first value, so that a mean far from 0 costs no digits.
  private func measure(
    _ x: UnsafeRawPointer, _ mean: UnsafeMutablePointer<Float>, _ variance: UnsafeMutablePointer<Float>
  ) {
    let (lanes, stride, origin) = (norm.pointee.order.lanes, norm.pointee.order.group_stride, row(.mean))
    for c in 0..<channels { origin[c] = element(c / lanes * stride + c % lanes, of: x) }
    forEachUnit { from, to in
      layout.isHalf
        ? mtl_norm_moments_halves(from, to, norm, origin, x, partials)
        : mtl_norm_moments(from, to, norm, origin, x.floats, partials)
    }
    for c in 0..<channels {
      let total = total(c)
      let distance = total.first / Double(count)
      mean[c] = Float(Double(origin[c]) + distance)
      // Not below 0 by rounding; what is not a number stays so.
      let spread = total.second / Double(count) - distance * distance
      variance[c] = Float(spread < 0 ? 0 : spread)
    }
  }

  private func setConstants(
    _ mean: UnsafePointer<Float>, _ variance: UnsafePointer<Float>, _ scale: Parameter?, _ shift: Parameter?
  ) {
    let (means, factors, shifts) = (row(.mean), row(.factor), row(.shift))
    for c in 0..<channels {
      means[c] = description.statistics == .none ? 0 : mean[c]
      factors[c] = (scale?.values[c] ?? 1) * inverseDeviation(variance, c)
      shifts[c] = shift?.values[c] ?? 0
    }
  }

  private func inverseDeviation(_ variance: UnsafePointer<Float>, _ channel: Int) -> Float {
    if description.statistics == .none { return 1 }
    return Float(1 / (Double(variance[channel]) + Double(description.epsilon)).squareRoot())
  }

  func backward(
    bottom: UnsafeRawPointer, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, scale: Parameter?,
    shift: Parameter?, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer?
  ) {
    setConstants(mean, variance, scale, shift)
    let learns = description.learns && (scale?.isLearned == true || shift?.isLearned == true)
    if learns || description.statistics == .batch {
      forEachUnit { from, to in
        layout.isHalf
          ? mtl_norm_slopes_halves(
            from, to, norm, row(.mean), row(.factor), row(.shift), bottom, topGradient, partials)
          : mtl_norm_slopes(
            from, to, norm, row(.mean), row(.factor), row(.shift), bottom.floats, topGradient.floats, partials)
      }
      setSlopes(variance, scale, shift)
    }
    guard let bottomGradient else { return }
    let all = mtl_norm_constants(
      mean: row(.mean), factor: row(.factor), shift: row(.shift), offset: row(.offset), tilt: row(.tilt))
    withUnsafePointer(to: all) { all in
      forEachUnit { from, to in
        layout.isHalf
          ? mtl_norm_pull_halves(from, to, norm, all, bottom, topGradient, bottomGradient)
          : mtl_norm_pull(from, to, norm, all, bottom.floats, topGradient.floats, bottomGradient.floats)
      }
    }
  }

  /// The parameters' gradients, and what the batch's statistics take from the bottom's.
  private func setSlopes(_ variance: UnsafePointer<Float>, _ scale: Parameter?, _ shift: Parameter?) {
    let (factors, offsets, tilts) = (row(.factor), row(.offset), row(.tilt))
    func add(_ parameter: Parameter?, _ slope: (Int) -> Double) {
      guard let parameter, description.learns, parameter.isLearned else { return }
      parameter.accumulate { gradients, overwrite in
        for c in 0..<channels { gradients[c] = (overwrite ? 0 : gradients[c]) + Float(slope(c)) }
      }
    }
    add(shift) { total($0).first }
    add(scale) { total($0).second * Double(inverseDeviation(variance, $0)) }
    guard description.statistics == .batch else { return }
    for c in 0..<channels {
      let total = total(c)
      let inverse = Double(inverseDeviation(variance, c))
      offsets[c] = Float(Double(factors[c]) * total.first / Double(count))
      tilts[c] = Float(Double(factors[c]) * inverse * inverse * total.second / Double(count))
    }
  }
}
