import Compute
import Glibc
import Tensors
import Testing

@Suite struct VectorTests {
  /// Long enough for every vector width, with a rest.
  private static let count = 67

  private func values(_ part: UInt64) -> [Float] {
    let stream = RandomStream(seed: 4, part)
    return (0..<VectorTests.count).map { 4 * stream.uniform($0) - 2 }
  }

  @Test(arguments: TestedEngine.allCases)
  func axpby(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let x = values(0)
    var y = values(1)
    let expected = zip(x, y).map { 2 * $0 + 3 * $1 }
    vectors.axpby(x.count, 2, x, 3, &y)
    #expect(discrepancy(y, from: expected, tolerance: 1e-6) == nil)
    var overwritten = [Float](repeating: .nan, count: x.count)
    vectors.axpby(x.count, 2, x, 0, &overwritten)
    #expect(overwritten == x.map { 2 * $0 })
  }

  @Test(arguments: TestedEngine.allCases)
  func elementwiseFunctions(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let (x, y) = (values(0), values(1))
    var z = [Float](repeating: .nan, count: x.count)
    vectors.multiply(x.count, x, y, &z)
    #expect(z == zip(x, y).map { $0 * $1 })
    vectors.exponential(x.count, x, &z)
    #expect(zip(z, x).allSatisfy { abs($0 - expf($1)) <= 1e-6 * expf($1) })
    vectors.logarithm(x.count, x.map(abs), &z)
    #expect(zip(z, x).allSatisfy { abs($0 - logf(abs($1))) <= 1e-6 * max(1, abs(logf(abs($1)))) })
  }

  @Test(arguments: TestedEngine.allCases)
  func functionsOfExtremes(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let x: [Float] = [0, -.infinity, .infinity, .nan, 1000, -1000]
    var y = [Float](repeating: 0, count: x.count)
    vectors.exponential(x.count, x, &y)
    #expect(discrepancy(y, from: [1, 0, .infinity, .nan, .infinity, 0], tolerance: 0) == nil)
    vectors.logarithm(4, [0, 1, .infinity, -1], &y)
    #expect(discrepancy(Array(y[..<4]), from: [-.infinity, 0, .infinity, .nan], tolerance: 0) == nil)
  }

  /// Near 0, where the formula would lose its digits, in between, and where it is 1; with a rest of a vector.
  @Test(arguments: TestedEngine.allCases)
  func hyperbolicTangents(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let x: [Float] = (-100...100).flatMap { [Float($0) * 1e-5, Float($0) * 1e-2, Float($0) * 0.2] }
    var y = [Float](repeating: .nan, count: x.count)
    vectors.hyperbolicTangent(x.count, x, &y)
    #expect(zip(y, x).allSatisfy { abs($0 - tanhf($1)) <= 3e-7 * abs(tanhf($1)) })
    let dy = values(1)
    let count = min(dy.count, y.count)
    var dx = [Float](repeating: .nan, count: count)
    vectors.hyperbolicTangentBackward(count, y, dy, &dx)
    for i in 0..<count {
      let expected = dy[i] * (1 - y[i] * y[i])
      #expect(abs(dx[i] - expected) <= 1e-6 * abs(dy[i]))
    }
    let extremes: [Float] = [-.infinity, .infinity, .nan, -1000, 1000, 0]
    vectors.hyperbolicTangent(extremes.count, extremes, &y)
    #expect(discrepancy(Array(y[..<6]), from: [-1, 1, .nan, -1, 1, 0], tolerance: 0) == nil)
  }

  @Test(arguments: TestedEngine.allCases)
  func absoluteValuesBackward(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let pattern: [Float] = [3, -3, 0, -0, .infinity, -.infinity, .nan]
    let slopes: [Float] = [2, 2, 2, 2, -2, -2, 2]
    let expected: [Float] = [2, -2, 0, 0, -2, 2, .nan]
    // Several vectors and a rest.
    let x = (0..<35).map { pattern[$0 % 7] }
    let dy = (0..<35).map { slopes[$0 % 7] }
    var dx = [Float](repeating: 1, count: 35)
    vectors.absoluteBackward(35, x, dy, &dx)
    #expect(discrepancy(dx, from: (0..<35).map { expected[$0 % 7] }, tolerance: 0) == nil)
  }

  @Test(arguments: TestedEngine.allCases)
  func functionsInPlace(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let x = values(0)
    let memory = Memory(byteCount: x.count * MemoryLayout<Float>.stride)
    let y = memory.base.assumingMemoryBound(to: Float.self)
    y.update(from: x, count: x.count)
    vectors.exponential(x.count, y, y)
    #expect((0..<x.count).allSatisfy { abs(y[$0] - expf(x[$0])) <= 1e-6 * expf(x[$0]) })
    y.update(from: x, count: x.count)
    vectors.multiply(x.count, y, y, y)
    #expect((0..<x.count).allSatisfy { y[$0] == x[$0] * x[$0] })
  }

  /// In float32 the small numbers would vanish beside the large ones.
  @Test(arguments: TestedEngine.allCases)
  func sumsAreMadeInDoublePrecision(_ engine: TestedEngine) throws {
    let vectors = try engine.make().vectors
    let x: [Float] = [1e8, 1, -1e8, 1] + [Float](repeating: 0.25, count: 4)
    #expect(vectors.sum(x.count, x) == 3)
    #expect(vectors.absoluteSum(x.count, x) == 200_000_003)
    #expect(vectors.dot(x.count, x, [1, 1, 1, 1, 2, 2, 2, 2]) == 4)
    #expect(vectors.sum(0, x) == 0)
  }

  @Test(arguments: TestedEngine.allCases, [Float.nan, .infinity, -.infinity])
  func findsWhatIsNotFinite(_ engine: TestedEngine, _ fault: Float) throws {
    let vectors = try engine.make().vectors
    var x = values(0)
    #expect(vectors.isFinite(x.count, x))
    for place in [0, 31, x.count - 1] {
      let kept = x[place]
      x[place] = fault
      #expect(!vectors.isFinite(x.count, x))
      x[place] = kept
    }
    x[3] = .greatestFiniteMagnitude
    #expect(vectors.isFinite(x.count, x))
  }
}
