import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Decides for each default box of an image which object it stands for, as SSD's training does (Liu et al., ECCV 2016).
///
/// The bottoms are those of MultiBoxLoss. Its arrays are kept from pass to pass for their memory.
final class BoxMatcher {
  /// What is said of a box that no object is matched to: it counts as background, or not at all.
  static let negative = -1
  static let leftOut = -2

  let priors: DefaultBoxes
  private let param: MultiBoxLossParameter
  private let boxCode: BoxCode
  private let identity: Diagnostic.Layer
  private let classes: Int
  /// Locations of a box: one for all classes, or one for each.
  private let locationCount: Int
  /// Rows of the objects of the present image, and those that still look for their best box.
  private var objects: [Int] = []
  private var open: [Int] = []
  private var overlaps: [Float] = []
  private var best: [Float] = []
  private var mined: [(cost: Float, box: Int)] = []
  private var isPicked: [Bool] = []
  private var picked: [Box] = []

  init(_ fields: LayerFields, _ param: MultiBoxLossParameter, _ code: BoxCode, _ priors: DefaultBoxes) {
    self.param = param
    self.priors = priors
    boxCode = code
    identity = fields.identity
    classes = Int(param.numClasses)
    locationCount = param.shareLocation ? 1 : classes
  }

  /// Where the locations of a box begin that are for an object.
  func location(_ image: Int, _ box: Int, _ object: Int, _ bottoms: [Blob]) -> Int {
    ((image * priors.count + box) * locationCount + (locationCount > 1 ? label(of: object, bottoms) : 0)) * 4
  }

  func label(of object: Int, _ bottoms: [Blob]) -> Int { Int(bottoms[3].values[8 * object + 1]) }

  private func box(of object: Int, _ bottoms: [Blob]) -> Box { Box(bottoms[3].values + 8 * object + 3) }

  /// What the locations of box `index` should be.
  func code(of object: Int, _ index: Int, _ bottoms: [Blob]) -> SIMD4<Float> {
    boxCode.encode(
      box(of: object, bottoms), prior: priors.box(bottoms[2].values, index),
      variance: priors.variance(bottoms[2].values, index))
  }

  /// The box that is compared with objects: the default one, or with `use_prior_for_matching: false` the predicted.
  func candidate(_ image: Int, _ index: Int, _ bottoms: [Blob]) -> Box {
    let prior = priors.box(bottoms[2].values, index)
    if param.usePriorForMatching { return prior }
    return boxCode.decode(
      bottoms[0].values + (image * priors.count + index) * 4, prior: prior,
      variance: priors.variance(bottoms[2].values, index))
  }

  /// Writes for each box the row of its object, `negative` or `leftOut`.
  ///
  /// - Parameter cost: of a box that is taken for an object or as a negative, by which boxes are mined.
  /// - Throws: `badRecord` for an object that is no box or of no class.
  func match(
    _ image: Int, _ bottoms: [Blob], _ target: UnsafeMutablePointer<Int32>, cost: (_ box: Int, _ object: Int) -> Double
  ) throws {
    let count = priors.count
    try findObjects(image, bottoms)
    target.update(repeating: Int32(BoxMatcher.negative), count: count)
    guard !objects.isEmpty else {
      // SSD mines no negatives in an image without objects.
      if param.miningType != .none { target.update(repeating: Int32(BoxMatcher.leftOut), count: count) }
      return
    }
    measure(image, bottoms, target)
    matchBest(target)
    if param.matchType == .perPrediction { matchOthers(target) }
    if param.miningType != .none {
      mine(image, bottoms, target, cost)
    } else {
      // Unmined, every box has a class.
      for box in 0..<count where target[box] == Int32(BoxMatcher.leftOut) { target[box] = Int32(BoxMatcher.negative) }
    }
  }

  private func findObjects(_ image: Int, _ bottoms: [Blob]) throws {
    objects.removeAll(keepingCapacity: true)
    let rows = bottoms[3].count / 8
    for row in 0..<rows {
      let values = bottoms[3].values + 8 * row
      guard values[0] == Float(image), !values[1].isNaN, param.useDifficultGt || values[7] == 0 else { continue }
      let box = box(of: row, bottoms)
      guard values[1] >= 0, values[1] < Float(classes) || param.mapObjectToAgnostic,
        values[1] != Float(param.backgroundLabelID), abs(values[1]) < 0x1p30, box.width > 0, box.height > 0
      else {
        throw Diagnostic(
          .badRecord,
          "object \(row) of the batch is of class \(values[1]) from (\(box.xMin), \(box.yMin)) to (\(box.xMax), \(box.yMax)): "
            + "the class must be below \(classes) and not the background's, and the far corner right and below",
          layer: identity)
      }
      objects.append(row)
    }
  }

  /// Fills `overlaps`, boxes x objects, and `best`, the largest of each box.
  private func measure(_ image: Int, _ bottoms: [Blob], _ target: UnsafeMutablePointer<Int32>) {
    overlaps.removeAll(keepingCapacity: true)
    best.removeAll(keepingCapacity: true)
    for index in 0..<priors.count {
      let candidate = candidate(image, index, bottoms)
      let isIgnored = param.ignoreCrossBoundaryBbox && candidate.crossesBorder
      if isIgnored { target[index] = Int32(BoxMatcher.leftOut) }
      var largest: Float = 0
      for object in objects {
        let overlap = isIgnored ? 0 : candidate.overlap(box(of: object, bottoms))
        overlaps.append(overlap > 1e-6 ? overlap : 0)
        largest = max(largest, overlaps[overlaps.count - 1])
      }
      best.append(largest)
    }
  }

  /// Object after object gets the box that it overlaps most, the largest overlap first.
  private func matchBest(_ target: UnsafeMutablePointer<Int32>) {
    open.removeAll(keepingCapacity: true)
    open.append(contentsOf: objects.indices)
    while !open.isEmpty {
      var winner: (box: Int, place: Int, overlap: Float)?
      for box in 0..<priors.count where target[box] == Int32(BoxMatcher.negative) {
        for (place, object) in open.enumerated() {
          let overlap = overlaps[box * objects.count + object]
          if overlap > 0, overlap > winner?.overlap ?? 0 { winner = (box, place, overlap) }
        }
      }
      guard let winner else { return }
      target[winner.box] = Int32(objects[open[winner.place]])
      best[winner.box] = winner.overlap
      open.remove(at: winner.place)
    }
  }

  private func matchOthers(_ target: UnsafeMutablePointer<Int32>) {
    for box in 0..<priors.count where target[box] == Int32(BoxMatcher.negative) {
      var winner: (object: Int, overlap: Float)?
      for object in objects.indices {
        let overlap = overlaps[box * objects.count + object]
        if overlap > 0, overlap >= param.overlapThreshold, overlap > winner?.overlap ?? 0 { winner = (object, overlap) }
      }
      guard let winner else { continue }
      target[box] = Int32(objects[winner.object])
      best[box] = winner.overlap
    }
  }

  /// Leaves out all negatives but those that cost most; with HARD_EXAMPLE also the matched boxes that cost less.
  private func mine(
    _ image: Int, _ bottoms: [Blob], _ target: UnsafeMutablePointer<Int32>,
    _ cost: (_ box: Int, _ object: Int) -> Double
  ) {
    let takesAll = param.miningType == .hardExample
    mined.removeAll(keepingCapacity: true)
    isPicked.removeAll(keepingCapacity: true)
    var matches = 0
    for box in 0..<priors.count {
      isPicked.append(false)
      if target[box] >= 0 { matches += 1 }
      guard takesAll || (target[box] == Int32(BoxMatcher.negative) && best[box] < param.negOverlap) else { continue }
      mined.append((Float(cost(box, max(Int(target[box]), BoxMatcher.negative))), box))
    }
    let wanted = takesAll ? Float(param.sampleSize) : Float(matches) * param.negPosRatio
    // Costs that are no numbers come first, so that the loss shows them.
    mined.sort { $0.cost > $1.cost || ($0.cost.isNaN && !$1.cost.isNaN) }
    pick(min(mined.count, Int(min(max(wanted, 0), 0x1p30))), image, bottoms)
    for box in 0..<priors.count where !isPicked[box] && (takesAll || target[box] < 0) {
      target[box] = Int32(BoxMatcher.leftOut)
    }
  }

  /// The first `count` of the mined boxes; with `nms_param`, of those that overlap none before them by more than it says.
  private func pick(_ count: Int, _ image: Int, _ bottoms: [Blob]) {
    guard param.hasNmsParam, param.nmsParam.nmsThreshold > 0 else {
      for candidate in mined.prefix(count) { isPicked[candidate.box] = true }
      return
    }
    let nms = param.nmsParam
    picked.removeAll(keepingCapacity: true)
    for candidate in mined.prefix(nms.hasTopK && nms.topK > -1 ? Int(nms.topK) : mined.count) {
      guard picked.count < count else { return }
      let prior = priors.box(bottoms[2].values, candidate.box)
      let box =
        param.usePriorForNms
        ? prior
        : boxCode.decode(
          bottoms[0].values + (image * priors.count + candidate.box) * 4, prior: prior,
          variance: priors.variance(bottoms[2].values, candidate.box))
      guard picked.allSatisfy({ box.overlap($0) <= nms.nmsThreshold }) else { continue }
      picked.append(box)
      isPicked[candidate.box] = true
    }
  }
}
