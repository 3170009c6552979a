import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The connectionist temporal classification loss (Graves, Fernández, Gomez, Schmidhuber, ICML 2006): the mean over the
/// streams of -ln of the probability of a stream's labels, summed over all ways to spread them over the steps with blanks
/// in between and repetitions.
///
/// Bottoms: scores T x N x `alphabet_size` (softmax is taken here; with `time_step` T, also as (T N) x `alphabet_size`),
/// labels N x L, those that are blank or NaN being left out; a stream whose labels are all NaN is not labelled. The blank is
/// `blank_label`, or `blank_index` of another fork, whose -1 is the last class. The labels take no gradient. A stream whose
/// labels do not fit into T steps counts for nothing. Further bottoms, marks of where sequences end, are not supported, nor
/// other ways to count repetitions.
package struct CTCLoss: RefusedLayer {
  package static let type = "CtcLoss"
  package static let parameterFields: [String]? = ["ctc_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...4
  package static let topCount = 1...1

  private let alignment: CTCAlignment
  package let refusal: Diagnostic?

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.ctcLossParam
    alignment = CTCAlignment(
      fields, blank: param.hasBlankLabel ? Int(param.blankLabel) : param.blankIndex < 0 ? nil : Int(param.blankIndex),
      steps: Int(param.timeStep), classes: Int(param.alphabetSize))
    refusal =
      fields.refusal(fields.parameter.bottom.count > 2, "bottom", "sequences fill all steps")
      ?? fields.refusal(param.outputDelay != 0, "ctc_loss_param.output_delay", "labels may stand at any step")
      ?? fields.refusal(
        param.preprocessCollapseRepeated, "ctc_loss_param.preprocess_collapse_repeated", "prepare the labels")
      ?? fields.refusal(!param.ctcMergeRepeated, "ctc_loss_param.ctc_merge_repeated", "repetitions are merged")
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }
  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if refusal == nil { _ = try alignment.extents(of: bottoms) }
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    return try alignment.bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "blank first", inputs: [.normal([5, 2, 4]), .labels([2, 2], classes: 4)],
      """
      layer { name: "c" type: "CtcLoss" bottom: "in0" bottom: "in1" top: "c"
        ctc_loss_param { blank_label: 0 alphabet_size: 4 } }
      """),
    LayerExample(
      "blank last, rows of one step", inputs: [.normal([4, 3]), .labels([4, 1], classes: 3)],
      """
      layer { name: "c" type: "CtcLoss" bottom: "in0" bottom: "in1" top: "c" ctc_loss_param { time_step: 1 } }
      """),
  ]
}

/// CtcLoss under the name of another fork, with `warpctc_loss_param`.
package struct WarpCtcLoss: Layer {
  package static let type = "WarpCtcLoss"
  package static let parameterFields: [String]? = ["warpctc_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let alignment: CTCAlignment

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.warpctcLossParam
    alignment = CTCAlignment(
      fields, blank: Int(param.blankLabel), steps: Int(param.timeStep), classes: Int(param.alphabetSize))
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }
  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try alignment.extents(of: bottoms)
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try alignment.bind(binding) }

  package static let examples: [LayerExample] = [
    LayerExample(
      "three steps", inputs: [.normal([3, 2, 3]), .labels([2, 1], classes: 3)],
      #"layer { name: "c" type: "WarpCtcLoss" bottom: "in0" bottom: "in1" top: "c" }"#),
    LayerExample(
      "blank last, rows of one step", inputs: [.normal([4, 3]), .labels([4, 1], classes: 3)],
      """
      layer { name: "c" type: "WarpCtcLoss" bottom: "in0" bottom: "in1" top: "c"
        warpctc_loss_param { blank_label: 2 time_step: 1 } }
      """),
  ]
}

/// Labels aligned with steps; see `CTCLoss`.
private struct CTCAlignment: Sendable {
  let fields: LayerFields
  /// nil for the last class.
  let blank: Int?
  /// 0 where the shape tells.
  let steps: Int
  let classes: Int

  init(_ fields: LayerFields, blank: Int?, steps: Int, classes: Int) {
    self.fields = fields
    self.blank = blank
    self.steps = steps
    self.classes = classes
  }

  struct Extents {
    var steps: Int
    var streams: Int
    var classes: Int
    var labels: Int
    var blank: Int
  }

  func extents(of bottoms: [Shape]) throws -> Extents {
    let (scores, labels) = (bottoms[0], bottoms[1])
    guard scores.rank >= 2, labels.rank >= 1 else {
      throw fields.fault(
        .badShape, "needs scores T x N x classes and labels N x L, but they are \(scores) and \(labels)")
    }
    let streams = labels[0]
    let steps = steps > 0 ? steps : scores[0]
    let width = streams * steps > 0 ? scores.count / (streams * steps) : 0
    guard width * streams * steps == scores.count, width > 0, classes == 0 || classes == width else {
      throw fields.fault(
        .badShape,
        "the scores \(scores) are not \(steps) steps of \(streams) streams"
          + (classes > 0 ? " with \(classes) classes" : "") + "; the labels are \(labels)")
    }
    let blank = blank ?? width - 1
    guard (0..<width).contains(blank) else {
      throw fields.fault(.badShape, "the blank, \(blank), is none of the \(width) classes of the scores \(scores)")
    }
    return Extents(steps: steps, streams: streams, classes: width, labels: labels.count(1...), blank: blank)
  }

  func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let extents = try extents(of: binding.bottomShapes)
    let (scores, labels) = (binding.bottom(0), binding.bottom(1))
    binding.backwardReads()
    return CTCRun(
      fields.identity, extents, scores, labels, binding.top(0),
      slopes: binding.workspace(scores.count * MemoryLayout<Float>.stride))
  }
}

/// In logarithms, stream by stream: from the first step the probability of all beginnings, from the last that of all ends.
private final class CTCRun: LossRun {
  private let identity: Diagnostic.Layer
  private let extents: CTCAlignment.Extents
  private let scores: Blob
  private let labels: Blob
  private let top: Blob
  /// The gradient of the sum over the streams, from forward for backward.
  private let slopes: Region
  /// ln of the softmax of one stream: T x classes.
  private var logarithms: [Double]
  /// The labels with blanks around each.
  private var path: [Int] = []
  private var beginnings: [Double]
  private var ends: [Double]
  private(set) var labelledCount = 0

  init(
    _ identity: Diagnostic.Layer, _ extents: CTCAlignment.Extents, _ scores: Blob, _ labels: Blob, _ top: Blob,
    slopes: Region
  ) {
    self.identity = identity
    self.extents = extents
    self.scores = scores
    self.labels = labels
    self.top = top
    self.slopes = slopes
    logarithms = [Double](repeating: 0, count: extents.steps * extents.classes)
    let places = extents.steps * (2 * extents.labels + 1)
    beginnings = [Double](repeating: 0, count: places)
    ends = [Double](repeating: 0, count: places)
    path.reserveCapacity(2 * extents.labels + 1)
  }

  func forward() throws {
    let slopes = self.slopes.pointer.assumingMemoryBound(to: Float.self)
    slopes.update(repeating: 0, count: scores.count)
    labelledCount = 0
    var sum = 0.0
    for stream in 0..<extents.streams {
      guard try readPath(stream) else { continue }
      takeSoftmax(stream)
      let total = align()
      // No way leads through so few steps.
      guard total != -.infinity else { continue }
      labelledCount += 1
      sum -= total
      writeSlopes(stream, total, slopes)
    }
    top.values[0] = Float(sum / Double(max(1, labelledCount)))
  }

  /// Fills `path`. False for a stream that is not labelled.
  private func readPath(_ stream: Int) throws -> Bool {
    path.removeAll(keepingCapacity: true)
    path.append(extents.blank)
    var isLabelled = extents.labels == 0
    for i in 0..<extents.labels {
      let value = labels.values[stream * extents.labels + i]
      if value.isNaN { continue }
      isLabelled = true
      if value == Float(extents.blank) { continue }
      guard value >= 0, value < Float(extents.classes) else {
        throw Diagnostic(
          .badRecord,
          "label \(value) of stream \(stream) is no class: there are \(extents.classes), from 0 to \(extents.classes - 1), "
            + "\(extents.blank) being the blank", layer: identity)
      }
      path.append(Int(value))
      path.append(extents.blank)
    }
    return isLabelled
  }

  private func takeSoftmax(_ stream: Int) {
    for step in 0..<extents.steps {
      let x = scores.values + (step * extents.streams + stream) * extents.classes
      var largest = -Double.infinity
      for c in 0..<extents.classes { largest = max(largest, Double(x[c])) }
      var sum = 0.0
      for c in 0..<extents.classes { sum += exp(Double(x[c]) - largest) }
      let offset = largest + log(sum)
      for c in 0..<extents.classes { logarithms[step * extents.classes + c] = Double(x[c]) - offset }
    }
  }

  /// ln(e^a + e^b)
  private static func add(_ a: Double, _ b: Double) -> Double {
    let (high, low) = a > b ? (a, b) : (b, a)
    return low == -.infinity ? high : high + log1p(exp(low - high))
  }

  /// Whether a way may go from place `at - 2` to `at`, past a blank: not between equal labels.
  private func skips(to at: Int) -> Bool { at >= 2 && path[at] != extents.blank && path[at] != path[at - 2] }

  /// Fills `beginnings` and `ends`. Returns ln of the probability of all ways.
  private func align() -> Double {
    let (steps, places) = (extents.steps, path.count)
    func score(_ step: Int, _ place: Int) -> Double { logarithms[step * extents.classes + path[place]] }
    for step in 0..<steps {
      for place in 0..<places {
        var ways = step == 0 ? (place < 2 ? 0 : -Double.infinity) : beginnings[(step - 1) * places + place]
        if step > 0, place > 0 { ways = CTCRun.add(ways, beginnings[(step - 1) * places + place - 1]) }
        if step > 0, skips(to: place) { ways = CTCRun.add(ways, beginnings[(step - 1) * places + place - 2]) }
        beginnings[step * places + place] = ways + score(step, place)
      }
    }
    for step in (0..<steps).reversed() {
      for place in 0..<places {
        let isLast = step == steps - 1
        var ways = isLast ? (place >= places - 2 ? 0 : -Double.infinity) : ends[(step + 1) * places + place]
        if !isLast, place + 1 < places { ways = CTCRun.add(ways, ends[(step + 1) * places + place + 1]) }
        if !isLast, place + 2 < places, skips(to: place + 2) {
          ways = CTCRun.add(ways, ends[(step + 1) * places + place + 2])
        }
        ends[step * places + place] = ways + score(step, place)
      }
    }
    guard steps > 0 else { return places == 1 ? 0 : -.infinity }
    let last = beginnings[(steps - 1) * places + places - 1]
    return places > 1 ? CTCRun.add(last, beginnings[(steps - 1) * places + places - 2]) : last
  }

  /// softmax - the share of the ways that pass through the class at the step.
  private func writeSlopes(_ stream: Int, _ total: Double, _ slopes: UnsafeMutablePointer<Float>) {
    let places = path.count
    for step in 0..<extents.steps {
      let slope = slopes + (step * extents.streams + stream) * extents.classes
      let logarithm = step * extents.classes
      for c in 0..<extents.classes { slope[c] = Float(exp(logarithms[logarithm + c])) }
      for place in 0..<places {
        // Both count the step itself.
        let ways =
          beginnings[step * places + place] + ends[step * places + place] - logarithms[logarithm + path[place]] - total
        slope[path[place]] -= Float(exp(ways))
      }
    }
  }

  func backward() {
    guard scores.hasGradient else { return }
    let factor = top.hasGradient ? top.gradients[0] / Float(max(1, labelledCount)) : 0
    let slopes = self.slopes.pointer.assumingMemoryBound(to: Float.self)
    for i in 0..<scores.count { scores.gradients[i] = factor * slopes[i] }
  }
}
