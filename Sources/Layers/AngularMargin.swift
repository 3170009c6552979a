/// What a labelled class has to reach in place of cos t, t being the angle to its weights: psi(t) = (-1)^k cos(m t) - 2 k
/// for t in [k pi / m, (k + 1) pi / m], m = 1 … 4 (Liu et al., ICML 2016 and CVPR 2017).
struct AngularMargin {
  /// m
  let factor: Int

  /// psi at an angle of cosine c, and its derivative by c.
  func psi(_ c: Float) -> (value: Float, slope: Float) {
    let square = c * c
    let sign: Float = c > 0 ? 1 : c < 0 ? -1 : 0
    switch factor {
    case 2:
      return (2 * sign * square - 1, 4 * sign * c)
    case 3:
      let middle: Float = abs(c) > 0.5 ? 1 : abs(c) < 0.5 ? -1 : 0
      return (middle * (4 * square * c - 3 * c) + sign * (1 + middle) - 2, middle * (12 * square - 3))
    case 4:
      let middle = sign * (2 * square > 1 ? 1 : 2 * square < 1 ? -1 : 0)
      return (
        middle * (8 * square * square - 8 * square + 1) + 2 * sign + middle - 3, middle * (32 * square * c - 16 * c)
      )
    default:
      return (c, 1)
    }
  }
}
