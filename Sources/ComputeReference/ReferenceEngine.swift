import Compute
import Diagnostics
import Tensors

/// Plain loops over plain layouts on one thread: slow, obvious, and what every other engine is tested against.
///
/// Products are added up in float32 in the order of their formula, as Caffe's are, so that its published numbers can be
/// compared; statistics, norms and averages are added up in double precision. It reads and writes `Layout.plain` only.
package final class ReferenceEngine: Engine {
  package let name = "reference"
  package let takesEmptyBlobs = true
  package let threadCount = 1
  package let vectors: any VectorOps = ReferenceVectors()
  private let product = ReferenceProduct()

  package init() {}

  /// One piece: the whole range.
  package func parallel(_ count: Int, grain: Int, _ body: (_ from: Int, _ to: Int) -> Void) {
    if count > 0 { body(0, count) }
  }

  package func multiply(
    _ description: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) {
    product.multiply(description, a, b, c)
  }

  package func reorder(shape: Shape, from: Layout, to: Layout) throws -> any ReorderOp {
    requirePlain(from, to)
    return ReferenceReorder(count: shape.count)
  }

  /// - Throws: `unsupported` for more than three spatial axes.
  package func convolution(_ description: ConvolutionDescription) throws -> any ConvolutionOp {
    try requireSpatialAxes(description.kernel.count, "a convolution")
    return ReferenceConvolution(description)
  }

  package func innerProduct(_ description: InnerProductDescription) throws -> any InnerProductOp {
    ReferenceInnerProduct(description, engine: self)
  }

  /// - Throws: `unsupported` for more than three spatial axes.
  package func pooling(_ description: PoolingDescription, bottom: Layout) throws -> any PoolingOp {
    requirePlain(bottom)
    try requireSpatialAxes(description.kernel.count, "a pooling")
    return switch description.method {
    case .max: ReferenceMaxPooling(description)
    case .average: ReferenceAveragePooling(description)
    }
  }

  package func rectifier(_ description: RectifierDescription, layout: Layout) throws -> any RectifierOp {
    requirePlain(layout)
    return ReferenceRectifier(description)
  }

  package func localResponse(_ description: LocalResponseDescription, bottom: Layout) throws -> any LocalResponseOp {
    requirePlain(bottom)
    return ReferenceLocalResponse(description)
  }

  package func batchNorm(_ description: BatchNormDescription, bottom: Layout) throws -> any BatchNormOp {
    requirePlain(bottom)
    return ReferenceBatchNorm(description)
  }

  package func sum(_ description: SumDescription, bottom: Layout) throws -> any SumOp {
    requirePlain(bottom)
    return ReferenceSum(description)
  }

  package func concat(_ description: ConcatDescription, bottoms: [Layout]) throws -> any ConcatOp {
    for bottom in bottoms { requirePlain(bottom) }
    return ReferenceConcat(description)
  }

  package func softmax(_ description: SoftmaxDescription) throws -> any SoftmaxOp {
    ReferenceSoftmax(description)
  }

  private func requirePlain(_ layouts: Layout...) {
    for layout in layouts {
      precondition(layout.isPlain, "the reference engine was handed the layout \(layout.name) of another engine")
    }
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
