import ComputeReference
import Nets
import Testing

@testable import mtl

@Suite struct TimeTableTests {
  /// Invented times: step i of a direction takes i + 1 ms in the first pass, three times as long in the second, twice in
  /// the third.
  private func times(_ net: Net) -> StepTimes {
    func seconds(_ count: Int) -> [[Double]] { (0..<count).map { i in [1, 3, 2].map { 0.001 * Double(i + 1) * $0 } } }
    return StepTimes(forward: seconds(net.forwardSteps.count), backward: seconds(net.backwardSteps.count))
  }

  @Test func stepsBetweenLayersHaveRowsBehindTheirMakers() throws {
    let net = try SmallNet.make(.train)
    let rows = TimedRow.rows(of: net, times(net))
    #expect(
      rows.map { "\($0.name) \($0.type)" } == [
        "data DummyData", "conv Convolution", "relu ReLU", "flat Flatten", "flat_sum sum", "a InnerProduct",
        "b InnerProduct", "loss_a SoftmaxWithLoss", "loss_a_seed seed", "loss_b SoftmaxWithLoss", "loss_b_seed seed",
      ])
    #expect(rows.map(\.isData) == [true] + [Bool](repeating: false, count: 10))
    #expect(rows.flatMap(\.directions).count == net.forwardSteps.count + net.backwardSteps.count)
  }

  @Test func countsMultiplyAddsByDirection() throws {
    let net = try SmallNet.make(.train)
    let rows = TimedRow.rows(of: net, times(net))
    let conv = try #require(rows.first { $0.name == "conv" })
    // 2 images, 3 channels of 4 x 4, 9 products each; nobody wants the data's gradient.
    #expect(conv.forward?.multiplyAdds == 2 * 3 * 16 * 9)
    #expect(conv.backward?.multiplyAdds == 2 * 3 * 16 * 9)
    let a = try #require(rows.first { $0.name == "a" })
    #expect(a.forward?.multiplyAdds == 2 * 48 * 4)
    #expect(a.backward?.multiplyAdds == 2 * (2 * 48 * 4))
    let flat = try #require(rows.first { $0.name == "flat" })
    #expect(flat.forward?.byteCount == 0)
  }

  @Test func tellsMedianShareAndRates() throws {
    let net = try SmallNet.make(.test)
    let times = times(net)
    let table = TimeTable(
      rows: TimedRow.rows(of: net, times), times: times, rates: MachineRates(product: 1e6, copy: 1e6))
    let lines = table.layers.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
    #expect(lines.count == 2 + net.forwardSteps.count)
    // 864 multiply-adds in 4 ms of 72 ms, the reads and writes of relu, 768 bytes, in 6.
    #expect(lines[3] == "conv Convolution 4.000 2.000 - - 5.6 % 1.728 0 - 43.2 % -")
    #expect(lines[4] == "relu ReLU 6.000 3.000 - - 8.3 % 0.768 - - - 0.0")
    let totals = table.totals.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
    #expect(totals[2].hasPrefix("forward 72.000 36.000"))
    #expect(totals[3].hasPrefix("backward 0.000 0.000"))
    #expect(totals[4].hasPrefix("forward+backward 72.000 36.000"))
    #expect(totals[5].hasPrefix("without data layers 70.000 35.000"))
  }

  @Test(arguments: [([], 0), ([3], 3), ([3, 1], 2), ([5, 1, 2], 2), ([4, 1, 3, 2], 2.5)] as [([Double], Double)])
  func medianIsTheMiddle(_ values: [Double], _ middle: Double) { #expect(median(values) == middle) }

  @Test func ratesArePositiveAndSetTheLimit() {
    let rates = MachineRates(product: 200, copy: 10)
    #expect(rates.limit(multiplyAdds: 100, byteCount: 1000) == 1)
    #expect(rates.limit(multiplyAdds: 0, byteCount: 1000) == 100)
    let measured = MachineRates(of: ReferenceEngine())
    #expect(measured.product > 0 && measured.product.isFinite && measured.copy > 0 && measured.copy.isFinite)
  }
}
