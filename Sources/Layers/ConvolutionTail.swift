import Nets

/// The layers behind a convolution that become part of it: normalisations and scales whose numbers are constants go into
/// the weights; then the sum with a blob that is there already, where backward does not pass; then a rectifier.
struct ConvolutionTail {
  private(set) var affine: [AbsorbedLayer] = []
  /// The bottom that is added, as `LayerBinding.bottom` counts them.
  private(set) var addend: Int?
  private(set) var rectifies = false
  /// How many layers.
  private(set) var count = 0

  private enum Part: Int {
    case affine, sum, rectifier
  }

  /// Of the layers that follow: `count` alone, since nothing is bound yet.
  init(_ followers: [FollowingLayer]) {
    var last = Part.affine
    for follower in followers {
      guard let part = ConvolutionTail.part(follower), last == .affine || part.rawValue > last.rawValue else { return }
      last = part
      count += 1
    }
  }

  /// Of those that have been taken over.
  init(_ followers: [AbsorbedLayer]) {
    count = followers.count
    for follower in followers {
      if follower.definition is any ChannelAffine {
        affine.append(follower)
      } else if follower.definition is Eltwise {
        addend = follower.otherBottoms.first
      } else {
        rectifies = true
      }
    }
  }

  private static func part(_ follower: FollowingLayer) -> Part? {
    switch follower.definition {
    case let layer as any ChannelAffine:
      !follower.runsBackward && layer.isAffine(over: follower.bottomShape) ? .affine : nil
    case let sum as Eltwise:
      !follower.runsBackward && sum.isPlainSum && follower.otherBottomCount == 1 ? .sum : nil
    case let rectifier as ReLU: rectifier.isPlain ? .rectifier : nil
    default: nil
    }
  }
}
