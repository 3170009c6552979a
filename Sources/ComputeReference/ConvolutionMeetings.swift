import Compute

/// Which elements of the coarse and the fine blob of a convolution meet at which weight; see `ReferenceConvolution`.
///
/// Fewer than three spatial axes are seen as three, with extents of 1 in front.
struct ConvolutionMeetings {
  private let batch: Int
  private let groups: Int
  private let coarseChannels: Int
  private let fineChannels: Int
  private let coarsePlane: Int
  private let finePlane: Int
  private let taps: [Tap]
  private let pitch: Pitch

  /// One position in the kernel: the first element of either plane that meets there, and how many do along each axis.
  fileprivate struct Tap {
    var coarseStart = 0
    var fineStart = 0
    var counts = (depth: 0, height: 0, width: 0)
  }

  /// Elements from one meeting to the next along each axis.
  fileprivate struct Pitch {
    var coarseSlice: Int
    var coarseRow: Int
    var fineSlice: Int
    var fineRow: Int
    var fineStep: Int
  }

  init(_ description: ConvolutionDescription) {
    let coarse = threeAxes(description.isTransposed ? description.bottomExtents : description.topExtents, filler: 1)
    let fine = threeAxes(description.isTransposed ? description.topExtents : description.bottomExtents, filler: 1)
    let stride = threeAxes(description.stride, filler: 1)
    batch = description.batch
    groups = description.groups
    coarseChannels = description.isTransposed ? description.bottomChannels : description.topChannels
    fineChannels = description.isTransposed ? description.topChannels : description.bottomChannels
    coarsePlane = coarse.reduce(1, *)
    finePlane = fine.reduce(1, *)
    pitch = Pitch(
      coarseSlice: coarse[1] * coarse[2], coarseRow: coarse[2], fineSlice: stride[0] * fine[1] * fine[2],
      fineRow: stride[1] * fine[2], fineStep: stride[2])
    taps = ConvolutionMeetings.taps(description, coarse: coarse, fine: fine, stride: stride)
  }

  private static func taps(
    _ description: ConvolutionDescription, coarse: [Int], fine: [Int], stride: [Int]
  ) -> [Tap] {
    let kernel = threeAxes(description.kernel, filler: 1)
    let pad = threeAxes(description.padBefore, filler: 0)
    let dilation = threeAxes(description.dilation, filler: 1)
    /// The windows o of one axis whose element i = o stride - pad + tap dilation exists.
    func windows(_ axis: Int, _ tap: Int) -> Range<Int> {
      let shift = tap * dilation[axis] - pad[axis]
      let first = max(0, (stride[axis] - 1 - shift) / stride[axis])
      let end = fine[axis] > shift ? min(coarse[axis], (fine[axis] - 1 - shift) / stride[axis] + 1) : 0
      return first..<max(first, end)
    }
    /// The element that window `o` sees at `tap`.
    func element(_ axis: Int, _ o: Int, _ tap: Int) -> Int {
      o * stride[axis] - pad[axis] + tap * dilation[axis]
    }
    var taps: [Tap] = []
    for d in 0..<kernel[0] {
      for h in 0..<kernel[1] {
        for w in 0..<kernel[2] {
          let (depth, height, width) = (windows(0, d), windows(1, h), windows(2, w))
          let slice = element(0, depth.lowerBound, d) * fine[1]
          let row = (slice + element(1, height.lowerBound, h)) * fine[2]
          taps.append(
            Tap(
              coarseStart: (depth.lowerBound * coarse[1] + height.lowerBound) * coarse[2] + width.lowerBound,
              fineStart: row + element(2, width.lowerBound, w),
              counts: (depth.count, height.count, width.count)))
        }
      }
    }
    return taps
  }

  /// Calls `body` with the index of every weight and the rows of elements that meet there, image after image; within
  /// an image in the order of the weights.
  @inline(__always)
  func forEach(_ body: (_ weight: Int, _ rows: Rows) -> Void) {
    let coarsePerGroup = coarseChannels / groups
    let finePerGroup = fineChannels / groups
    for n in 0..<batch {
      for k in 0..<coarseChannels {
        let firstFine = k / coarsePerGroup * finePerGroup
        for c in 0..<finePerGroup {
          let coarseStart = (n * coarseChannels + k) * coarsePlane
          let fineStart = (n * fineChannels + firstFine + c) * finePlane
          for t in taps.indices {
            let rows = Rows(coarseStart: coarseStart, fineStart: fineStart, tap: taps[t], pitch: pitch)
            body((k * finePerGroup + c) * taps.count + t, rows)
          }
        }
      }
    }
  }

  /// The elements of one coarse and one fine plane that meet at one weight.
  struct Rows {
    fileprivate var coarseStart: Int
    fileprivate var fineStart: Int
    fileprivate var tap: Tap
    fileprivate var pitch: Pitch

    /// Element `coarseStart + x` of the coarse blob meets `fineStart + x * step` of the fine one, x in 0 ..< `count`.
    @inline(__always)
    func forEach(_ body: (_ coarseStart: Int, _ fineStart: Int, _ count: Int, _ step: Int) -> Void) {
      for depth in 0..<tap.counts.depth {
        for height in 0..<tap.counts.height {
          body(
            coarseStart + tap.coarseStart + depth * pitch.coarseSlice + height * pitch.coarseRow,
            fineStart + tap.fineStart + depth * pitch.fineSlice + height * pitch.fineRow, tap.counts.width,
            pitch.fineStep)
        }
      }
    }
  }
}

/// `values` of 1 to 3 spatial axes, with `filler` for the axes in front that are not there.
func threeAxes(_ values: [Int], filler: Int) -> [Int] {
  Array(repeating: filler, count: 3 - values.count) + values
}
