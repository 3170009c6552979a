import CaffeSchema
import Diagnostics
import Nets
import Synchronization
import Tensors

/// Cuts windows out of images and warps them to one size: the data of R-CNN (Girshick et al., 2014).
///
/// `source` is a window file (see `WindowFile`). A batch holds first background windows, then `fg_fraction` of
/// foreground, all drawn at random by the seed and the number of the pass. Tops: the windows, batch_size x C x crop_size
/// x crop_size; optionally their classes, batch_size. `crop_mode` is `warp`, or `square` for the tightest square around
/// the window; with `context_pad` the window is enlarged so that this many pixels of its surroundings are on each side,
/// and what lies outside the image is 0. Mean and scale are taken before.
package struct WindowData: AbsentSourceLayer {
  package static let type = "WindowData"
  package static let parameterFields: [String]? = ["window_data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...2
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let path: String
  private let windows = SeenOnce<WindowFile>()
  private let cropSize: Int

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.windowDataParam
    self.fields = fields
    guard param.hasSource, !param.source.isEmpty else {
      throw fields.fault("source is missing; give the path of a window file", at: "window_data_param")
    }
    guard param.batchSize > 0 else {
      throw fields.fault("batch_size must be at least 1", at: "window_data_param.batch_size")
    }
    cropSize = Int(fields.parameter.transformParam.cropSize)
    guard cropSize > 0 else {
      throw fields.fault("crop_size is missing; windows are warped to it", at: "transform_param.crop_size")
    }
    guard 2 * Int(param.contextPad) < cropSize else {
      throw fields.fault(
        "context_pad \(param.contextPad) leaves nothing of crop_size \(cropSize) for the window",
        at: "window_data_param.context_pad")
    }
    guard ["warp", "square"].contains(param.cropMode) else {
      throw fields.fault("crop_mode is 'warp' or 'square', not '\(param.cropMode)'", at: "window_data_param.crop_mode")
    }
    guard (0...1).contains(param.fgFraction) else {
      throw fields.fault("fg_fraction must be from 0 to 1", at: "window_data_param.fg_fraction")
    }
    path = fields.existingPath(param.source)
  }

  private var batchSize: Int { Int(fields.parameter.windowDataParam.batchSize) }

  private func file() throws -> WindowFile {
    let param = fields.parameter.windowDataParam
    do {
      return try windows.value {
        try WindowFile(path: path, foregroundFrom: param.fgThreshold, backgroundBelow: param.bgThreshold)
      }
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("window_data_param.source"))
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let tops: [Shape] = [[batchSize, try file().channels, cropSize, cropSize], [batchSize]]
    return LayerShapes(tops: Array(tops.prefix(fields.parameter.top.count)), warnings: fields.idleConstraint)
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard !exists(path) else { return nil }
    return Array([fields.outlineOfImages(batch: batchSize), .exactly([batchSize])].prefix(fields.parameter.top.count))
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = fields.parameter.windowDataParam
    let transform = fields.parameter.transformParam
    try fields.refuseForeignTransforms()
    try fields.refusePoints()
    for (isGiven, name) in [
      (!transform.resizeParam.isEmpty, "resize_param"), (transform.hasDistortParam, "distort_param"),
      (!transform.noiseParam.isEmpty, "noise_param"),
      (transform.hasExpandParam, "expand_param"), (transform.cropH > 0 || transform.cropHeight > 0, "crop_h"),
      (transform.cropW > 0 || transform.cropWidth > 0, "crop_w"),
    ] {
      try fields.refuse(isGiven, "transform_param.\(name)", "windows are warped to crop_size x crop_size")
    }
    for (isGiven, name) in [(transform.forceGray, "force_gray"), (transform.forceColor, "force_color")] {
      try fields.refuse(isGiven, "transform_param.\(name)", "the window file tells the channels")
    }
    let file = try file()
    let foreground = Int(Float(batchSize) * param.fgFraction)
    for (wanted, there, kind) in [
      (foreground, file.foreground.count, "foreground"), (batchSize - foreground, file.background.count, "background"),
    ] where wanted > 0 && there == 0 {
      throw fields.fault(
        .badList,
        "'\(path)' holds no \(kind) window, but each batch needs \(wanted); see fg_fraction and the thresholds",
        at: "window_data_param.source")
    }
    let filler = WindowBatchFiller(
      file, path: path, root: root(of: file), try WindowCrop(fields, channels: file.channels), batchSize: batchSize,
      foreground: foreground, mirrors: transform.mirror, draws: binding.draws)
    return PrefetchedRun(filler, binding)
  }

  /// What is put before each path: `root_folder` as it is, or that beside the net or the window file.
  private func root(of file: WindowFile) -> String {
    let root = fields.parameter.windowDataParam.rootFolder
    let beside = PathSearch(besideFile: path).directory.map { [$0 + "/" + root] } ?? []
    let folders = fields.paths.candidates(for: root) + beside
    return folders.first { exists($0 + file.images[0]) } ?? root
  }
}

/// A value that is made on first use and only once.
final class SeenOnce<Value: Sendable>: Sendable {
  private let seen = Mutex<Value?>(nil)

  func value(_ make: () throws -> Value) throws -> Value {
    try seen.withLock { value in
      if let value { return value }
      let new = try make()
      value = new
      return new
    }
  }
}

/// Draws and cuts the windows of a batch.
private final class WindowBatchFiller: BatchFiller, @unchecked Sendable {
  private let file: WindowFile
  private let path: String
  private let root: String
  private let crop: WindowCrop
  private let batchSize: Int
  private let foreground: Int
  private let mirrors: Bool
  private let seed: UInt64
  private let layer: UInt64

  init(
    _ file: WindowFile, path: String, root: String, _ crop: WindowCrop, batchSize: Int, foreground: Int, mirrors: Bool,
    draws: LayerDraws
  ) {
    self.file = file
    self.path = path
    self.root = root
    self.crop = crop
    self.batchSize = batchSize
    self.foreground = foreground
    self.mirrors = mirrors
    seed = draws.seed
    layer = draws.layer
  }

  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws {
    let values = buffers[0].base.assumingMemoryBound(to: Float.self)
    for item in 0..<batchSize {
      let draws = RandomStream(seed: seed, layer, UInt64(firstRecord + pass * batchSize + item))
      let windows = item < batchSize - foreground ? file.background : file.foreground
      let window = windows[draws.integer(0, below: windows.count)]
      let name = root + file.images[window.image]
      do {
        let image = try Image(decoding: readFile(name.utf8), as: file.channels == 1 ? .gray : .color)
        try crop.write(
          window, of: image, isMirrored: mirrors && draws.integer(1, below: 2) == 1,
          into: values + item * crop.count)
      } catch let fault as Diagnostic {
        throw Diagnostic(
          fault.code, "image '\(name)': \(fault.message)", at: SourceLocation(file: path, line: window.line))
      }
      if buffers.count > 1 { buffers[1].base.assumingMemoryBound(to: Float.self)[item] = Float(window.label) }
    }
  }
}
