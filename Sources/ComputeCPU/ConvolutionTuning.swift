import Compute
import Diagnostics
import Foundation
import Tensors

/// The algorithms of convolutions as they were once measured on a machine. Kept in a file beside a run's snapshots, so that
/// runs that go on from there compute the same numbers bit for bit.
package final class ConvolutionTuning {
  /// By what `key` says of a convolution.
  package private(set) var choices: [String: ConvolutionAlgorithms]
  /// Whether convolutions that are not known yet are measured; otherwise they follow the rule.
  package let measures: Bool

  package init(choices: [String: ConvolutionAlgorithms] = [:], measures: Bool) {
    self.choices = choices
    self.measures = measures
  }

  /// - Throws: a `Diagnostic` when the file is not what `encoded` makes.
  package init(encoded: Data, file: String, measures: Bool) throws {
    do {
      choices = try JSONDecoder().decode([String: ConvolutionAlgorithms].self, from: encoded)
    } catch {
      throw Diagnostic(
        .unreadableFile, "\(file) is not a file of convolution algorithms; delete it to measure them anew with --tune")
    }
    self.measures = measures
  }

  /// JSON with a line for each entry.
  package func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(choices)
  }

  func algorithms(
    _ description: ConvolutionDescription, precision: Precision, threads: Int,
    make: (ConvolutionAlgorithms) throws -> any ConvolutionOp
  ) throws -> ConvolutionAlgorithms? {
    let key = ConvolutionTuning.key(description, precision: precision, threads: threads)
    if let known = choices[key] { return known }
    guard measures else { return nil }
    let fastest = try ConvolutionTuning.fastest(description, precision: precision, make: make)
    choices[key] = fastest
    return fastest
  }

  /// All that the choice depends on.
  private static func key(_ d: ConvolutionDescription, precision: Precision, threads: Int) -> String {
    func list(_ values: [Int]) -> String { values.map(String.init).joined(separator: "x") }
    var parts = [
      "\(d.isTransposed ? "deconvolution" : "convolution") \(d.bottomShape) to \(d.topShape)",
      "kernel \(list(d.kernel))", "stride \(list(d.stride))", "pad \(list(d.padBefore))",
      "dilation \(list(d.dilation))", "group \(d.groups)",
    ]
    if !d.learns { parts.append("frozen") }
    if !d.bottomGradient { parts.append("no bottom gradient") }
    if precision == .bfloat { parts.append("bf16") }
    return parts.joined(separator: ", ") + "; \(threads) thread\(threads == 1 ? "" : "s")"
  }

  private static func fastest(
    _ d: ConvolutionDescription, precision: Precision, make: (ConvolutionAlgorithms) throws -> any ConvolutionOp
  ) throws -> ConvolutionAlgorithms {
    var algorithms: [ConvolutionAlgorithm] = [.direct]
    if WinogradConvolution.canDo(d) { algorithms.append(.winograd) }
    if PatchConvolution.canDo(d) { algorithms.append(.patches) }
    if precision == .bfloat, !d.isTransposed { algorithms.append(.bfloat) }
    if precision == .bfloat, WinogradConvolution.canDo(d) { algorithms.append(.winogradOfHalves) }
    let all = try algorithms.map { algorithm in
      let choice = ConvolutionAlgorithms.all(algorithm)
      return (choice: choice, seconds: try times(d, make(choice)).reduce(0, +))
    }
    return all.min { $0.seconds < $1.seconds }?.choice ?? .all(.direct)
  }

  /// The shortest of three runs of each direction, after one that does not count; 0 for those that are not needed.
  private static func times(_ d: ConvolutionDescription, _ op: any ConvolutionOp) throws -> [Double] {
    let bottom = Memory(byteCount: op.bottomLayout.byteCount(for: d.bottomShape))
    let top = Memory(byteCount: op.topLayout.byteCount(for: d.topShape))
    let scratch = Memory(byteCount: op.scratchByteCount)
    let addend = d.hasAddend ? Memory(byteCount: op.topLayout.byteCount(for: d.topShape)) : nil
    let weights = Parameter(shape: d.weightShape)
    let bias = d.hasBias ? Parameter(shape: [d.topChannels]) : nil
    func shortest(_ run: () -> Void) -> Double {
      run()
      return (0..<3).map { _ in
        // As in training, where the weights change from one pass to the next.
        weights.touch()
        return ContinuousClock().measure(run) / .seconds(1)
      }.min() ?? 0
    }
    let forward = shortest {
      op.forward(
        bottom: bottom.base, weights: weights, bias: bias, addend: addend.map { UnsafeRawPointer($0.base) },
        top: top.base, scratch: scratch.base)
    }
    let data =
      d.bottomGradient
      ? shortest {
        op.backwardData(topGradient: top.base, weights: weights, bottomGradient: bottom.base, scratch: scratch.base)
      } : 0
    let parameters =
      d.learns
      ? shortest {
        op.backwardParameters(
          bottom: bottom.base, topGradient: top.base, weights: weights, bias: bias, scratch: scratch.base)
      } : 0
    return [forward, data, parameters]
  }
}
