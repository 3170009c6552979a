import Compute
import Nets
import Tensors

/// A layer that makes each value of its top from the same value of its bottom.
///
/// It gives its function and the derivative over vectors; the shape rule and the run come from here. The functions are
/// called for short pieces that stay in the nearest cache, so that they may pass over a piece several times.
package protocol ElementwiseLayer: Layer {
  /// Whether the function takes 0 to 0. It then runs in any layout: the zeros that pad one stay zeros.
  var keepsZero: Bool { get }
  /// What backward reads.
  var reads: ElementwiseReads { get }

  /// Computes `y` from `x`, which may be the same memory.
  func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece)
  /// Computes `dx`, which may be `dy`'s memory; of `values`, only what `reads` says is there.
  func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece)
}

/// The data that the derivative of an elementwise function is computed from.
package enum ElementwiseReads: Sendable {
  case nothing, bottom, top
}

/// A piece's bottom and top; see `ElementwiseLayer.reads`.
package struct ElementwiseValues {
  let bottom: UnsafePointer<Float>
  let top: UnsafePointer<Float>
}

/// A run of neighbouring values, with room for as many more.
package struct ElementwisePiece {
  /// 1 KiB of floats: the largest allocation that is sure to be on the stack.
  static let length = 256

  let count: Int
  let scratch: UnsafeMutablePointer<Float>
  let vectors: any VectorOps
}

extension ElementwiseLayer {
  package static var bottomCount: ClosedRange<Int> { 1...1 }
  package static var topCount: ClosedRange<Int> { 1...1 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let offered = binding.bottomLayout(0)
    let layout = keepsZero && offered.holdsFloats ? offered : .plain
    let bottom = binding.bottom(0, in: layout)
    let top = binding.top(0, in: layout)
    binding.backwardReads(bottoms: reads == .bottom ? [bottom] : [], tops: reads == .top ? [top] : [])
    binding.allowInPlace(bottom, top)
    return ElementwiseRun(self, binding.engine, bottom, top)
  }
}

private final class ElementwiseRun<Definition: ElementwiseLayer>: LayerRun {
  private let definition: Definition
  private let engine: any Engine
  private let bottom: Blob
  private let top: Blob
  /// Of the memory, padding included.
  private let count: Int

  init(_ definition: Definition, _ engine: any Engine, _ bottom: Blob, _ top: Blob) {
    self.definition = definition
    self.engine = engine
    self.bottom = bottom
    self.top = top
    count = bottom.layout.byteCount(for: bottom.shape) / MemoryLayout<Float>.stride
  }

  func forward() {
    let x = bottom.data.assumingMemoryBound(to: Float.self)
    let y = top.data.assumingMemoryBound(to: Float.self)
    forEachPiece { [definition] at, piece in definition.forward(x + at, y + at, piece) }
  }

  func backward() {
    let x = bottom.data.assumingMemoryBound(to: Float.self)
    let y = top.data.assumingMemoryBound(to: Float.self)
    let dx = bottom.gradient.assumingMemoryBound(to: Float.self)
    let dy = top.gradient.assumingMemoryBound(to: Float.self)
    forEachPiece { [definition] at, piece in
      definition.backward(ElementwiseValues(bottom: x + at, top: y + at), dy + at, dx + at, piece)
    }
  }

  private func forEachPiece(_ body: (_ at: Int, _ piece: ElementwisePiece) -> Void) {
    let vectors = engine.vectors
    engine.parallel(count, grain: 4096) { from, to in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: ElementwisePiece.length) { scratch in
        guard let base = scratch.baseAddress else { return }
        for at in stride(from: from, to: to, by: ElementwisePiece.length) {
          let count = min(ElementwisePiece.length, to - at)
          body(at, ElementwisePiece(count: count, scratch: base, vectors: vectors))
        }
      }
    }
  }
}

extension LayerExample {
  /// One bottom of a few sizes through a layer without parameters but those in `fields`.
  static func elementwise(
    _ name: String, _ type: String, _ fields: String = "", input: Input = .normal([2, 3, 4, 5]), inPlace: Bool = false
  ) -> LayerExample {
    LayerExample(
      name, inputs: [input],
      #"layer { name: "f" type: "\#(type)" bottom: "in0" top: "\#(inPlace ? "in0" : "f")" \#(fields) }"#)
  }
}
