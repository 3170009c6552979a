import Glibc

extension RandomStream {
  /// Standard normal (Box and Muller, 1958); draw number `index` uses the uniform draws 2 index and 2 index + 1.
  package func normal(_ index: Int) -> Double {
    let radius = (-2 * log(1 - uniformDouble(2 * index))).squareRoot()
    return radius * cos(2 * .pi * uniformDouble(2 * index + 1))
  }
}
