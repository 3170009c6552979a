import Nets

/// Losses and metrics of single forks: one value a top, whatever the bottoms.
let shapeOnlyLosses: [ShapeOnlyType] =
  [
    ("CenterObjectLoss", 1...Int.max, "the loss of one fork's detector"),
    ("CosinLoss", 2...2, "the loss of one fork; MarginInnerProduct with SoftmaxWithLoss is close to it"),
    ("CenterCosLoss", 2...2, "the loss of one fork; CenterLoss draws features to their classes' centres"),
    ("ConsistencyLoss", 2...2, "the loss of one fork; EuclideanLoss compares blobs"),
    ("DetectionGroupLoss", 1...Int.max, "the loss of one fork's detector"),
    ("DetectionLoss", 1...Int.max, "the loss of one fork's detector"),
    (
      "EuclideanLossHeatmap", 2...3,
      "the loss of one fork; EuclideanLoss on the maps computes the same but for a factor"
    ),
    ("EuclideanLossWithTV", 2...2, "the loss of one fork; EuclideanLoss is the same without the variation term"),
    ("K1_EuclideanLoss", 2...2, "the loss of one fork; EuclideanLoss compares blobs"),
    ("K2_EuclideanLoss", 2...2, "the loss of one fork; EuclideanLoss compares blobs"),
    ("MarginSoftmaxLoss", 2...2, "the loss of one fork; LargeMarginInnerProduct with SoftmaxWithLoss computes it"),
    ("MemoryLoss", 1...Int.max, "its value is computed outside of the net"),
    ("RankHardLoss", 2...2, "the loss of one fork; TripletLoss compares triplets"),
    ("RelevantLoss", 2...2, "the loss of one fork; EuclideanLoss compares blobs"),
    ("SetLoss2", 2...2, "the loss of one fork; TripletLoss compares triplets"),
    ("SoftmaxCrossEntropy2Loss", 2...2, "the loss of one fork; SoftmaxWithLoss computes it"),
    ("VarLoss", 2...2, "the loss of one fork; CenterLoss draws features to their classes' centres"),
    ("YoloSeg", 2...2, "the loss of one fork's detector"),
  ].map { ShapeOnlyType($0, role: .loss, bottoms: $1, tops: 1...Int.max, $2, .oneValue) }
  + [
    ("AccuracyDecode", 2...2, "the metric of one fork; Accuracy looks at scores"),
    ("AccuracyEncoding", 2...2, "the metric of one fork; Accuracy looks at scores"),
    ("BboxAccuracy", 1...Int.max, "the metric of one fork's detector"),
    ("DetectionAccuracy", 1...Int.max, "the metric of one fork's detector"),
    ("DetectionGroupAccuracy", 1...Int.max, "the metric of one fork's detector"),
    ("EvalDetection", 2...2, "the metric of one fork's detector"),
    ("LabelsequenceAccuracy", 2...2, "the metric of one fork; Accuracy looks at scores"),
  ].map { ShapeOnlyType($0, role: .metric, bottoms: $1, tops: 0...Int.max, $2, .oneValue) }
