import Glibc

/// How a gradient becomes a step: one rule for each solver `type`.
///
/// `apply` handles one parameter: `g` is the gradient, already clipped, averaged and with the decay added; `w` the
/// values; `h` the rule's history for it, vectors of the same size.
package protocol UpdateRule: Sendable {
  /// The `type` in the solver file.
  static var type: String { get }
  /// History vectors for each parameter.
  var historyCount: Int { get }
  /// - Parameter rate: the learning rate times the parameter's lr_mult.
  /// - Parameter iteration: from 0.
  func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History)
}

/// The vectors that a rule keeps for one parameter: one or two; with one, both names mean it.
package struct History {
  package let first: UnsafeMutablePointer<Float>
  package let second: UnsafeMutablePointer<Float>

  /// The part from `offset` on.
  func from(_ offset: Int) -> History { History(first: first + offset, second: second + offset) }
}

/// h = momentum h + rate g; w -= h.
package struct SGD: UpdateRule {
  package static let type = "SGD"
  package let historyCount = 1
  let momentum: Float

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    let v = h.first
    for i in 0..<count {
      v[i] = momentum * v[i] + rate * g[i]
      w[i] -= v[i]
    }
  }
}

/// Nesterov's accelerated gradient as Sutskever, Martens, Dahl, Hinton (ICML 2013) put it:
/// h' = momentum h + rate g; w -= (1 + momentum) h' - momentum h.
package struct Nesterov: UpdateRule {
  package static let type = "Nesterov"
  package let historyCount = 1
  let momentum: Float

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    let v = h.first
    for i in 0..<count {
      let next = momentum * v[i] + rate * g[i]
      w[i] -= (1 + momentum) * next - momentum * v[i]
      v[i] = next
    }
  }
}

/// Duchi, Hazan, Singer (JMLR 2011): h += g^2; w -= rate g / (sqrt(h) + delta).
package struct AdaGrad: UpdateRule {
  package static let type = "AdaGrad"
  package let historyCount = 1
  let delta: Float

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    let v = h.first
    for i in 0..<count {
      v[i] += g[i] * g[i]
      w[i] -= rate * g[i] / (v[i].squareRoot() + delta)
    }
  }
}

/// Tieleman, Hinton (Coursera lecture 6.5, 2012): h = decay h + (1 - decay) g^2; w -= rate g / (sqrt(h) + delta).
package struct RMSProp: UpdateRule {
  package static let type = "RMSProp"
  package let historyCount = 1
  let decay: Float
  let delta: Float

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    let v = h.first
    for i in 0..<count {
      v[i] = decay * v[i] + (1 - decay) * g[i] * g[i]
      w[i] -= rate * g[i] / (v[i].squareRoot() + delta)
    }
  }
}

/// Zeiler (arXiv 1212.5701): h0 = m h0 + (1 - m) g^2; u = g sqrt((h1 + delta) / (h0 + delta));
/// h1 = m h1 + (1 - m) u^2; w -= rate u.
package struct AdaDelta: UpdateRule {
  package static let type = "AdaDelta"
  package let historyCount = 2
  let momentum: Float
  let delta: Float

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    let squares = h.first
    let updates = h.second
    for i in 0..<count {
      squares[i] = momentum * squares[i] + (1 - momentum) * g[i] * g[i]
      let update = g[i] * ((updates[i] + delta) / (squares[i] + delta)).squareRoot()
      updates[i] = momentum * updates[i] + (1 - momentum) * update * update
      w[i] -= rate * update
    }
  }
}

/// Kingma, Ba (ICLR 2015), its second form: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
/// w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + delta), t from 1.
package struct Adam: UpdateRule {
  package static let type = "Adam"
  package let historyCount = 2
  let beta1: Float
  let beta2: Float
  let delta: Float

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    let m = h.first
    let v = h.second
    let t = Float(iteration + 1)
    let corrected = rate * ((1 - powf(beta2, t)).squareRoot() / (1 - powf(beta1, t)))
    for i in 0..<count {
      m[i] = beta1 * m[i] + (1 - beta1) * g[i]
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i]
      w[i] -= corrected * m[i] / (v[i].squareRoot() + delta)
    }
  }
}

/// Loshchilov, Hutter (ICLR 2019): Adam's step, and w -= rate decay w beside it. The solver takes the decay off the
/// weights before the step, so that the two scale alike with the learning rate and the decay is not divided by sqrt(v).
package struct AdamW: UpdateRule {
  package static let type = "AdamW"
  package let historyCount = 2
  private let adam: Adam

  init(beta1: Float, beta2: Float, delta: Float) { adam = Adam(beta1: beta1, beta2: beta2, delta: delta) }

  package func apply(
    _ count: Int, rate: Float, iteration: Int, _ g: UnsafePointer<Float>, _ w: UnsafeMutablePointer<Float>,
    _ h: History
  ) {
    adam.apply(count, rate: rate, iteration: iteration, g, w, h)
  }
}
