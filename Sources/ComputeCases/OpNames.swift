import Compute
import Tensors

extension OpCase.Operation {
  /// What tells this operation from the others of the list, in the words of the format.
  var name: String {
    switch self {
    case .convolution(let d): d.name
    case .innerProduct(let d): d.name
    case .pooling(let d): d.name
    case .rectifier(let d): "rectifier \(d.shape), slope \(d.negativeSlope)"
    case .localResponse(let d):
      "local response \(d.shape), size \(d.size), alpha \(d.alpha), beta \(d.beta), k \(d.k)"
    case .batchNorm(let d):
      "batch norm \(d.shape)" + d.statisticsName
        + (d.epsilon == 1e-5 ? "" : ", epsilon \(d.epsilon)")
    case .sum(let d):
      "sum of \(d.coefficients.count) x \(d.shape)"
        + (d.coefficients.allSatisfy { $0 == 1 } ? "" : ", coefficients \(d.coefficients)")
        + (d.rectifies ? ", rectified" : "")
    case .concat(let d):
      "concat \(d.bottomShapes.map(\.description).joined(separator: " ")), axis \(d.axis)"
    case .softmax(let d): "softmax \(d.outer) x \(d.channels) x \(d.inner)"
    case .product(let d):
      "product \(d.m)x\(d.n)x\(d.k) \(d.transposeA ? "T" : "N")\(d.transposeB ? "T" : "N")"
        + (d.alpha == 1 ? "" : ", alpha \(d.alpha)") + (d.beta == 0 ? "" : ", beta \(d.beta)")
    }
  }
}

extension BatchNormDescription {
  fileprivate var statisticsName: String {
    var name =
      switch statistics {
      case .batch: ""
      case .given: ", given statistics"
      case .none: ", no statistics"
      }
    if hasScale { name += ", scale" }
    if hasShift { name += ", shift" }
    if rectifies { name += ", rectified" }
    return name
  }
}

extension ConvolutionDescription {
  fileprivate var name: String {
    var name = isTransposed ? "deconvolution" : "convolution"
    name += " \(bottomShape) to \(topShape), kernel \(Shape(kernel))"
    if stride.contains(where: { $0 != 1 }) { name += ", stride \(Shape(stride))" }
    if padBefore.contains(where: { $0 != 0 }) { name += ", pad \(Shape(padBefore))" }
    if dilation.contains(where: { $0 != 1 }) { name += ", dilation \(Shape(dilation))" }
    if groups > 1 { name += ", \(groups) groups" }
    if !hasBias { name += ", no bias" }
    if hasAddend { name += ", added to a blob" }
    if rectifies { name += ", rectified" }
    if !learns { name += ", frozen" }
    if !bottomGradient { name += ", no bottom gradient" }
    return name
  }
}

extension InnerProductDescription {
  fileprivate var name: String {
    "inner product \(bottomShape) in \(rows) rows to \(outputs)" + (isTransposed ? ", transposed" : "")
      + (hasBias ? "" : ", no bias") + (learns ? "" : ", frozen")
  }
}

extension PoolingDescription {
  fileprivate var name: String {
    var name = "\(method == .max ? "max" : "average") pooling \(bottomShape) to \(topShape), kernel \(Shape(kernel))"
    name += ", stride \(Shape(stride))"
    if pad.contains(where: { $0 != 0 }) { name += ", pad \(Shape(pad))" }
    if excludesPadding { name += ", without padding" }
    if wantsMask { name += ", mask" }
    if !bottomGradient { name += ", forward only" }
    return name
  }
}
