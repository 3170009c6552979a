import Compute
import Tensors

private func rectifier(_ shape: Shape, slope: Float = 0) -> OpCase.Operation {
  .rectifier(RectifierDescription(shape: shape, negativeSlope: slope))
}

private func sum(_ shape: Shape, _ coefficients: [Float], rectifies: Bool = false) -> OpCase.Operation {
  .sum(SumDescription(shape: shape, coefficients: coefficients, rectifies: rectifies))
}

private func concat(_ shapes: [Shape], axis: Int) -> OpCase.Operation {
  .concat(ConcatDescription(bottomShapes: shapes, axis: axis))
}

extension OpCase {
  static let smallElementwise: [Operation] = [
    rectifier([2, 16, 5, 5]),
    rectifier([2, 20, 5, 7]),
    rectifier([64, 10]),
    rectifier([2, 3, 4, 5], slope: 0.1),
    rectifier([2, 32, 4, 4], slope: 0.1),
    rectifier([2, 5, 4, 3], slope: -0.5),
    rectifier([7], slope: 0.1),
    sum([2, 16, 5, 5], [1, 1]),
    sum([2, 20, 3, 7], [1, 1]),
    sum([2, 16, 4, 4], [0.5, -1, 2]),
    sum([3, 11], [1, -1]),
    sum([2, 16, 5, 7], [1, 2], rectifies: true),
    sum([2, 3, 4, 4], [2.5]),
    concat([[2, 16, 4, 4], [2, 32, 4, 4]], axis: 1),
    concat([[2, 16, 4, 4], [2, 20, 4, 4], [2, 3, 4, 4]], axis: 1),
    concat([[1, 64, 5, 5], [1, 128, 5, 5], [1, 32, 5, 5], [1, 32, 5, 5]], axis: 1),
    concat([[2, 3, 4, 4], [5, 3, 4, 4]], axis: 0),
    concat([[2, 16, 4, 4], [1, 16, 4, 4]], axis: 0),
    concat([[2, 3, 4, 5], [2, 3, 2, 5]], axis: 2),
    concat([[2, 3, 4, 5], [2, 3, 4, 1]], axis: 3),
    concat([[8, 10], [8, 2], [8, 5]], axis: 1),
    concat([[2, 6, 3, 3]], axis: 1),
  ]

  static let largeElementwise: [Operation] = [
    rectifier([64, 500]),
    rectifier([32, 64, 112, 112]),
    rectifier([32, 256, 27, 27], slope: 0.1),
    sum([32, 64, 56, 56], [1, 1]),
    sum([32, 512, 7, 7], [1, 1]),
    sum([32, 64, 56, 56], [1, 1], rectifies: true),
    concat([[32, 64, 28, 28], [32, 128, 28, 28], [32, 32, 28, 28], [32, 32, 28, 28]], axis: 1),
    concat([[32, 384, 7, 7], [32, 384, 7, 7], [32, 128, 7, 7], [32, 128, 7, 7]], axis: 1),
  ]
}
