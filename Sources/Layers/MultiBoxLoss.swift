import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The loss of SSD (Liu et al., ECCV 2016): what the boxes' locations cost (`loc_weight` times) and what their classes
/// cost, over the default boxes that are matched to an object and, of the others, the hardest negatives.
///
/// Bottoms: locations N x (boxes 4), confidences N x (boxes `num_classes`), default boxes 1 x 2 x (boxes 4), objects 1 x 1
/// x M x 8 (image, class, instance, xmin, ymin, xmax, ymax, difficult; image -1 or NaN, or class NaN: no object). With
/// `share_location: false` locations are N x (boxes `num_classes` 4), of which a box takes those of its object's class.
/// Locations and confidences take a gradient. Each object takes the default box that overlaps it most, and with
/// `match_type: PER_PREDICTION` also all that overlap it by `overlap_threshold`. `mining_type: MAX_NEGATIVE` adds
/// `neg_pos_ratio` negatives for each match, those of overlap below `neg_overlap` whose background costs most;
/// HARD_EXAMPLE takes, of all boxes, the `sample_size` that cost most, and the other matches count for nothing; NONE takes
/// all. `nms_param` leaves out mined boxes that overlap a harder one by more than its threshold, the predicted boxes or,
/// with `use_prior_for_nms`, the default ones. Costs: smooth L1 or L2 (half the square); softmax, or logistic over the
/// classes. The sum is divided by the matches (`normalization: VALID`, the default), N (BATCH_SIZE), N boxes (FULL) or not
/// (NONE).
package struct MultiBoxLoss: NormalizedLoss {
  package static let type = "MultiBoxLoss"
  package static let parameterFields: [String]? = ["multibox_loss_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 4...4
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: MultiBoxLossParameter
  private let normalization: LossNormalization
  private let code: BoxCode
  /// Of MultiBoxFocalLoss; nil for plain costs.
  private let focal: FocalCost?

  package init(_ fields: LayerFields) throws { try self.init(fields, focal: nil) }

  init(_ fields: LayerFields, focal: FocalCost?) throws {
    self.fields = fields
    self.focal = focal
    param = fields.parameter.multiboxLossParam
    normalization = try LossNormalization(fields, default: .valid)
    code = try BoxCode(fields, param.codeType, usesVariance: true, at: "multibox_loss_param.code_type")
    let place = "multibox_loss_param."
    try fields.refuse(
      fields.parameter.lossParam.hasIgnoreLabel, "loss_param.ignore_label", "objects have their classes")
    try fields.refuse(
      param.confLossType == .focalsoftmax, place + "conf_loss_type", "take a MultiBoxFocalLoss layer with SOFTMAX")
    guard param.shareLocation || (param.miningType == .none && param.usePriorForMatching) else {
      throw fields.fault(
        "share_location: false goes with mining_type: NONE and use_prior_for_matching: true",
        at: place + "share_location")
    }
    guard param.miningType != .hardExample || param.sampleSize > 0 else {
      throw fields.fault("sample_size must be at least 1", at: place + "sample_size")
    }
    try fields.refuse(param.encodeVarianceInTarget, place + "encode_variance_in_target", "codes are over the variance")
    try fields.refuse(param.hasObjectnessScore, place + "objectness_score", "boxes are matched as in SSD")
    try fields.refuse(param.ignoreDifficultGt, place + "ignore_difficult_gt", "give use_difficult_gt: false")
    try fields.refuse(param.hasUsePolygon && param.usePolygon, place + "use_polygon", "objects are boxes")
    guard param.numClasses > 0, param.backgroundLabelID < param.numClasses else {
      throw fields.fault("num_classes must be given, and background_label_id be one of them", at: "multibox_loss_param")
    }
    guard param.negPosRatio >= 0 else {
      throw fields.fault("neg_pos_ratio must not be below 0", at: place + "neg_pos_ratio")
    }
    guard !param.mapObjectToAgnostic || (param.shareLocation && param.backgroundLabelID + 1 < param.numClasses) else {
      throw fields.fault(
        "map_object_to_agnostic needs a class behind the background, and share_location",
        at: place + "map_object_to_agnostic")
    }
    guard !param.hasDoNegMining || param.doNegMining == (param.miningType != .none) else {
      throw fields.fault("do_neg_mining contradicts mining_type; give the latter", at: place + "do_neg_mining")
    }
  }

  package var normalizationMode: LossParameter.NormalizationMode { normalization.mode }

  package func takesGradient(bottom index: Int) -> Bool { index < 2 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let priors = try DefaultBoxes(fields, priors: bottoms[2], bottom: 2)
    let (images, classes) = (bottoms[0].extent(0), Int(param.numClasses))
    let locations = param.shareLocation ? 1 : classes
    guard bottoms[0].count == images * priors.count * locations * 4, bottoms[1].count == images * priors.count * classes
    else {
      throw fields.fault(
        .badShape,
        "\(priors.count) default boxes and \(classes) classes do not fit locations \(bottoms[0]) and confidences \(bottoms[1])"
      )
    }
    guard bottoms[3].rank >= 2, bottoms[3].dims.last == 8 else {
      throw fields.fault(.badShape, "needs objects of 8 numbers each, but they are \(bottoms[3])", at: "bottom[3]")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = (0..<4).map { binding.bottom($0) }
    binding.backwardReads(bottoms: bottoms)
    let priors = try DefaultBoxes(fields, priors: binding.bottomShapes[2], bottom: 2)
    return Run(
      param, normalization, focal, BoxMatcher(fields, param, code, priors), bottoms, binding.top(0),
      targets: binding.workspace(bottoms[0].shape.extent(0) * priors.count * MemoryLayout<Int32>.stride))
  }

  private final class Run: LossRun {
    private let param: MultiBoxLossParameter
    private let normalization: LossNormalization
    private let focal: FocalCost?
    private let matcher: BoxMatcher
    private let bottoms: [Blob]
    private let loss: Blob
    /// Per image and box: the object that it is matched to, or what `BoxMatcher` says of the others (Int32).
    private let targets: Region
    private let images: Int
    private let boxes: Int
    private let classes: Int
    private(set) var labelledCount = 0

    init(
      _ param: MultiBoxLossParameter, _ normalization: LossNormalization, _ focal: FocalCost?, _ matcher: BoxMatcher,
      _ bottoms: [Blob], _ loss: Blob, targets: Region
    ) {
      self.param = param
      self.normalization = normalization
      self.focal = focal
      self.matcher = matcher
      self.bottoms = bottoms
      self.loss = loss
      self.targets = targets
      images = bottoms[0].shape.extent(0)
      boxes = matcher.priors.count
      classes = Int(param.numClasses)
    }

    private var target: UnsafeMutablePointer<Int32> { targets.pointer.assumingMemoryBound(to: Int32.self) }

    private var normalizer: Float {
      normalization.divisor(LabelCounts(labelled: labelledCount, records: images), positions: boxes)
    }

    func forward() throws {
      labelledCount = 0
      var sum = 0.0
      for image in 0..<images {
        try matcher.match(image, bottoms, target + image * boxes) { box, object in
          let cost = confidenceCost(image, box, object, nil)
          return object >= 0 ? cost + locationCost(image, box, object) : cost
        }
        for box in 0..<boxes {
          let object = Int(target[image * boxes + box])
          guard object != BoxMatcher.leftOut else { continue }
          if object >= 0 {
            labelledCount += 1
            sum += Double(param.locWeight) * locationCost(image, box, object)
          }
          sum += confidenceCost(image, box, object, focal)
        }
      }
      loss.values[0] = Float(sum) / normalizer
    }

    /// The differences between what is predicted and what should be; 0 where `bp_inside` leaves a corner out.
    private func difference(_ image: Int, _ box: Int, _ object: Int) -> SIMD4<Float> {
      let predicted = bottoms[0].values + matcher.location(image, box, object, bottoms)
      let wanted = matcher.code(of: object, box, bottoms)
      var difference = SIMD4(predicted[0], predicted[1], predicted[2], predicted[3]) - wanted
      if param.bpInside {
        let prior = matcher.candidate(image, box, bottoms)
        let corners = SIMD4(prior.xMin, prior.yMin, prior.xMax, prior.yMax)
        for k in 0..<4 where corners[k] < 0 || corners[k] > 1 { difference[k] = 0 }
      }
      return difference
    }

    private func locationCost(_ image: Int, _ box: Int, _ object: Int) -> Double {
      let difference = difference(image, box, object)
      var sum: Float = 0
      for k in 0..<4 {
        let magnitude = abs(difference[k])
        sum += param.locLossType == .l2 || magnitude < 1 ? 0.5 * magnitude * magnitude : magnitude - 0.5
      }
      return Double(sum)
    }

    /// The class that a box should have; nil when none, for negatives of a logistic loss that are not mined.
    private func label(_ object: Int) -> Int? {
      if object >= 0 {
        return param.mapObjectToAgnostic ? Int(param.backgroundLabelID) + 1 : matcher.label(of: object, bottoms)
      }
      return param.confLossType == .logistic && param.miningType == .none ? nil : Int(param.backgroundLabelID)
    }

    private func confidenceCost(_ image: Int, _ box: Int, _ object: Int, _ focal: FocalCost?) -> Double {
      let x = bottoms[1].values + (image * boxes + box) * classes
      guard param.confLossType == .logistic else {
        let probability = softmax(x).probability(label(object) ?? 0)
        return Double(focal.map { $0.cost(probability) } ?? FocalCost.crossEntropy(probability))
      }
      let wanted = label(object)
      var sum: Float = 0
      for c in 0..<classes { sum += max(x[c], 0) - (c == wanted ? x[c] : 0) + logf(1 + expf(-abs(x[c]))) }
      return Double(sum)
    }

    func backward() {
      let factor = loss.gradients[0] / normalizer
      for position in 0..<(images * boxes) {
        let object = Int(target[position])
        if bottoms[0].hasGradient { addLocation(position, object, factor * param.locWeight) }
        if bottoms[1].hasGradient { addConfidence(position, object, factor) }
      }
    }

    private func addLocation(_ position: Int, _ object: Int, _ factor: Float) {
      let width = param.shareLocation ? 4 : 4 * classes
      (bottoms[0].gradients + position * width).update(repeating: 0, count: width)
      guard object >= 0 else { return }
      let (image, box) = (position / boxes, position % boxes)
      let difference = difference(image, box, object)
      let gradient = bottoms[0].gradients + matcher.location(image, box, object, bottoms)
      for k in 0..<4 {
        let d = difference[k]
        gradient[k] = factor * (param.locLossType == .l2 || abs(d) < 1 ? d : d > 0 ? 1 : -1)
      }
    }

    private func addConfidence(_ position: Int, _ object: Int, _ factor: Float) {
      let x = bottoms[1].values + position * classes
      let gradient = bottoms[1].gradients + position * classes
      guard object != BoxMatcher.leftOut else {
        gradient.update(repeating: 0, count: classes)
        return
      }
      let wanted = label(object)
      if param.confLossType == .logistic {
        for c in 0..<classes { gradient[c] = factor * (1 / (1 + expf(-x[c])) - (c == wanted ? 1 : 0)) }
        return
      }
      let softmax = softmax(x)
      let slope = focal.map { $0.slope(softmax.probability(wanted ?? 0)) } ?? -1
      for c in 0..<classes {
        gradient[c] = factor * slope * ((c == wanted ? 1 : 0) - softmax.probability(c))
      }
    }

    /// What the probabilities of a box's classes are made of.
    private struct Softmax {
      let scores: UnsafePointer<Float>
      let largest: Float
      let sum: Float

      func probability(_ label: Int) -> Float { expf(scores[label] - largest) / sum }
    }

    private func softmax(_ scores: UnsafePointer<Float>) -> Softmax {
      var largest = scores[0]
      for c in 1..<max(1, classes) where scores[c] > largest { largest = scores[c] }
      var sum: Float = 0
      for c in 0..<classes { sum += expf(scores[c] - largest) }
      return Softmax(scores: scores, largest: largest, sum: sum)
    }
  }

  package static let examples: [LayerExample] = [
    example("all boxes", "mining_type: NONE"),
    example(
      "L2 and logistic, coded by centres",
      "mining_type: NONE loc_loss_type: L2 conf_loss_type: LOGISTIC code_type: CENTER_SIZE"),
    example("hard negatives", "mining_type: MAX_NEGATIVE neg_pos_ratio: 2", checksGradient: false),
    example("hard examples", "mining_type: HARD_EXAMPLE sample_size: 3", checksGradient: false),
    example(
      "hard examples apart from each other",
      "mining_type: HARD_EXAMPLE sample_size: 6 use_prior_for_nms: true nms_param { nms_threshold: 0.2 top_k: 7 }",
      priors: "variance: 5", checksGradient: false),
    example("a difficult object", "mining_type: NONE use_difficult_gt: true", difficult: 1),
    example(
      "another background, inside the image, weighted",
      "mining_type: NONE background_label_id: 1 loc_weight: 2.5 bp_inside: true ignore_cross_boundary_bbox: true",
      "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 3 }"),
    example(
      "one box an object, any class", "mining_type: NONE match_type: BIPARTITE map_object_to_agnostic: true",
      "loss_param { normalize: false }"),
    example(
      "matched as predicted", "mining_type: MAX_NEGATIVE use_prior_for_matching: false neg_overlap: 0.2",
      checksGradient: false),
    example("locations of each class", "mining_type: NONE share_location: false", locations: 96),
  ]

  /// One object of image 0, and default boxes on a grid of 2 x 2.
  ///
  /// - Parameter locations: of an image.
  static func example(
    _ name: String, type: String = type, _ param: String, _ more: String = "", priors: String = "",
    difficult: Float = 0,
    locations: Int = 32, checksGradient: Bool = true
  ) -> LayerExample {
    func column(_ top: String, _ value: Float) -> String {
      """
      layer { name: "\(top)" type: "DummyData" top: "\(top)"
        dummy_data_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 } data_filler { value: \(value) } } }

      """
    }
    let columns = [0, 2, 0, 0.1, 0.1, 0.5, 0.6, difficult].enumerated().map { column("c\($0)", $1) }.joined()
    let bottoms = (0..<8).map { #"bottom: "c\#($0)""# }.joined(separator: " ")
    return LayerExample(
      name, inputs: [.normal([2, locations]), .normal([2, 24])],
      """
      \(columns)layer { name: "objects" type: "Concat" \(bottoms) top: "objects" concat_param { axis: 3 } }
      layer { name: "map" type: "DummyData" top: "map" dummy_data_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
      layer { name: "priors" type: "PriorBox" bottom: "map" top: "priors"
        prior_box_param { min_size: 20 max_size: 30 img_size: 40 \(priors) } }
      layer { name: "loss" type: "\(type)" bottom: "in0" bottom: "in1" bottom: "priors" bottom: "objects" top: "loss"
        multibox_loss_param { num_classes: 3 overlap_threshold: 0.3 \(param) } \(more) }
      """, checksGradient: checksGradient)
  }
}
