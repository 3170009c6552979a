import Tensors

/// top = max(bottom, 0) + negativeSlope min(bottom, 0). NaN goes on as NaN.
package struct RectifierDescription: Hashable, Sendable {
  package var shape: Shape
  package var negativeSlope: Float

  package init(shape: Shape, negativeSlope: Float = 0) {
    self.shape = shape
    self.negativeSlope = negativeSlope
  }
}

/// Bottom and top have one layout and may be the same memory, and so may their gradients.
package protocol RectifierOp: AnyObject {
  var layout: Layout { get }
  var implementation: String { get }

  func forward(bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer)
  /// The gradient passes where `reference` is above 0 and is multiplied by the slope elsewhere. `reference` is the
  /// bottom; with a slope of 0 or more the top serves as well, since both have the same sign.
  func backward(reference: UnsafeRawPointer, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer)
}

/// top = sum over i of coefficients[i] * bottoms[i], and at least 0 with `rectifies`; all of one shape and layout. The top
/// may be the first bottom's memory.
package struct SumDescription: Hashable, Sendable {
  package var shape: Shape
  package var coefficients: [Float]
  package var rectifies: Bool

  package init(shape: Shape, coefficients: [Float], rectifies: Bool = false) {
    self.shape = shape
    self.coefficients = coefficients
    self.rectifies = rectifies
  }
}

package protocol SumOp: AnyObject {
  var layout: Layout { get }
  var implementation: String { get }
  /// `bottoms` has as many entries as there are coefficients.
  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer)
}

/// Bottoms are laid one behind the other along `axis`.
package struct ConcatDescription: Hashable, Sendable {
  package var bottomShapes: [Shape]
  package var axis: Int

  package init(bottomShapes: [Shape], axis: Int) {
    self.bottomShapes = bottomShapes
    self.axis = axis
  }

  package var topShape: Shape {
    var shape = bottomShapes[0]
    shape[axis] = bottomShapes.map { $0[axis] }.reduce(0, +)
    return shape
  }
}

package protocol ConcatOp: AnyObject {
  var bottomLayouts: [Layout] { get }
  var topLayout: Layout { get }
  var implementation: String { get }
  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer)
  /// Copies the part of bottom `index` out of the top's gradient.
  func backward(topGradient: UnsafeRawPointer, index: Int, bottomGradient: UnsafeMutableRawPointer)
}

/// Copies a blob from one layout to another.
package protocol ReorderOp: AnyObject {
  var implementation: String { get }
  func run(from: UnsafeRawPointer, to: UnsafeMutableRawPointer)
}
