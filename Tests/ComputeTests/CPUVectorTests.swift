import Compute
import ComputeCPU
import Foundation
import Tensors
import Testing

@Suite struct CPUVectorTests {
  private let vectors: any VectorOps

  init() throws { vectors = try CPUEngine(threads: 2).vectors }

  /// Every 4099th float, from one infinity to the other, NaN and what is below the normal range among them.
  private static let sample = stride(from: UInt32(0), to: .max - 4099, by: 4099).map { Float(bitPattern: $0) }

  /// The distance in units of the last place of the exact result, of the smallest float near zero.
  private func error(_ value: Float, _ exact: Double) -> Double {
    let rounded = Float(exact)
    if value == rounded || (value.isNaN && exact.isNaN) { return 0 }
    guard value.isFinite, rounded.isFinite else { return .infinity }
    return abs(Double(value) - exact) / Double(max(rounded.ulp, .leastNonzeroMagnitude))
  }

  @Test func exponentialIsExactToTwoPlaces() {
    let x = CPUVectorTests.sample
    var y = [Float](repeating: 0, count: x.count)
    vectors.exponential(x.count, x, &y)
    #expect(zip(x, y).map { error($1, exp(Double($0))) }.max() ?? 0 < 2)
  }

  @Test func logarithmIsExactToTwoPlaces() {
    let x = CPUVectorTests.sample
    var y = [Float](repeating: 0, count: x.count)
    vectors.logarithm(x.count, x, &y)
    #expect(zip(x, y).map { error($1, log(Double($0))) }.max() ?? 0 < 2)
  }

  /// Long enough for several pieces, and with a rest.
  @Test(arguments: [1, 15, 16, 17, 33, 100_003])
  func reductionsAreExactAndRepeatable(_ count: Int) {
    let stream = RandomStream(seed: 7)
    let x = (0..<count).map { stream.uniform($0) - 0.5 }
    let y = (0..<count).map { stream.uniform(count + $0) - 0.5 }
    var (sum, absoluteSum, dot) = (0.0, 0.0, 0.0)
    for i in 0..<count {
      sum += Double(x[i])
      absoluteSum += Double(abs(x[i]))
      dot += Double(x[i]) * Double(y[i])
    }
    let tolerance = 1e-13 * Double(count)
    #expect(abs(vectors.sum(count, x) - sum) < tolerance)
    #expect(abs(vectors.absoluteSum(count, x) - absoluteSum) < tolerance)
    #expect(abs(vectors.dot(count, x, y) - dot) < tolerance)
    #expect(vectors.dot(count, x, y) == vectors.dot(count, x, y))
  }

  @Test func faultsAreFoundInEveryPiece() {
    var x = [Float](repeating: 1, count: 100_000)
    #expect(vectors.isFinite(x.count, x))
    for place in [0, 49_999, 50_000, 99_999] {
      x[place] = .nan
      #expect(!vectors.isFinite(x.count, x))
      x[place] = 1
    }
  }

  /// A thread that does not own the pool runs the same pieces one after the other, so that sums are the same.
  @Test func otherThreadsComputeTheSame() async throws {
    let engine = try CPUEngine(threads: 2)
    let stream = RandomStream(seed: 9)
    let x = (0..<100_003).map { stream.uniform($0) }
    let vectors = engine.vectors
    let here = vectors.sum(x.count, x)
    let there = await withCheckedContinuation { continuation in
      Thread { continuation.resume(returning: vectors.sum(x.count, x)) }.start()
    }
    #expect(here == there)
  }

  @Test(arguments: [1, 2, 3])
  func rangesAreCutByCountGrainAndThreads(_ threads: Int) throws {
    let engine = try CPUEngine(threads: threads)
    let lock = NSLock()
    for (count, grain, pieces) in [(100, 100, 1), (100, 51, 1), (100, 50, 2), (99, 10, 3), (0, 1, 0), (1000, 1, 64)] {
      nonisolated(unsafe) var seen: [Range<Int>] = []
      engine.parallel(count, grain: grain) { from, to in
        lock.withLock { seen.append(from..<to) }
      }
      let expected = min(pieces, threads)
      #expect(seen.count == expected)
      let sorted = seen.sorted { $0.lowerBound < $1.lowerBound }
      #expect(sorted == (0..<expected).map { count * $0 / expected..<count * ($0 + 1) / expected })
    }
  }

  /// A parallel loop inside another runs in the thread that it is in.
  @Test func nestedLoopsRunSerially() throws {
    let engine = try CPUEngine(threads: 2)
    let lock = NSLock()
    nonisolated(unsafe) var total = 0
    engine.parallel(4, grain: 1) { from, to in
      let outer = pthread_self()
      for _ in from..<to {
        engine.parallel(10, grain: 1) { first, last in
          #expect(pthread_equal(outer, pthread_self()) != 0)
          lock.withLock { total += last - first }
        }
      }
    }
    #expect(total == 40)
  }
}
