import Diagnostics
import Tensors

/// Makes the operations that layers are built from.
///
/// Two engines exist: the reference, plain loops over plain layouts and the oracle of every test, and the CPU engine
/// made of oneDNN and OpenBLAS. A layer never knows which one it runs on. An op is made once, when a layer is bound, for
/// fixed shapes; its functions then run without allocating.
///
/// Common to all ops:
/// - `bottomLayout` is what the op wants to read, `topLayout` what it writes; a gradient has the layout of its blob.
/// - Functions named `backward…` that write a bottom gradient overwrite it; parameter gradients are added to through
///   `Parameter.accumulate`.
/// - `workspaceByteCount` bytes keep what forward leaves for backward; `scratchByteCount` bytes are free between calls.
/// - `implementation` names the kernel for plans and timings.
package protocol Engine: AnyObject {
  /// `reference` or `cpu`.
  var name: String { get }
  /// The threads that its operations use.
  var threadCount: Int { get }
  /// Whether its ops run on blobs without values, such as a batch of 0.
  var takesEmptyBlobs: Bool { get }

  /// Calls `body(from, to)` for pieces of 0 ..< `count` that cover it, in parallel when it is worth it.
  ///
  /// How the range is cut depends only on `count`, `grain` and the thread count. Pieces have at least `grain` elements,
  /// unless `count` is smaller.
  func parallel(_ count: Int, grain: Int, _ body: (_ from: Int, _ to: Int) -> Void)

  /// C (M x N) = alpha A (M x K) B (K x N) + beta C; row-major, each of A and B transposed when asked, `beta` 0
  /// overwrites whatever C held.
  func multiply(
    _ description: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  )

  /// Elementwise functions over plain vectors; see `VectorOps`.
  var vectors: any VectorOps { get }

  func reorder(shape: Shape, from: Layout, to: Layout) throws -> any ReorderOp
  func convolution(_ description: ConvolutionDescription) throws -> any ConvolutionOp
  func innerProduct(_ description: InnerProductDescription) throws -> any InnerProductOp
  func pooling(_ description: PoolingDescription, bottom: Layout) throws -> any PoolingOp
  func rectifier(_ description: RectifierDescription, layout: Layout) throws -> any RectifierOp
  func localResponse(_ description: LocalResponseDescription, bottom: Layout) throws -> any LocalResponseOp
  func batchNorm(_ description: BatchNormDescription, bottom: Layout) throws -> any BatchNormOp
  func sum(_ description: SumDescription, bottom: Layout) throws -> any SumOp
  func concat(_ description: ConcatDescription, bottoms: [Layout]) throws -> any ConcatOp
  func softmax(_ description: SoftmaxDescription) throws -> any SoftmaxOp
}

/// What `Engine.multiply` computes.
package struct MatrixProduct: Hashable, Sendable {
  package var m: Int
  package var n: Int
  package var k: Int
  package var transposeA: Bool
  package var transposeB: Bool
  package var alpha: Float
  package var beta: Float

  package init(
    m: Int, n: Int, k: Int, transposeA: Bool = false, transposeB: Bool = false, alpha: Float = 1, beta: Float = 0
  ) {
    self.m = m
    self.n = n
    self.k = k
    self.transposeA = transposeA
    self.transposeB = transposeB
    self.alpha = alpha
    self.beta = beta
  }
}

/// Elementwise functions and reductions over plain float32 vectors of `count` elements. `x` and `y` may be the same
/// memory. Reductions add in an order that depends only on `count` and the thread count.
package protocol VectorOps: Sendable {
  /// y = alpha x + beta y; `beta` 0 overwrites.
  func axpby(_ count: Int, _ alpha: Float, _ x: UnsafePointer<Float>, _ beta: Float, _ y: UnsafeMutablePointer<Float>)
  /// z = x * y
  func multiply(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ z: UnsafeMutablePointer<Float>)
  /// y = e^x
  func exponential(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>)
  /// y = ln x
  func logarithm(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>)
  /// y = tanh x
  func hyperbolicTangent(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>)
  /// dx = dy (1 - y^2), y the hyperbolic tangent; dx and dy may be the same memory.
  func hyperbolicTangentBackward(
    _ count: Int, _ y: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>)
  /// dx = dy where x > 0, -dy where x < 0, 0 at 0; dx and dy may be the same memory.
  func absoluteBackward(
    _ count: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>)
  /// The sum of x * y, added in double precision.
  func dot(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Double
  /// The sum of x, added in double precision.
  func sum(_ count: Int, _ x: UnsafePointer<Float>) -> Double
  /// The sum of |x|, added in double precision.
  func absoluteSum(_ count: Int, _ x: UnsafePointer<Float>) -> Double
  /// Whether every element is finite.
  func isFinite(_ count: Int, _ x: UnsafePointer<Float>) -> Bool
}
