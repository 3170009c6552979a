/// What data layers held of their own before transform_param.
private protocol OldTransform {
  var hasScale: Bool { get }
  var scale: Float { get }
  mutating func clearScale()
  var hasMeanFile: Bool { get }
  var meanFile: String { get }
  mutating func clearMeanFile()
  var hasCropSize: Bool { get }
  var cropSize: UInt32 { get }
  mutating func clearCropSize()
  var hasMirror: Bool { get }
  var mirror: Bool { get }
  mutating func clearMirror()
}

extension DataParameter: OldTransform {}
extension ImageDataParameter: OldTransform {}
extension WindowDataParameter: OldTransform {}

extension LayerParameter {
  /// Moves scale, mean_file, crop_size and mirror of an upgraded data layer to transform_param, where they win.
  mutating func moveTransforms(moved: inout [String: String]) {
    switch type {
    case "Data" where hasDataParam: move(from: \.dataParam, name: "data_param", moved: &moved)
    case "ImageData" where hasImageDataParam: move(from: \.imageDataParam, name: "image_data_param", moved: &moved)
    case "WindowData" where hasWindowDataParam:
      move(from: \.windowDataParam, name: "window_data_param", moved: &moved)
    default: break
    }
  }

  /// The fields of that kind that a layer in today's form gives and Caffe does not read, with the block they are in.
  func idleTransforms() -> [(field: String, holder: String)] {
    switch type {
    case "Data" where hasDataParam, "AnnotatedData" where hasDataParam: dataParam.given().map { ($0, "data_param") }
    case "ImageData" where hasImageDataParam: imageDataParam.given().map { ($0, "image_data_param") }
    // Its scale is read.
    case "WindowData" where hasWindowDataParam:
      windowDataParam.given().filter { $0 != "scale" }.map { ($0, "window_data_param") }
    default: []
    }
  }

  private mutating func move(
    from holder: WritableKeyPath<LayerParameter, some OldTransform>, name: String, moved: inout [String: String]
  ) {
    var old = self[keyPath: holder]
    for field in old.given() { moved["transform_param.\(field)"] = moved["\(name).\(field)"] ?? "\(name).\(field)" }
    if old.hasScale { transformParam.scale = old.scale }
    if old.hasMeanFile { transformParam.meanFile = old.meanFile }
    if old.hasCropSize { transformParam.cropSize = old.cropSize }
    if old.hasMirror { transformParam.mirror = old.mirror }
    old.clearScale()
    old.clearMeanFile()
    old.clearCropSize()
    old.clearMirror()
    self[keyPath: holder] = old
  }
}

extension OldTransform {
  fileprivate func given() -> [String] {
    [("scale", hasScale), ("mean_file", hasMeanFile), ("crop_size", hasCropSize), ("mirror", hasMirror)]
      .filter(\.1).map(\.0)
  }
}
