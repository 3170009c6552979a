import CKernels
import Tensors

extension Parameter {
  /// Adds to the gradient, where it learns, what `parts` threads have summed up, `step` floats from each other.
  func add(_ sums: UnsafeMutablePointer<Float>, parts: Int, step: Int) {
    guard isLearned else { return }
    accumulate { gradients, overwrite in
      for part in 0..<parts {
        mtl_axpby(count, 1, sums + part * step, overwrite && part == 0 ? 0 : 1, gradients)
      }
    }
  }
}
