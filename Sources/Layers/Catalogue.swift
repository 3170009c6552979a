import Nets

/// All layers of this module, one line each.
package let layerTypes: [any Layer.Type] = [
  Accuracy.self,
  BatchNorm.self,
  Concat.self,
  Convolution.self,
  Dropout.self,
  DummyData.self,
  Eltwise.self,
  EuclideanLoss.self,
  Flatten.self,
  InnerProduct.self,
  Input.self,
  LRN.self,
  Pooling.self,
  ReLU.self,
  Scale.self,
  Silence.self,
  Slice.self,
  Softmax.self,
  SoftmaxWithLoss.self,
]
