import Compute
import ComputeCases
import Testing

/// Runs every pass of a case on both engines and expects the same results: the largest difference at most `tolerance`
/// times the blob's largest value, NaN in the same places, and masks equal.
func compare(
  engine: any Engine, against oracle: any Engine, case opCase: OpCase, offer: OpRun.Offer = .plain,
  isInPlace: Bool = false, inputs: OpInputs? = nil, tolerance: Float = 1e-4,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let run = try OpRun(opCase, on: engine, offer: offer, isInPlace: isInPlace)
  let expected = try OpRun(opCase, on: oracle, isInPlace: isInPlace)
  #expect(run.passes == expected.passes, sourceLocation: sourceLocation)
  let inputs = inputs ?? opCase.inputs()
  run.load(inputs)
  expected.load(inputs)
  for pass in expected.passes {
    run.run(pass)
    expected.run(pass)
    for (result, expectedResult) in zip(run.results(of: pass), expected.results(of: pass)) {
      let fault = discrepancy(
        result.values, from: expectedResult.values, tolerance: result.name == "mask" ? 0 : tolerance)
      #expect(
        fault == nil, "\(engine.name) (\(run.implementation)), \(pass.rawValue), \(result.name)",
        sourceLocation: sourceLocation)
    }
  }
}

/// How `values` depart from `expected`, or nil when they do not: `tolerance` is relative to the largest finite value.
/// NaN and the infinities must be met exactly.
func discrepancy(_ values: [Float], from expected: [Float], tolerance: Float) -> String? {
  guard values.count == expected.count else { return "\(values.count) values instead of \(expected.count)" }
  let largest = expected.lazy.filter(\.isFinite).map(abs).max() ?? 0
  var worst: (index: Int, error: Float)?
  for index in expected.indices {
    let (a, b) = (values[index], expected[index])
    if a == b || (a.isNaN && b.isNaN) { continue }
    let error = a.isFinite && b.isFinite ? abs(a - b) : .infinity
    if error > tolerance * largest, error > worst?.error ?? 0 { worst = (index, error) }
  }
  return worst.map { "element \($0.index) is \(values[$0.index]) instead of \(expected[$0.index]), largest \(largest)" }
}

/// Runs all passes of an operation on given inputs; results by name.
func answers(_ operation: OpCase.Operation, _ inputs: OpInputs, on engine: TestedEngine) throws -> [String: [Float]] {
  let run = try OpRun(OpCase(.small, operation), on: engine.make())
  run.load(inputs)
  var answers: [String: [Float]] = [:]
  for pass in run.passes {
    run.run(pass)
    for result in run.results(of: pass) { answers[result.name] = result.values }
  }
  return answers
}

/// Expects each named result to be as worked out by hand, to rounding.
func expect(
  _ answers: [String: [Float]], _ expected: [String: [Float]], tolerance: Float = 2e-6,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  for (name, values) in expected {
    let fault = discrepancy(answers[name] ?? [], from: values, tolerance: tolerance)
    #expect(fault == nil, "\(name)", sourceLocation: sourceLocation)
  }
}
