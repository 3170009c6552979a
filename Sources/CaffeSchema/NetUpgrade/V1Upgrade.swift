// Layers in the form of 2014 files.
extension V1LayerParameter {
  /// The layer in today's form. `moved` leads from today's paths to those in the old form, where they differ.
  func upgraded() -> (LayerParameter, moved: [String: String]) {
    var layer = LayerParameter()
    if hasName { layer.name = name }
    if hasType { layer.type = type.layerType }
    layer.bottom = bottom
    layer.top = top
    layer.lossWeight = lossWeight
    layer.include = include
    layer.exclude = exclude
    layer.blobs = blobs
    copyParameters(to: &layer)
    var moved: [String: String] = [:]
    upgradeParamSpecs(of: &layer, moved: &moved)
    return (layer, moved)
  }

  private func upgradeParamSpecs(of layer: inout LayerParameter, moved: inout [String: String]) {
    let count = [param.count, blobShareMode.count, blobsLr.count, weightDecay.count].max() ?? 0
    layer.param = (0..<count).map { index in
      var spec = ParamSpec()
      if index < param.count {
        spec.name = param[index]
        moved["param[\(index)].name"] = "param[\(index)]"
      }
      if index < blobShareMode.count {
        spec.shareMode = blobShareMode[index] == .strict ? .strict : .permissive
        moved["param[\(index)].share_mode"] = "blob_share_mode[\(index)]"
      }
      if index < blobsLr.count {
        spec.lrMult = blobsLr[index]
        moved["param[\(index)].lr_mult"] = "blobs_lr[\(index)]"
      }
      if index < weightDecay.count {
        spec.decayMult = weightDecay[index]
        moved["param[\(index)].decay_mult"] = "weight_decay[\(index)]"
      }
      return spec
    }
  }

  /// The fields that are the same in both forms.
  private func copyParameters(to layer: inout LayerParameter) {
    if hasAccuracyParam { layer.accuracyParam = accuracyParam }
    if hasArgmaxParam { layer.argmaxParam = argmaxParam }
    if hasConcatParam { layer.concatParam = concatParam }
    if hasContrastiveLossParam { layer.contrastiveLossParam = contrastiveLossParam }
    if hasConvolutionParam { layer.convolutionParam = convolutionParam }
    if hasDataParam { layer.dataParam = dataParam }
    if hasDropoutParam { layer.dropoutParam = dropoutParam }
    if hasDummyDataParam { layer.dummyDataParam = dummyDataParam }
    if hasEltwiseParam { layer.eltwiseParam = eltwiseParam }
    if hasExpParam { layer.expParam = expParam }
    if hasHdf5DataParam { layer.hdf5DataParam = hdf5DataParam }
    if hasHdf5OutputParam { layer.hdf5OutputParam = hdf5OutputParam }
    if hasHingeLossParam { layer.hingeLossParam = hingeLossParam }
    if hasImageDataParam { layer.imageDataParam = imageDataParam }
    if hasInfogainLossParam { layer.infogainLossParam = infogainLossParam }
    if hasInnerProductParam { layer.innerProductParam = innerProductParam }
    if hasLossParam { layer.lossParam = lossParam }
    if hasLrnParam { layer.lrnParam = lrnParam }
    if hasMemoryDataParam { layer.memoryDataParam = memoryDataParam }
    if hasMultiStageMeanfieldParam { layer.multiStageMeanfieldParam = multiStageMeanfieldParam }
    if hasMvnParam { layer.mvnParam = mvnParam }
    if hasPoolingParam { layer.poolingParam = poolingParam }
    if hasPowerParam { layer.powerParam = powerParam }
    if hasReluParam { layer.reluParam = reluParam }
    if hasSigmoidParam { layer.sigmoidParam = sigmoidParam }
    if hasSliceParam { layer.sliceParam = sliceParam }
    if hasSoftmaxParam { layer.softmaxParam = softmaxParam }
    if hasTanhParam { layer.tanhParam = tanhParam }
    if hasThresholdParam { layer.thresholdParam = thresholdParam }
    if hasTransformParam { layer.transformParam = transformParam }
    if hasWindowDataParam { layer.windowDataParam = windowDataParam }
  }
}

extension V1LayerParameter.LayerType {
  /// The name of the layer's type today.
  var layerType: String {
    switch self {
    case .none: ""
    case .absval: "AbsVal"
    case .accuracy: "Accuracy"
    case .argmax: "ArgMax"
    case .bnll: "BNLL"
    case .concat: "Concat"
    case .contrastiveLoss: "ContrastiveLoss"
    case .convolution: "Convolution"
    case .convolution3D: "Convolution3D"
    case .crop: "Crop"
    case .data: "Data"
    case .deconvolution: "Deconvolution"
    case .deconvolution3D: "Deconvolution3D"
    case .dropout: "Dropout"
    case .dummyData: "DummyData"
    case .eltwise: "Eltwise"
    case .euclideanLoss: "EuclideanLoss"
    case .exp: "Exp"
    case .flatten: "Flatten"
    case .hdf5Data: "HDF5Data"
    case .hdf5Output: "HDF5Output"
    case .hingeLoss: "HingeLoss"
    case .im2Col: "Im2col"
    case .imageData: "ImageData"
    case .infogainLoss: "InfogainLoss"
    case .innerProduct: "InnerProduct"
    case .l2Loss: "L2Loss"
    case .lrn: "LRN"
    case .memoryData: "MemoryData"
    case .multiStageMeanfield: "MultiStageMeanfield"
    case .multinomialLogisticLoss: "MultinomialLogisticLoss"
    case .mvn: "MVN"
    case .pooling: "Pooling"
    case .pooling3D: "Pooling3D"
    case .power: "Power"
    case .relu: "ReLU"
    case .sigmoid: "Sigmoid"
    case .sigmoidCrossEntropyLoss: "SigmoidCrossEntropyLoss"
    case .silence: "Silence"
    case .slice: "Slice"
    case .softmax: "Softmax"
    case .softmaxLoss: "SoftmaxWithLoss"
    case .split: "Split"
    case .tanh: "TanH"
    case .threshold: "Threshold"
    case .videoData: "VideoData"
    case .windowData: "WindowData"
    }
  }
}

/// The type of today's form that a name such as SOFTMAX_LOSS stands for.
func modernLayerType(ofV1 name: String) -> String? {
  let values = SchemaDescription.shared.enumerations["caffe.V1LayerParameter.LayerType"] ?? []
  guard let number = values.first(where: { $0.name == name })?.number else { return nil }
  return V1LayerParameter.LayerType(rawValue: Int(number))?.layerType
}
