import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The tops' shapes of Python layers that many public nets have and that do not run here.
///
/// Sizes that a configuration outside of the net gives are those that its authors ship: py-faster-rcnn's images of 600 x
/// 1000 and 128 regions, FCN's images of 500 x 500, DetectNet's 50 boxes.
struct PythonShapes: Sendable {
  private enum Rule: Sendable {
    case anchorTargets, proposalTargets, regionData, regionSelection, segmentationData, boxList
    /// One value for each top.
    case measure
    /// Each top as the bottom of its place.
    case same
  }

  private static let imageShape: Shape = [1, 3, 600, 1000]
  private static let regions = 128
  private static let segmentationSide = 500
  private static let boxesOfImage = 50

  /// By class.
  private static let rules: [String: Rule] = [
    "AnchorTargetLayer": .anchorTargets, "ProposalTargetLayer": .proposalTargets, "RoIDataLayer": .regionData,
    "RoISelectLayer": .regionSelection, "VOCSegDataLayer": .segmentationData, "SBDDSegDataLayer": .segmentationData,
    "NYUDSegDataLayer": .segmentationData, "SIFTFlowSegDataLayer": .segmentationData,
    "PASCALContextSegDataLayer": .segmentationData, "ClusterDetections": .boxList, "ClusterGroundtruth": .boxList,
    "ScoreDetections": .boxList, "mAP": .measure, "NormVecLayer": .same,
  ]

  private let fields: LayerFields
  private let rule: Rule
  private let arguments: PythonArguments

  /// Nil for a class whose shapes are unknown.
  init?(_ fields: LayerFields) {
    let param = fields.parameter.pythonParam
    let name = param.layer.lowercased()
    let isMeasure = ["loss", "accuracy", "error"].contains { name.contains($0) } && !fields.parameter.bottom.isEmpty
    guard let rule = PythonShapes.rules[param.layer] ?? (isMeasure ? .measure : nil) else { return nil }
    self.fields = fields
    self.rule = rule
    arguments = PythonArguments(param.paramStr)
  }

  func tops(_ bottoms: [Shape]) throws -> [Shape] {
    let names = fields.parameter.top
    switch rule {
    case .measure:
      return names.map { _ in .scalar }
    case .same:
      return try names.indices.map { try bottom($0, bottoms) }
    case .boxList:
      let images = try bottom(0, bottoms).extent(0)
      return names.map { _ in [images, PythonShapes.boxesOfImage, 5] }
    case .anchorTargets:
      let scores = try bottom(0, bottoms)
      guard scores.rank == 4, scores[1] % 2 == 0 else {
        throw fields.fault(.badShape, "needs two scores for each anchor, N x 2A x H x W, but they are \(scores)")
      }
      let boxes: Shape = [scores[0], 2 * scores[1], scores[2], scores[3]]
      return names.indices.map { $0 == 0 ? [scores[0], 1, scores[1] / 2 * scores[2], scores[3]] : boxes }
    case .proposalTargets, .regionData, .segmentationData:
      throw fields.fault(.unsupported, "the shapes of its tops are no more than guesses", at: "python_param")
    case .regionSelection:
      // The best region of each class but the background.
      return names.map { _ in [max(1, (arguments.count("num_class") ?? 2) - 1), 5] }
    }
  }

  /// Of data, whose sizes a configuration decides, and whose tops may have other names than the class's authors gave them.
  func outlines() -> [TopOutline]? {
    if rule == .segmentationData {
      let side = PythonShapes.segmentationSide
      return fields.parameter.top.map { name in
        let channels = ["data", "color", "hha"].contains(name) ? 3 : 1
        return .images(batch: 1, channels: channels).usually([1, channels, side, side])
      }
    }
    guard rule == .regionData || rule == .proposalTargets else { return nil }
    return fields.parameter.top.map { name in
      guard let shape = try? regionBlob(name) else { return .unknown }
      // The configuration decides.
      if name == "data" { return TopOutline.images(batch: 1, channels: 3).usually(shape.dims) }
      if name.contains("bbox") { return TopOutline([shape[0], nil]).usually(shape.dims) }
      return .exactly(shape)
    }
  }

  private func bottom(_ index: Int, _ bottoms: [Shape]) throws -> Shape {
    guard bottoms.indices.contains(index) else {
      throw fields.fault("needs \(index + 1) bottoms, but \(bottoms.count) are given")
    }
    return bottoms[index]
  }

  /// Of py-faster-rcnn, by the names that its code gives them.
  private func regionBlob(_ name: String) throws -> Shape {
    let regions = PythonShapes.regions
    let boxes: Shape = [regions, 4 * (arguments.count("num_classes") ?? 21)]
    switch name {
    case "data": return PythonShapes.imageShape
    case "im_info": return [1, 3]
    case "gt_boxes": return [1, 5]
    case _ where name.contains("rois"): return [regions, 5]
    case _ where name.contains("label"): return [regions, 1, 1, 1]
    case _ where name.contains("bbox"): return boxes
    default:
      throw fields.fault(
        .unsupported, "top '\(name)' is none of py-faster-rcnn's (data, im_info, gt_boxes, rois, labels, bbox_…)",
        at: "top[0]")
    }
  }
}
