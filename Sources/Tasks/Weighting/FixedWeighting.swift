/// FIXED: the sum of the losses times their loss_weight, as Caffe has it. All weights are 1.
package struct FixedWeighting: LossWeighting {
  package var state: WeightingState = [:]

  package func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] { losses.map { _ in 1 } }
}
