import Diagnostics

/// A layer in the form of 2013 files (`layers { layer { … } }`), on its way to today's form.
///
/// All types shared one set of fields there; each goes to the parameter block of the layer's type. A field that means
/// nothing to the type is left out with a warning, as in Caffe.
struct V0Upgrade {
  private let outer: V1LayerParameter
  private let old: V0LayerParameter
  private let places: FieldPlaces
  private var new = LayerParameter()
  /// From today's paths to those in the old form.
  private(set) var moved = ["name": "layer.name", "type": "layer.type"]
  private(set) var warnings: [Diagnostic] = []

  init(_ layer: V1LayerParameter, places: FieldPlaces) {
    outer = layer
    old = layer.layer
    self.places = places
  }

  /// Throws a `Diagnostic` for an unknown type.
  mutating func upgraded() throws -> LayerParameter {
    guard let type = V0Upgrade.types[old.type] else {
      let near = nearestName(to: old.type, among: V0Upgrade.types.keys.sorted())
      throw Diagnostic(
        .unknownLayerType,
        "layer '\(old.name)' has the unknown type '\(old.type)'" + (near.map { "; did you mean '\($0)'?" } ?? ""),
        at: places.location("layer.type"))
    }
    new.name = old.name
    new.type = type.name
    new.bottom = outer.bottom
    new.top = outer.top
    new.blobs = old.blobs
    upgradeParamSpecs()
    upgradeFilters()
    upgradeOperations()
    upgradeData()
    upgradeWindows()
    return new
  }

  private mutating func upgradeParamSpecs() {
    new.param = (0..<max(old.blobsLr.count, old.weightDecay.count)).map { index in
      var spec = ParamSpec()
      if index < old.blobsLr.count {
        spec.lrMult = old.blobsLr[index]
        moved["param[\(index)].lr_mult"] = "layer.blobs_lr[\(index)]"
      }
      if index < old.weightDecay.count {
        spec.decayMult = old.weightDecay[index]
        moved["param[\(index)].decay_mult"] = "layer.weight_decay[\(index)]"
      }
      return spec
    }
  }

  // MARK: Fields

  private typealias Targets<Value> = [String: WritableKeyPath<LayerParameter, Value>]

  private mutating func upgradeFilters() {
    move(
      "num_output", if: old.hasNumOutput, old.numOutput,
      ["conv": \.convolutionParam.numOutput, "innerproduct": \.innerProductParam.numOutput])
    move(
      "biasterm", as: "bias_term", if: old.hasBiasterm, old.biasterm,
      ["conv": \.convolutionParam.biasTerm, "innerproduct": \.innerProductParam.biasTerm])
    move(
      "weight_filler", if: old.hasWeightFiller, old.weightFiller,
      ["conv": \.convolutionParam.weightFiller, "innerproduct": \.innerProductParam.weightFiller])
    move(
      "bias_filler", if: old.hasBiasFiller, old.biasFiller,
      ["conv": \.convolutionParam.biasFiller, "innerproduct": \.innerProductParam.biasFiller])
    move("group", if: old.hasGroup, old.group, ["conv": \.convolutionParam.group])
    if old.type == "conv" {
      move("pad", if: old.hasPad, [old.pad], ["conv": \.convolutionParam.pad])
      move(
        "kernelsize", as: "kernel_size", if: old.hasKernelsize, [old.kernelsize],
        ["conv": \.convolutionParam.kernelSize])
      move("stride", if: old.hasStride, [old.stride], ["conv": \.convolutionParam.stride])
    } else {
      move("pad", if: old.hasPad, old.pad, ["pool": \.poolingParam.pad])
      move("kernelsize", as: "kernel_size", if: old.hasKernelsize, old.kernelsize, ["pool": \.poolingParam.kernelSize])
      move("stride", if: old.hasStride, old.stride, ["pool": \.poolingParam.stride])
    }
    let pool = PoolingParameter.PoolMethod(rawValue: old.pool.rawValue) ?? .max
    move("pool", if: old.hasPool, pool, ["pool": \.poolingParam.pool])
  }

  private mutating func upgradeOperations() {
    move("dropout_ratio", if: old.hasDropoutRatio, old.dropoutRatio, ["dropout": \.dropoutParam.dropoutRatio])
    move("local_size", if: old.hasLocalSize, old.localSize, ["lrn": \.lrnParam.localSize])
    move("alpha", if: old.hasAlpha, old.alpha, ["lrn": \.lrnParam.alpha])
    move("beta", if: old.hasBeta, old.beta, ["lrn": \.lrnParam.beta])
    move("k", if: old.hasK, old.k, ["lrn": \.lrnParam.k])
    move("concat_dim", if: old.hasConcatDim, old.concatDim, ["concat": \.concatParam.concatDim])
    move(
      "hdf5_output_param", if: old.hasHdf5OutputParam, old.hdf5OutputParam, ["hdf5_output": \.hdf5OutputParam])
  }

  private mutating func upgradeData() {
    move(
      "source", if: old.hasSource, old.source,
      [
        "data": \.dataParam.source, "hdf5_data": \.hdf5DataParam.source, "images": \.imageDataParam.source,
        "window_data": \.windowDataParam.source, "infogain_loss": \.infogainLossParam.source,
      ])
    move(
      "batchsize", as: "batch_size", if: old.hasBatchsize, old.batchsize,
      [
        "data": \.dataParam.batchSize, "hdf5_data": \.hdf5DataParam.batchSize, "images": \.imageDataParam.batchSize,
        "window_data": \.windowDataParam.batchSize,
      ])
    move(
      "rand_skip", if: old.hasRandSkip, old.randSkip,
      ["data": \.dataParam.randSkip, "images": \.imageDataParam.randSkip])
    move(
      "shuffle_images", as: "shuffle", if: old.hasShuffleImages, old.shuffleImages,
      ["images": \.imageDataParam.shuffle])
    move("new_height", if: old.hasNewHeight, UInt32(clamping: old.newHeight), ["images": \.imageDataParam.newHeight])
    move("new_width", if: old.hasNewWidth, UInt32(clamping: old.newWidth), ["images": \.imageDataParam.newWidth])

    // Whatever the type.
    transform("scale", if: old.hasScale, old.scale, \.scale)
    transform("meanfile", as: "mean_file", if: old.hasMeanfile, old.meanfile, \.meanFile)
    transform("cropsize", as: "crop_size", if: old.hasCropsize, old.cropsize, \.cropSize)
    transform("mirror", if: old.hasMirror, old.mirror, \.mirror)
  }

  private mutating func upgradeWindows() {
    move(
      "det_fg_threshold", as: "fg_threshold", if: old.hasDetFgThreshold, old.detFgThreshold,
      ["window_data": \.windowDataParam.fgThreshold])
    move(
      "det_bg_threshold", as: "bg_threshold", if: old.hasDetBgThreshold, old.detBgThreshold,
      ["window_data": \.windowDataParam.bgThreshold])
    move(
      "det_fg_fraction", as: "fg_fraction", if: old.hasDetFgFraction, old.detFgFraction,
      ["window_data": \.windowDataParam.fgFraction])
    move(
      "det_context_pad", as: "context_pad", if: old.hasDetContextPad, old.detContextPad,
      ["window_data": \.windowDataParam.contextPad])
    move(
      "det_crop_mode", as: "crop_mode", if: old.hasDetCropMode, old.detCropMode,
      ["window_data": \.windowDataParam.cropMode])
  }

  /// Sets a field of the block for the layer's type, if the old layer gives it.
  private mutating func move<Value>(
    _ name: String, as newName: String? = nil, if isGiven: Bool, _ value: Value, _ targets: Targets<Value>
  ) {
    guard isGiven else { return }
    guard let target = targets[old.type], let block = V0Upgrade.types[old.type]?.block else {
      return warnings.append(
        Diagnostic(
          .badParameter, "'\(name)' means nothing to a layer of type '\(old.type)', and is left out",
          severity: .warning, layer: Diagnostic.Layer(name: old.name, type: new.type),
          at: places.location("layer.\(name)")))
    }
    new[keyPath: target] = value
    moved[name == block ? name : "\(block).\(newName ?? name)"] = "layer.\(name)"
  }

  private mutating func transform<Value>(
    _ name: String, as newName: String? = nil, if isGiven: Bool, _ value: Value,
    _ target: WritableKeyPath<TransformationParameter, Value>
  ) {
    guard isGiven else { return }
    new.transformParam[keyPath: target] = value
    moved["transform_param.\(newName ?? name)"] = "layer.\(name)"
  }

  /// Today's name of each type, and the block that its fields go to.
  private static let types: [String: (name: String, block: String)] = [
    "accuracy": ("Accuracy", ""), "bnll": ("BNLL", ""), "concat": ("Concat", "concat_param"),
    "conv": ("Convolution", "convolution_param"), "data": ("Data", "data_param"),
    "dropout": ("Dropout", "dropout_param"), "euclidean_loss": ("EuclideanLoss", ""), "flatten": ("Flatten", ""),
    "hdf5_data": ("HDF5Data", "hdf5_data_param"), "hdf5_output": ("HDF5Output", "hdf5_output_param"),
    "im2col": ("Im2col", ""), "images": ("ImageData", "image_data_param"),
    "infogain_loss": ("InfogainLoss", "infogain_loss_param"), "innerproduct": ("InnerProduct", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"), "multinomial_logistic_loss": ("MultinomialLogisticLoss", ""),
    "pool": ("Pooling", "pooling_param"), "relu": ("ReLU", ""), "sigmoid": ("Sigmoid", ""),
    "softmax": ("Softmax", ""), "softmax_loss": ("SoftmaxWithLoss", ""), "split": ("Split", ""),
    "tanh": ("TanH", ""), "window_data": ("WindowData", "window_data_param"),
  ]
}

extension NetSource {
  /// The old layers with their index in the file, less those of type padding: what they pad takes the padding over.
  func old2013Layers() throws -> [(index: Int, layer: V1LayerParameter)] {
    var kept: [(index: Int, layer: V1LayerParameter)] = []
    var makers: [String: Int] = [:]
    for (index, original) in parameter.layers.enumerated() {
      var layer = original
      for (bottom, name) in original.bottom.enumerated() {
        guard let maker = makers[name], parameter.layers[maker].layer.type == "padding" else { continue }
        let padding = parameter.layers[maker]
        guard ["conv", "pool"].contains(layer.layer.type), original.bottom.count == 1,
          padding.bottom.count == 1, padding.top.count == 1
        else {
          throw Diagnostic(
            .unsupported,
            "padding layer '\(padding.layer.name)' must have one bottom and one top, and be followed by convolution or "
              + "pooling with one bottom", at: places.location("layers[\(maker)]"),
            notes: [
              Diagnostic.Note("'\(layer.layer.name)' reads it", at: places.location("layers[\(index)]"))
            ])
        }
        layer.layer.pad = padding.layer.pad
        layer.bottom[bottom] = padding.bottom[0]
      }
      for top in original.top { makers[top] = index }
      if original.layer.type != "padding" { kept.append((index, layer)) }
    }
    return kept
  }
}
