import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// The region proposals of Faster R-CNN (Ren, He, Girshick, Sun, NIPS 2015), as py-faster-rcnn's Python class
/// `rpn.proposal_layer.ProposalLayer` makes them: anchors moved by the predictions, cut at the image's border, those
/// too small left out, and of those that overlap by more than 0.7 the best kept.
///
/// Bottoms: scores 1 x 2A x H x W (background, then object), box predictions 1 x 4A x H x W, and the image's height, width
/// and scale 1 x 3 (what stands behind is not read). Tops: regions R x 5 (0, x1, y1, x2, y2 in pixels), best first; optionally their scores R x 1. R is at
/// most 300 (2000 in TRAIN), of the 6000 (12000) of highest score, as that project ships it. `param_str` gives
/// `feat_stride`, the pixels between positions (16), and `scales` (8, 16, 32), each for `ratios` 1/2, 1 and 2. Bottoms of
/// another number of anchors, as of projects that changed the class itself, have shapes and do not run. Nothing takes a
/// gradient.
struct RegionProposals: Sendable {
  private static let overlap: Float = 0.7
  /// The least width and height, in pixels of the image before it was scaled.
  private static let leastSize: Float = 16

  private let fields: LayerFields
  private let stride: Float
  private let anchors: [Box]
  private let considered: Int
  private let kept: Int

  static func isMeant(by param: PythonParameter) -> Bool {
    param.layer == "ProposalLayer" && param.module.split(separator: ".").last == "proposal_layer"
  }

  init(_ fields: LayerFields) throws {
    self.fields = fields
    let arguments = PythonArguments(fields.parameter.pythonParam.paramStr)
    stride = Float(arguments.count("feat_stride") ?? 16)
    anchors = RegionProposals.anchors(
      scales: arguments.list("scales") ?? [8, 16, 32], ratios: arguments.list("ratios") ?? [0.5, 1, 2])
    (considered, kept) = fields.phase == .train ? (12_000, 2000) : (6000, 300)
    guard fields.parameter.bottom.count == 3, (1...2).contains(fields.parameter.top.count) else {
      throw fields.fault("takes scores, box predictions and im_info, and makes regions and, if asked, their scores")
    }
  }

  /// Of base size 16, around its centre; ratio by ratio, each in all scales.
  private static func anchors(scales: [Double], ratios: [Double]) -> [Box] {
    ratios.flatMap { ratio in
      let width = (256 / ratio).squareRoot().rounded(.toNearestOrEven)
      let height = (width * ratio).rounded(.toNearestOrEven)
      return scales.map { scale in
        let (halfWidth, halfHeight) = (Float(width * scale - 1) / 2, Float(height * scale - 1) / 2)
        return Box(xMin: 7.5 - halfWidth, yMin: 7.5 - halfHeight, xMax: 7.5 + halfWidth, yMax: 7.5 + halfHeight)
      }
    }
  }

  /// The anchors at each place by the bottoms; nil when these do not go together.
  private static func anchorCount(_ bottoms: [Shape]) -> Int? {
    guard bottoms[0].rank == 4, bottoms[0][0] == 1, bottoms[0][1] % 2 == 0, bottoms[1].rank == 4,
      bottoms[1].dims == [1, 2 * bottoms[0][1]] + bottoms[0].dims[2...], bottoms[2].count >= 3
    else { return nil }
    return bottoms[0][1] / 2
  }

  private func fault(_ bottoms: [Shape]) -> Diagnostic? {
    let count = RegionProposals.anchorCount(bottoms)
    guard let count else {
      return fields.fault(
        .badShape,
        "needs scores 1 x \(2 * anchors.count) x H x W, boxes 1 x \(4 * anchors.count) x H x W and im_info 1 x 3, but they "
          + "are " + bottoms.map(\.description).joined(separator: ", "))
    }
    guard count != anchors.count else { return nil }
    return fields.fault(
      .unsupported,
      "the bottoms are of \(count) anchors a place, and param_str tells \(anchors.count); give its 'scales' and 'ratios'",
      at: "python_param.param_str")
  }

  func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    var warnings: [Diagnostic] = []
    if var fault = fault(bottoms) {
      guard fault.code == .unsupported else { throw fault }
      fault.severity = .warning
      warnings = [fault]
    }
    return LayerShapes(
      tops: Array([[kept, 5], [kept, 1]].prefix(fields.parameter.top.count)), varyingAxis: 0, warnings: warnings)
  }

  func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let fault = fault(binding.bottomShapes) { throw fault }
    guard let rows = binding.liveRows else { preconditionFailure("the number of proposals varies") }
    return Run(
      self, (0..<3).map { binding.bottom($0) }, regions: binding.top(0),
      scores: binding.topShapes.count > 1 ? binding.top(1) : nil, rows)
  }

  private final class Run: LayerRun {
    private let layer: RegionProposals
    private let bottoms: [Blob]
    private let regions: Blob
    private let scores: Blob?
    private let rows: LiveRows
    /// Kept from pass to pass for their memory.
    private var boxes: [(score: Float, box: Box)] = []
    private var found: [(score: Float, box: Box)] = []

    init(_ layer: RegionProposals, _ bottoms: [Blob], regions: Blob, scores: Blob?, _ rows: LiveRows) {
      self.layer = layer
      self.bottoms = bottoms
      self.regions = regions
      self.scores = scores
      self.rows = rows
      boxes.reserveCapacity(bottoms[0].count / 2)
    }

    func forward() {
      collect()
      boxes.sort { $0.score > $1.score }
      found.removeAll(keepingCapacity: true)
      for candidate in boxes.prefix(layer.considered) {
        guard found.allSatisfy({ Run.overlap(candidate.box, $0.box) <= RegionProposals.overlap }) else { continue }
        found.append(candidate)
        if found.count == layer.kept { break }
      }
      rows.count = found.count
      regions.values.update(repeating: 0, count: regions.count)
      scores?.values.update(repeating: 0, count: scores?.count ?? 0)
      for (index, proposal) in found.enumerated() {
        let row = regions.values + 5 * index
        (row[1], row[2], row[3], row[4]) = (proposal.box.xMin, proposal.box.yMin, proposal.box.xMax, proposal.box.yMax)
        scores?.values[index] = proposal.score
      }
    }

    /// The boxes that are large enough; those that are no numbers are left out.
    private func collect() {
      let (height, width) = (bottoms[0].shape[2], bottoms[0].shape[3])
      let (plane, count) = (height * width, layer.anchors.count)
      let image = bottoms[2].values
      let least = RegionProposals.leastSize * image[2]
      boxes.removeAll(keepingCapacity: true)
      for place in 0..<plane {
        let (x, y) = (Float(place % width) * layer.stride, Float(place / width) * layer.stride)
        for anchor in 0..<count {
          let score = bottoms[0].values[(count + anchor) * plane + place]
          let code = bottoms[1].values + 4 * anchor * plane + place
          let box = Run.moved(
            layer.anchors[anchor], by: [code[0], code[plane], code[2 * plane], code[3 * plane]], from: (x, y))
          let cut = Box(
            xMin: max(min(box.xMin, image[1] - 1), 0), yMin: max(min(box.yMin, image[0] - 1), 0),
            xMax: max(min(box.xMax, image[1] - 1), 0), yMax: max(min(box.yMax, image[0] - 1), 0))
          if cut.width + 1 >= least, cut.height + 1 >= least, !score.isNaN { boxes.append((score, cut)) }
        }
      }
    }

    /// A box whose last pixels count.
    private static func moved(_ anchor: Box, by code: SIMD4<Float>, from start: (x: Float, y: Float)) -> Box {
      let (width, height) = (anchor.width + 1, anchor.height + 1)
      let x = code[0] * width + start.x + anchor.xMin + width / 2
      let y = code[1] * height + start.y + anchor.yMin + height / 2
      let (halfWidth, halfHeight) = (expf(code[2]) * width / 2, expf(code[3]) * height / 2)
      return Box(xMin: x - halfWidth, yMin: y - halfHeight, xMax: x + halfWidth, yMax: y + halfHeight)
    }

    private static func overlap(_ a: Box, _ b: Box) -> Float {
      let width = max(0, min(a.xMax, b.xMax) - max(a.xMin, b.xMin) + 1)
      let height = max(0, min(a.yMax, b.yMax) - max(a.yMin, b.yMin) + 1)
      let common = width * height
      return common / ((a.width + 1) * (a.height + 1) + (b.width + 1) * (b.height + 1) - common)
    }
  }
}
