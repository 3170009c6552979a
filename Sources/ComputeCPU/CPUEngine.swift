import CKernels
import Compute
import Diagnostics
import Tensors

/// The fast engine: oneDNN's convolutions, products of oneDNN and OpenBLAS, and kernels of our own where those libraries
/// are slower or do not compute what the format asks for.
///
/// An engine and its ops belong to one thread at a time. The thread that makes the engine owns the thread pool; see
/// `ThreadPool`.
package final class CPUEngine: Engine {
  package let name = "cpu"
  /// oneDNN's primitives do not run without data.
  package let takesEmptyBlobs = false
  package let vectors: any VectorOps
  private let pool: ThreadPool
  private let dnnl: OneDNN
  private let products: Products
  private let convolutionPolicy: ConvolutionPolicy
  private let precision: Precision
  private let tuning: ConvolutionTuning?

  /// - Parameter threads: all that OpenMP allows (`OMP_NUM_THREADS`, else one to a processor) when nil.
  /// - Throws: `badArgument` for a number of threads that cannot be; `machine` when oneDNN cannot be used, or when the
  ///   processor has not the precision.
  package init(
    threads: Int? = nil, convolutions: ConvolutionPolicy = .winograd, precision: Precision = .float,
    tuning: ConvolutionTuning? = nil
  ) throws {
    guard precision == .float || mtl_has_bfloat() else {
      throw Diagnostic(
        .machine, "this processor has no bf16 instructions (avx512_bf16); run without --precision bf16")
    }
    let threads = threads ?? Int(mtl_default_thread_count())
    guard (1...1024).contains(threads) else {
      throw Diagnostic(.badArgument, "\(threads) threads: use 1 to 1024")
    }
    pool = ThreadPool(count: threads)
    vectors = VectorFunctions(pool: pool)
    products = Products(pool: pool)
    dnnl = try OneDNN(pool: pool)
    convolutionPolicy = convolutions
    self.precision = precision
    self.tuning = tuning
  }

  package var threadCount: Int { pool.count }

  /// Gives waiting threads a short patience, by starting the process anew once with `GOMP_SPINCOUNT` in its environment
  /// unless that or `OMP_WAIT_POLICY` is there already. To be called first of all by a program that computes.
  ///
  /// libgomp's own setting makes a waiting thread spin for milliseconds; where other processes want the same processors,
  /// parallel loops then take up to a thousand times longer.
  package static func prepareProcess() { mtl_prepare_process(CommandLine.unsafeArgv) }

  package func parallel(_ count: Int, grain: Int, _ body: (_ from: Int, _ to: Int) -> Void) {
    pool.run(count, grain: grain, body)
  }

  package func multiply(
    _ description: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) {
    products.multiply(description, a, b, c)
  }

  package func reorder(shape: Shape, from: Layout, to: Layout) throws -> any ReorderOp {
    from == to
      ? CPUCopy(byteCount: from.byteCount(for: shape), pool: pool)
      : try CPUReorder(shape: shape, from: from, to: to, dnnl: dnnl)
  }

  /// - Throws: `unsupported` for more than three spatial axes.
  package func convolution(_ description: ConvolutionDescription) throws -> any ConvolutionOp {
    try requireSpatialAxes(description.kernel.count, "a convolution")
    if description.isPlain { return try convolution(description, .all(.direct)) }
    let known = try tuning?.algorithms(description, precision: precision, threads: pool.count) {
      try convolution(description, $0)
    }
    return try convolution(
      description,
      known ?? ConvolutionAlgorithms.rule(description, policy: convolutionPolicy, precision: precision))
  }

  private func convolution(_ description: ConvolutionDescription, _ algorithms: ConvolutionAlgorithms) throws
    -> any ConvolutionOp
  {
    if algorithms.isPatches { return PatchConvolution(description, pool: pool) }
    if algorithms.isWinograd { return WinogradConvolution(description, isHalf: algorithms.isHalf, pool: pool) }
    return try CPUConvolution(description, isHalf: algorithms.isHalf, dnnl: dnnl, vectors: vectors, pool: pool)
  }

  package func innerProduct(_ description: InnerProductDescription) throws -> any InnerProductOp {
    precision == .bfloat && BFloatInnerProduct.suits(description)
      ? BFloatInnerProduct(description, pool: pool) : CPUInnerProduct(description, engine: self)
  }

  /// - Throws: `unsupported` for more than three spatial axes.
  package func pooling(_ description: PoolingDescription, bottom: Layout) throws -> any PoolingOp {
    try requireSpatialAxes(description.kernel.count, "a pooling")
    return CPUPooling(description, bottom: bottom.readable, pool: pool)
  }

  package func rectifier(_ description: RectifierDescription, layout: Layout) throws -> any RectifierOp {
    CPURectifier(description, layout: layout.readable, pool: pool)
  }

  /// - Throws: `unsupported` for a window of more channels than the kernel holds.
  package func localResponse(_ description: LocalResponseDescription, bottom: Layout) throws -> any LocalResponseOp {
    try CPULocalResponse(description, bottom: bottom.readable, pool: pool)
  }

  package func batchNorm(_ description: BatchNormDescription, bottom: Layout) throws -> any BatchNormOp {
    CPUBatchNorm(description, bottom: bottom.readable, pool: pool)
  }

  package func sum(_ description: SumDescription, bottom: Layout) throws -> any SumOp {
    // A gradient has its blob's layout, whichever that is: sums of gradients read halves in all of them.
    CPUSum(description, layout: bottom, pool: pool)
  }

  package func concat(_ description: ConcatDescription, bottoms: [Layout]) throws -> any ConcatOp {
    CPUConcat(description, bottoms: bottoms.map(\.readable), pool: pool)
  }

  package func softmax(_ description: SoftmaxDescription) throws -> any SoftmaxOp {
    CPUSoftmax(description, pool: pool)
  }

  private func requireSpatialAxes(_ count: Int, _ what: String) throws {
    guard (1...3).contains(count) else {
      throw Diagnostic(.unsupported, "\(what) over \(count) spatial axes; 1 to 3 are possible")
    }
  }
}

extension UnsafeRawPointer {
  var floats: UnsafePointer<Float> { assumingMemoryBound(to: Float.self) }
}

extension UnsafeMutableRawPointer {
  var floats: UnsafeMutablePointer<Float> { assumingMemoryBound(to: Float.self) }
}
