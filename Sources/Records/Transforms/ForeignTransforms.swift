import CaffeSchema
import Diagnostics
import Nets

extension LayerFields {
  /// Refuses a field that would change the result, when it is given.
  func refuse(_ isGiven: Bool, _ field: String, _ reason: String) throws {
    guard isGiven else { return }
    throw fault(.unsupported, "\(field.split(separator: ".").last ?? "") is not supported: \(reason)", at: field)
  }

  /// Refuses the fields of `transform_param` that single forks have and that change what a record becomes.
  func refuseForeignTransforms() throws {
    let param = parameter.transformParam
    let randomSize = "pictures are resized by resize_param alone"
    let given: [(Bool, String, String)] = [
      (param.hasRandomResizeParam, "random_resize_param", randomSize),
      (param.hasRandomAspectRatioParam, "random_aspect_ratio_param", randomSize),
      (param.imgRandResizeLower > 0, "img_rand_resize_lower", randomSize),
      (param.imgRandResizeUpper > 0, "img_rand_resize_upper", randomSize),
      (!param.scaleFactors.isEmpty, "scale_factors", randomSize),
      (!param.scaleRatios.isEmpty, "scale_ratios", randomSize),
      (param.hasMaxDistort && param.maxDistort != 1, "max_distort", randomSize),
      (param.allowUpscale, "allow_upscale", randomSize),
      (param.hasInterpolationAlgoDown, "interpolation_algo_down", randomSize),
      (!param.multiScaleLevels.isEmpty, "multi_scale_levels", "crops have one size"),
      (param.multiScale, "multi_scale", "crops have one size"),
      (param.multiscale, "multiscale", "crops have one size"),
      (param.fixCrop, "fix_crop", "crops are drawn from all places"),
      (param.moreFixCrop, "more_fix_crop", "crops are drawn from all places"),
      (isStretched(param), "horizontal_stretch_lower", "pictures are not stretched at random"),
      (param.hasColorOrder && param.colorOrder == .rgb, "color_order", "channels come as blue, green, red"),
      (param.useImagedbMean, "use_imagedb_mean", "there is no image database; give mean_file or mean_value"),
      (param.useImageMean, "use_image_mean", "give mean_file or mean_value"),
      (param.isFlow, "is_flow", "records are pictures, not optical flow"),
      (param.flow, "flow", "records are pictures, not optical flow"),
      (param.caffeYolo, "caffe_yolo", "it belongs to one fork's detector"),
      (param.hasDistortionParam, "distortion_param", "SSD's distort_param has these fields"),
      (param.hasLabelMapping, "label_mapping", "map the labels in the records"),
      (param.hasMaskParam, "mask_param", "pictures are not masked"),
      (param.pad > 0, "pad", "use FIT_LARGE_SIZE_AND_PAD of resize_param"),
      (!param.resizeParamYolo.isEmpty, "resize_param_yolo", "use resize_param"),
      (param.stride > 1, "stride", "every pixel is taken"),
    ]
    for (isGiven, name, reason) in given { try refuse(isGiven, "transform_param.\(name)", reason) }
  }

  private func isStretched(_ param: TransformationParameter) -> Bool {
    [
      param.horizontalStretchLower, param.horizontalStretchUpper, param.verticalStretchLower,
      param.verticalStretchUpper,
    ].contains { $0 != 1 }
  }

  /// A warning for a field that is given and changes nothing here, with the reason.
  func idleField(_ isGiven: Bool, _ field: String, _ reason: String) -> [Diagnostic] {
    guard isGiven else { return [] }
    return [
      Diagnostic(
        .noEffect, "\(field.split(separator: ".").last ?? "") has no effect: \(reason)", severity: .warning,
        layer: identity, at: location(field))
    ]
  }

  /// Of a layer whose records have no boxes.
  var idleConstraint: [Diagnostic] {
    idleField(
      parameter.transformParam.hasEmitConstraint, "transform_param.emit_constraint", "the records have no boxes")
  }
}
