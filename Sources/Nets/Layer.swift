import CaffeSchema
import Compute
import Diagnostics
import Tensors

/// A layer's definition: a value with its decoded fields and a shape rule, usable without an engine.
///
/// A layer is one file in `Layers` (or `Records`, for data) and one line of that module's catalogue. `init` decodes and
/// checks the fields that need no shapes, `shapes` infers, `bind` makes the object that runs.
package protocol Layer: Sendable {
  /// The `type` in the prototxt.
  static var type: String { get }
  static var role: LayerRole { get }
  /// The fields of LayerParameter with parameters that the layer reads, such as `convolution_param`. Others are reported
  /// as having no effect; nil where it is not known.
  static var parameterFields: [String]? { get }
  /// How many bottoms and tops the layer takes.
  static var bottomCount: ClosedRange<Int> { get }
  static var topCount: ClosedRange<Int> { get }
  /// Small nets around this layer for the sweep tests (gradients, both engines, in place) and its manual page.
  static var examples: [LayerExample] { get }

  /// - Throws: a `Diagnostic` made by `fields.fault` when a field is missing, out of range or contradicts another.
  init(_ fields: LayerFields) throws

  /// The shapes of tops and parameters for given bottoms.
  ///
  /// - Throws: a `Diagnostic` when the bottoms do not fit, with both shapes in its message.
  func shapes(of bottoms: [Shape]) throws -> LayerShapes

  /// Whether a gradient can be asked for bottom `index`; labels, indices and masks take none.
  func takesGradient(bottom index: Int) -> Bool

  /// `Self.role`, but for definitions that stand for several types.
  var role: LayerRole { get }

  /// Multiplications with addition in one forward pass over bottoms that `shapes` accepts; 0 where other work dominates.
  func multiplyAdds(of bottoms: [Shape]) throws -> Int
  /// The blobs whose entries along `axis` go with each other one by one, so that entry i of the tops comes from entry i of
  /// those bottoms alone; nil (unless a layer says otherwise) where all entries are needed at once. Asked for bottoms of
  /// which each pass decides how many entries there are; see `LiveRows`.
  func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs?

  func bind(_ binding: LayerBinding) throws -> any LayerRun
}

extension Layer {
  package static var role: LayerRole { .transform }
  package var role: LayerRole { Self.role }
  package func multiplyAdds(of bottoms: [Shape]) throws -> Int { 0 }
  package static var parameterFields: [String]? { nil }
  package func takesGradient(bottom index: Int) -> Bool { true }
  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { nil }
}

/// What `Layer.rowwise` says.
package struct RowwiseBlobs: Sendable {
  /// Indices of bottoms and tops; nil for all of them.
  package var bottoms: Set<Int>?
  package var tops: Set<Int>?
  /// Whether those bottoms must have the same rows.
  package var mustAgree: Bool

  package init(bottoms: Set<Int>? = nil, tops: Set<Int>? = nil, mustAgree: Bool = true) {
    self.bottoms = bottoms
    self.tops = tops
    self.mustAgree = mustAgree
  }

  package static let all = RowwiseBlobs()
  /// The layer counts the rows that there are into tops of a fixed size, as a loss does.
  package static let counted = RowwiseBlobs(tops: [])
  /// The layer does not look at rows.
  package static let indifferent = RowwiseBlobs(tops: [], mustAgree: false)
}

/// What a layer is to the net.
package enum LayerRole: Sendable {
  /// Reads records or waits to be fed.
  case data
  /// Computes blobs from blobs.
  case transform
  /// Its first top is an objective: `loss_weight` is 1 unless given, and the label bottoms take no gradient.
  case loss
  /// Its tops tell how good the net is and take no part in training.
  case metric
}

/// What `Layer.shapes` infers.
package struct LayerShapes: Sendable {
  package var tops: [Shape]
  package var parameters: [ParameterDefinition]
  /// The axis along which each pass decides how many entries the tops have, the same for all; `tops` tell the most.
  package var varyingAxis: Int?
  /// What the user should know and does not stop the net: a shape that is a guess, a field without effect.
  package var warnings: [Diagnostic]

  package init(
    tops: [Shape], parameters: [ParameterDefinition] = [], varyingAxis: Int? = nil, warnings: [Diagnostic] = []
  ) {
    self.tops = tops
    self.parameters = parameters
    self.varyingAxis = varyingAxis
    self.warnings = warnings
  }
}

/// A parameter of a layer before it exists.
package struct ParameterDefinition: Sendable {
  /// `weights`, `bias`, `mean`, …: for messages.
  package var name: String
  package var shape: Shape
  package var filler: FillerParameter
  /// Running statistics are written by the layer itself and never by the solver, whatever `lr_mult` says.
  package var isStatistic: Bool

  package init(name: String, shape: Shape, filler: FillerParameter, isStatistic: Bool = false) {
    self.name = name
    self.shape = shape
    self.filler = filler
    self.isStatistic = isStatistic
  }
}

/// A layer bound to an engine, blobs and memory. Its functions allocate nothing.
package protocol LayerRun: AnyObject {
  /// Computes the tops from the bottoms.
  func forward() throws
  /// Overwrites the gradients of those bottoms that have one and adds to those of the parameters that learn.
  func backward() throws
}

extension LayerRun {
  package func backward() throws {}
}

/// A net for the sweep tests: inputs of given shapes, and the layer as prototxt text with bottoms `in0`, `in1`, …
package struct LayerExample: Sendable {
  /// How the values of an input are drawn.
  package enum Input: Sendable {
    /// Normal, mean 0, deviation 1.
    case normal(Shape)
    /// Normal, but no closer to `away` than 0.1, for functions with a kink there.
    case normalAway(Shape, from: Float)
    /// Uniform in a range.
    case uniform(Shape, ClosedRange<Float>)
    /// Whole numbers in 0 ..< classes.
    case labels(Shape, classes: Int)
    /// All different, at least 0.1 apart: for maxima.
    case distinct(Shape)

    package var shape: Shape {
      switch self {
      case .normal(let s), .normalAway(let s, _), .uniform(let s, _), .labels(let s, _), .distinct(let s): s
      }
    }
  }

  package var name: String
  package var inputs: [Input]
  package var prototxt: String
  package var phase: Phase
  /// False where the function is not smooth enough for finite differences.
  package var checksGradient: Bool

  package init(
    _ name: String, inputs: [Input], _ prototxt: String, phase: Phase = .train, checksGradient: Bool = true
  ) {
    self.name = name
    self.inputs = inputs
    self.prototxt = prototxt
    self.phase = phase
    self.checksGradient = checksGradient
  }
}

/// A run that says what does its work, for plans and timings.
package protocol DescribedRun: LayerRun {
  /// The engine's name for its kernel.
  var implementation: String { get }
  /// Multiplications with addition in one forward and in one backward pass; 0 where the time is not theirs.
  var multiplyAdds: (forward: Int, backward: Int) { get }
}

extension DescribedRun {
  package var multiplyAdds: (forward: Int, backward: Int) { (0, 0) }
}

/// A run whose parameters' gradients are made later than the rest of its backward, for several tasks at once.
package protocol TaskwiseRun: LayerRun {
  /// What `backward` does besides the gradients of the parameters.
  func backwardBottoms() throws
}

/// A run that makes the gradients of several tasks for less than one after another.
package protocol TasksAtOnceRun: TaskwiseRun {
  /// Of how many; 1 where nothing is saved.
  var tasksAtOnce: Int { get }
  /// Adds the gradients of `count` tasks to the parameters', after `backwardBottoms` of each. `select(i)` puts the gradients of
  /// the i-th task in their places.
  func backwardParameters(tasks count: Int, select: (Int) -> Void) throws
}

/// A run whose parameters' gradients are products of what it reads and the top's gradient, so that those of several tasks can
/// be compared and added up without being made.
package protocol FactoredRun: TaskwiseRun {
  /// The parameters that it learns; empty where making their gradients is less work.
  var factored: [Parameter] { get }
  /// Hands out the inner product of each pair of the tasks' gradients, i <= j. `select` as in `TasksAtOnceRun`.
  func compare(tasks count: Int, select: (Int) -> Void, _ found: (_ i: Int, _ j: Int, _ product: Double) -> Void)
  /// Adds the sum of the tasks' gradients times their weights to the parameters'.
  func combine(tasks count: Int, select: (Int) -> Void, weight: (Int) -> Float)
}

/// A loss or metric that knows over how many labelled positions its last value was taken, so that several batches can
/// be averaged rightly.
package protocol LossRun: LayerRun {
  var labelledCount: Int { get }
  /// The same of one value of a top, where its values are taken over different positions.
  func labelledCount(top: Int, element: Int) -> Int
}

extension LossRun {
  package func labelledCount(top: Int, element: Int) -> Int { labelledCount }
}

/// A layer that is accepted in nets, so that their shapes can be told, and may not run.
package protocol RefusedLayer: Layer {
  /// What `bind` throws: why not, and what can take its place; nil when it runs.
  var refusal: Diagnostic? { get }
}

/// A loss whose sum is divided by what `loss_param` says.
package protocol NormalizedLoss: Layer {
  var normalizationMode: LossParameter.NormalizationMode { get }
}

/// A run of a layer that reads records, one after another: for epochs, and to name records that are at fault.
package protocol RecordRun: LayerRun {
  /// Where the records come from, for messages.
  var source: String { get }
  /// Records in a round.
  var recordCount: Int { get }
  /// Records in a pass.
  var batchSize: Int { get }
  /// The keys of the records of a pass, in the order of the batch. Not for hot loops.
  func keys(ofPass pass: Int) throws -> [String]
}
