import Compute
import Glibc
import Tensors

/// scale[c] = k + alpha / size * sum over the window of c of bottom^2, top[c] = bottom[c] scale[c]^-beta, at each
/// position; the window of c is c - (size - 1) / 2 and the size - 1 channels after that, as far as they exist.
///
/// bottom gradient[c] = top gradient[c] scale[c]^-beta
///   - 2 alpha beta / size * bottom[c] * sum over all d whose window holds c of top gradient[d] top[d] / scale[d].
///
/// The workspace keeps the scales, a float for each element.
final class ReferenceLocalResponse: LocalResponseOp {
  let layout = Layout.plain
  let scratchByteCount = 0
  let implementation = "reference"
  private let description: LocalResponseDescription
  private let batch: Int
  private let channels: Int
  private let plane: Int

  init(_ description: LocalResponseDescription) {
    self.description = description
    batch = description.shape[0]
    channels = description.shape[1]
    plane = description.shape.count(2...)
  }

  var workspaceByteCount: Int { description.shape.count * MemoryLayout<Float>.stride }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let share = description.alpha / Float(description.size)
    let before = (description.size - 1) / 2
    for n in 0..<batch {
      let image = bottom.floats + n * channels * plane
      for c in 0..<channels {
        let start = (n * channels + c) * plane
        let scale = workspace.floats + start
        scale.update(repeating: description.k, count: plane)
        for d in max(0, c - before)..<min(channels, c - before + description.size) {
          let neighbour = image + d * plane
          for i in 0..<plane { scale[i] += share * neighbour[i] * neighbour[i] }
        }
        for i in 0..<plane {
          top.floats[start + i] = bottom.floats[start + i] * powf(scale[i], -description.beta)
        }
      }
    }
  }

  func backward(
    bottom: UnsafeRawPointer, top: UnsafeRawPointer, topGradient: UnsafeRawPointer,
    bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let (bottom, top, topGradient) = (bottom.floats, top.floats, topGradient.floats)
    let (scale, gradient) = (workspace.floats, bottomGradient.floats)
    let factor = 2 * description.alpha * description.beta / Float(description.size)
    let after = description.size - 1 - (description.size - 1) / 2
    for n in 0..<batch {
      for c in 0..<channels {
        let start = (n * channels + c) * plane
        for i in start..<start + plane { gradient[i] = topGradient[i] * powf(scale[i], -description.beta) }
        for d in max(0, c - after)..<min(channels, c - after + description.size) {
          let shift = (d - c) * plane
          for i in start..<start + plane {
            gradient[i] -= factor * bottom[i] * topGradient[i + shift] * top[i + shift] / scale[i + shift]
          }
        }
      }
    }
  }
}
