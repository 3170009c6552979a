extension NetSource {
  /// Layers of type MultiLabelImageData, which forks made of ImageData so that a line may have several labels, as
  /// ImageData layers, which here read as many as a line has.
  mutating func upgradeMultiLabelImages() {
    for index in parameter.layer.indices where parameter.layer[index].type == "MultiLabelImageData" {
      var moved: [String: String] = [:]
      parameter.layer[index].readAsImageData(moved: &moved)
      layerPlaces[index] = layerPlaces[index].upgraded(from: "", moved: moved)
    }
  }
}

extension LayerParameter {
  fileprivate mutating func readAsImageData(moved: inout [String: String]) {
    type = "ImageData"
    guard hasMultiLabelImageDataParam else { return }
    let old = multiLabelImageDataParam
    for (isGiven, name) in [
      (old.hasSource, "source"), (old.hasScale, "scale"), (old.hasMeanFile, "mean_file"),
      (old.hasBatchSize, "batch_size"), (old.hasCropSize, "crop_size"), (old.hasMirror, "mirror"),
      (old.hasRandSkip, "rand_skip"), (old.hasShuffle, "shuffle"), (old.hasNewHeight, "new_height"),
      (old.hasNewWidth, "new_width"), (old.hasIsColor, "is_color"), (old.hasRootFolder, "root_folder"),
      (old.hasLabelNum, "label_num"),
    ] where isGiven {
      moved["image_data_param.\(name)"] = "multi_label_image_data_param.\(name)"
    }
    if old.hasSource { imageDataParam.source = old.source }
    if old.hasScale { imageDataParam.scale = old.scale }
    if old.hasMeanFile { imageDataParam.meanFile = old.meanFile }
    if old.hasBatchSize { imageDataParam.batchSize = old.batchSize }
    if old.hasCropSize { imageDataParam.cropSize = old.cropSize }
    if old.hasMirror { imageDataParam.mirror = old.mirror }
    if old.hasRandSkip { imageDataParam.randSkip = old.randSkip }
    if old.hasShuffle { imageDataParam.shuffle = old.shuffle }
    if old.hasNewHeight { imageDataParam.newHeight = old.newHeight }
    if old.hasNewWidth { imageDataParam.newWidth = old.newWidth }
    if old.hasIsColor { imageDataParam.isColor = old.isColor }
    if old.hasRootFolder { imageDataParam.rootFolder = old.rootFolder }
    imageDataParam.labelNum = old.labelNum
    clearMultiLabelImageDataParam()
    moveTransforms(moved: &moved)
  }
}
