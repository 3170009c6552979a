import Compute
import Tensors

/// The inner products of the tasks' gradients with each other: K x K, symmetric.
package struct GramMatrix: Equatable, Sendable {
  package let count: Int
  /// Row by row.
  package private(set) var values: [Double]

  package init(_ count: Int) {
    self.count = count
    values = [Double](repeating: 0, count: count * count)
  }

  package init(_ rows: [[Double]]) {
    count = rows.count
    values = rows.flatMap { $0 }
    precondition(values.count == count * count)
  }

  package subscript(row: Int, column: Int) -> Double {
    get { values[row * count + column] }
    set { values[row * count + column] = newValue }
  }

  /// Adds to an entry and to its mirror image.
  mutating func add(_ value: Double, _ row: Int, _ column: Int) {
    self[row, column] += value
    if row != column { self[column, row] += value }
  }

  /// The length of a task's gradient.
  package func norm(_ task: Int) -> Double { max(0, self[task, task]).squareRoot() }

  /// The cosine of the angle between two tasks' gradients; nil where one of them is zero.
  package func cosine(_ a: Int, _ b: Int) -> Double? {
    let norms = norm(a) * norm(b)
    return norms > 0 ? min(1, max(-1, self[a, b] / norms)) : nil
  }

  package var isFinite: Bool { values.allSatisfy(\.isFinite) }
}

/// The gradients that a net's tasks have in the parameters that they share, after backward steps in the order
/// `taskByTask`.
package final class TaskGradients {
  package let taskCount: Int
  package let shared: [SharedParameter]
  /// Those of `shared` of which every task's gradient is made.
  private let made: [SharedParameter]
  private let factored: [FactoredGradients]
  private let engine: any Engine

  /// Elements of which all tasks' parts stay in a core's nearest cache while they are multiplied with each other.
  private static let run = 1024

  /// - Parameter factored: the gradients that are kept as factors.
  init(_ reach: TaskReach, _ factored: [FactoredGradients], engine: any Engine) {
    taskCount = reach.taskCount
    shared = reach.shared
    self.factored = factored
    let factors = Set(factored.flatMap { $0.parameters.map(ObjectIdentifier.init) })
    made = reach.shared.filter { !factors.contains(ObjectIdentifier($0.parameter)) }
    self.engine = engine
    for entry in shared { entry.parameter.keepGradients(entry.tasks.count) }
  }

  /// Whether no gradient is kept as factors, whose inner products are made in single precision.
  package var areMade: Bool { factored.isEmpty }

  /// Added in double precision, in an order that depends on the sizes alone.
  package func gram() -> GramMatrix {
    var gram = GramMatrix(taskCount)
    for entry in made { add(entry, to: &gram) }
    for gradients in factored { gradients.add(to: &gram) }
    return gram
  }

  private func add(_ entry: SharedParameter, to gram: inout GramMatrix) {
    let tasks = entry.tasks.indices.filter { !entry.parameter.isGradientClear($0) }
    guard !tasks.isEmpty else { return }
    let rows = tasks.map { UnsafePointer(entry.parameter.gradients(of: $0)) }
    let count = entry.parameter.count
    let pairs = tasks.count * (tasks.count + 1) / 2
    let runs = (count + TaskGradients.run - 1) / TaskGradients.run
    let products = [Double](unsafeUninitializedCapacity: runs * pairs) { products, size in
      size = runs * pairs
      guard let base = products.baseAddress else { return }
      engine.parallel(runs, grain: 1) { from, to in
        for run in from..<to {
          let start = run * TaskGradients.run
          let length = min(TaskGradients.run, count - start)
          var pair = run * pairs
          for a in rows.indices {
            for b in a..<rows.count {
              base[pair] = engine.vectors.dot(length, rows[a] + start, rows[b] + start)
              pair += 1
            }
          }
        }
      }
    }
    var pair = 0
    for a in tasks.indices {
      for b in a..<tasks.count {
        var sum = 0.0
        for run in 0..<runs { sum += products[run * pairs + pair] }
        gram.add(sum, entry.tasks[tasks[a]], entry.tasks[tasks[b]])
        pair += 1
      }
    }
  }

  /// Makes the gradient of every shared parameter the sum of the tasks' times their weights.
  package func combine(_ weights: [Float]) {
    precondition(weights.count == taskCount)
    for entry in made { entry.parameter.combineGradients(entry.tasks.map { weights[$0] }, engine) }
    for gradients in factored { gradients.combine(weights) }
  }
}

extension Parameter {
  /// Puts the weighted sum of the gradients in the place of the first; the others are cleared.
  fileprivate func combineGradients(_ weights: [Float], _ engine: any Engine) {
    let filled = weights.indices.filter { !isGradientClear($0) }
    defer {
      for row in weights.indices where row > 0 {
        selectGradient(row)
        clearSelectedGradient()
      }
      selectGradient(0)
    }
    guard let last = filled.last, last > 0 || weights[0] != 1 else { return }
    selectGradient(0)
    let isFirstFilled = filled.first == 0
    let rows = filled.filter { $0 > 0 }.map { (UnsafePointer(gradients(of: $0)), weights[$0]) }
    accumulate { target, _ in
      engine.parallel(count, grain: 8192) { from, to in
        for start in stride(from: from, to: to, by: 2048) {
          let length = min(2048, to - start)
          let sum = target + start
          // What was never written may be no number.
          if isFirstFilled {
            engine.vectors.axpby(length, 0, sum, weights[0], sum)
          } else {
            sum.update(repeating: 0, count: length)
          }
          for (row, weight) in rows { engine.vectors.axpby(length, weight, row + start, 1, sum) }
        }
      }
    }
  }
}

/// The gradients that a net's tasks have in the blobs which their own layers read from shared ones: what is weighted in
/// the order `weightedRepresentation`.
package final class RepresentationGradients {
  struct Part {
    let task: Int
    let gradient: Region
    /// Floats.
    let count: Int
  }

  package let taskCount: Int
  /// Per blob: the gradients that single tasks have left in it.
  var blobs: [[Part]] = []
  /// Gives the weights of the tasks, in every backward pass.
  package var weigh: (GramMatrix) -> [Float]
  private let engine: any Engine

  init(taskCount: Int, engine: any Engine) {
    self.taskCount = taskCount
    self.engine = engine
    weigh = { gram in [Float](repeating: 1, count: gram.count) }
  }

  /// The tasks that leave a gradient.
  package var tasks: Set<Int> { Set(blobs.flatMap { $0.map(\.task) }) }

  private func gram() -> GramMatrix {
    var gram = GramMatrix(taskCount)
    for parts in blobs {
      for (index, a) in parts.enumerated() {
        for (other, b) in parts.enumerated().dropFirst(index) {
          let product = engine.vectors.dot(a.count, a.values, b.values)
          // The two parts of one task count in both orders.
          gram.add(a.task == b.task && index != other ? 2 * product : product, a.task, b.task)
        }
      }
    }
    return gram
  }

  func apply() {
    let weights = weigh(gram())
    for part in blobs.joined() where weights[part.task] != 1 {
      engine.vectors.axpby(part.count, 0, part.values, weights[part.task], part.values)
    }
  }
}

extension RepresentationGradients.Part {
  var values: UnsafeMutablePointer<Float> { gradient.pointer.assumingMemoryBound(to: Float.self) }
}
