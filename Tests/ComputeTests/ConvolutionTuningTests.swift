import Compute
import ComputeCPU
import ComputeCases
import ComputeReference
import Diagnostics
import Foundation
import Tensors
import Testing

/// Which algorithm computes a convolution, by rule and by measuring.
@Suite struct ConvolutionTuningTests {
  private static func convolution(_ bottom: [Int], to channels: Int, _ kernel: Int) -> ConvolutionDescription {
    ConvolutionDescription(
      batch: bottom[0], bottomChannels: bottom[1], topChannels: channels, bottomExtents: [bottom[2], bottom[3]],
      topExtents: [bottom[2], bottom[3]], kernel: [kernel, kernel], stride: [1, 1],
      padBefore: [kernel / 2, kernel / 2], dilation: [1, 1], hasBias: true)
  }

  @Test func theRuleChoosesByShape() throws {
    let engine = try CPUEngine(threads: 2)
    #expect(try engine.convolution(Self.convolution([8, 20, 12, 12], to: 50, 5)).implementation == "patches")
    #expect(try engine.convolution(Self.convolution([8, 64, 14, 14], to: 64, 5)).implementation.contains("jit"))
    // Too few channels or tiles for Winograd's algorithm.
    for shape in [[1, 64, 7, 7], [8, 16, 14, 14]] {
      let chosen = try engine.convolution(Self.convolution(shape, to: shape[1], 3)).implementation
      let direct = try CPUEngine(threads: 2, convolutions: .direct).convolution(
        Self.convolution(shape, to: shape[1], 3))
      #expect(chosen == direct.implementation)
    }
  }

  @Test func whatWasMeasuredIsKept() throws {
    let description = Self.convolution([2, 20, 8, 8], to: 24, 3)
    let measured = ConvolutionTuning(measures: true)
    let first = try CPUEngine(threads: 2, tuning: measured).convolution(description)
    #expect(measured.choices.count == 1)
    let read = try ConvolutionTuning(encoded: measured.encoded(), file: "run_tuning.json", measures: false)
    #expect(read.choices == measured.choices)
    let second = try CPUEngine(threads: 2, tuning: read).convolution(description)
    #expect(first.implementation == second.implementation)
    #expect(first.bottomLayout == second.bottomLayout)
  }

  @Test func whatTheFileSaysIsDone() throws {
    let measured = ConvolutionTuning(measures: true)
    let description = Self.convolution([2, 20, 8, 8], to: 24, 3)
    _ = try CPUEngine(threads: 2, tuning: measured).convolution(description)
    let key = try #require(measured.choices.keys.first)
    for (algorithm, isPatches) in [("patches", true), ("direct", false)] {
      let entry = #"{"backwardData":"\#(algorithm)","backwardWeights":"\#(algorithm)","forward":"\#(algorithm)"}"#
      let tuning = try ConvolutionTuning(
        encoded: Data(#"{"\#(key)":\#(entry)}"#.utf8), file: "run_tuning.json", measures: false)
      let op = try CPUEngine(threads: 2, tuning: tuning).convolution(description)
      #expect((op.implementation == "patches") == isPatches)
    }
  }

  @Test func unknownConvolutionsFollowTheRule() throws {
    let tuning = ConvolutionTuning(measures: false)
    let engine = try CPUEngine(threads: 2, tuning: tuning)
    #expect(try engine.convolution(Self.convolution([8, 20, 12, 12], to: 50, 5)).implementation == "patches")
    #expect(tuning.choices.isEmpty)
  }

  @Test func aDamagedFileIsRefused() {
    let fault = #expect(throws: Diagnostic.self) {
      try ConvolutionTuning(encoded: Data("{".utf8), file: "run_tuning.json", measures: false)
    }
    #expect(
      fault?.message
        == "run_tuning.json is not a file of convolution algorithms; delete it to measure them anew with --tune")
  }
}
