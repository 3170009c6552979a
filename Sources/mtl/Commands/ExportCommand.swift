import ArgumentParser
import CaffeSchema
import Compute
import Diagnostics
import HDF5Files
import Nets
import ONNXExport
import Tensors

/// `mtl export`: a net with its weights as an ONNX file.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    _superCommandName: "mtl",
    abstract: "Writes a net with its weights as an ONNX file.",
    usage: """
      mtl export WEIGHTS --onnx net.onnx [--model NET]
      """,
    discussion: """
      What the net computes in the TEST phase is written, from its inputs to its predictions: data layers become inputs, \
      and losses and metrics are left out, so that the outputs are the scores which they read. Names are those of the \
      blobs. The batch may be of any size, unless a layer needs the net's.
      """
  )

  @Argument(
    help: ArgumentHelp("The weights, a .caffemodel or .caffemodel.h5.", valueName: "weights"),
    completion: .file())
  var weights: String

  @Option(help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file(extensions: ["onnx"]))
  var onnx: String

  @Option(
    help: ArgumentHelp("The net; needed for weights that do not carry one.", valueName: "prototxt"),
    completion: .file(extensions: ["prototxt"]))
  var model: String?

  @Option(help: ArgumentHelp("The outputs, with commas. (default: the predictions)", valueName: "names"))
  var blobs: String?

  @Option(
    help: ArgumentHelp(
      "The shape of an input, such as data=1x3x227x227; else that of the net, or of its data.",
      valueName: "top=NxCxHxW"))
  var shape: [GivenShape] = []

  @Option(
    help: ArgumentHelp(
      """
      Write random inputs and what this program makes of them into this HDF5 file, as inputs/NAME and outputs/NAME, to \
      compare with another runtime.
      """, valueName: "file"), completion: .file(extensions: ["h5"]))
  var sample: String?

  @OptionGroup var engineOptions: EngineOptions

  func run() throws {
    engineOptions.prepareProcess()
    let learned = try NetSource.readWeights(weights)
    let source = try model.map(NetSource.read(path:)) ?? TestCommand.definition(in: learned, weights)
    let deployed = try ExportCommand.deployed(
      source, outputs: blobs?.split(separator: ",").map(String.init),
      shapes: Dictionary(shape.map { ($0.top, $0.shape) }, uniquingKeysWith: { $1 }))
    let net = try ExportCommand.makeNet(deployed.source, learned, from: weights, engine: engineOptions.makeEngine())
    let exported = try ONNXModel(net, outputs: deployed.outputs)
    try writeFile(exported.bytes(for: onnx), to: onnx)
    printError(ExportCommand.summary(exported, path: onnx))
    if let sample { try ExportCommand.writeSample(net, outputs: deployed.outputs, to: sample) }
  }

  /// - Parameter shapes: of inputs, by name.
  static func deployed(_ source: NetSource, outputs: [String]?, shapes: [String: Shape]) throws -> DeployedNet {
    var state = source.parameter.state
    state.phase = .test
    let assumed = try ShapeAssumptions(
      layers: source.layers(in: state), phase: .test, paths: PathSearch(besideFile: source.file),
      catalogue: EngineOptions.catalogue, given: shapes)
    if let fault = assumed.fault { throw fault }
    if let open = assumed.assumptions.first(where: { !$0.isKnown && !$0.isGiven }) {
      let top = open.tops[0]
      printError(
        Diagnostic(
          .badShape, "its data are not there; '\(top.name)' is taken to be \(top.shape), unless --shape tells",
          severity: .warning, layer: open.fields.identity, at: open.fields.location()
        ).description)
    }
    return try DeployedNet(assumed.graph, name: source.parameter.name, file: source.file, outputs: outputs)
  }

  /// A net whose blobs keep their values until a pass has ended.
  ///
  /// - Throws: `badWeights` when a layer's weights do not fit or are not there.
  static func makeNet(
    _ source: NetSource, _ weights: NetParameter, from path: String, engine: any Engine
  ) throws -> Net {
    var options = NetOptions(phase: .test)
    options.keepsEverything = true
    let net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: options)
    try net.load(weights, from: path, requiresAll: true)
    return net
  }

  private static func summary(_ model: ONNXModel, path: String) -> String {
    func list(_ ends: [ONNXModel.End]) -> String { ends.map { "\($0.name) \($0.shape)" }.joined(separator: ", ") }
    var text = "wrote \(path): \(list(model.inputs)) -> \(list(model.outputs))"
    if let layer = model.layerThatFixesBatch {
      text += "\nnote: the batch is fixed, because of layer '\(layer.name)' (\(layer.type))"
    }
    return text
  }

  /// Draws the inputs, normal with deviation 1, and writes them with the outputs.
  static func writeSample(_ net: Net, outputs: [String], to path: String) throws {
    let inputs = net.graph.nodes.filter { $0.fields.parameter.type == "Input" }.flatMap(\.tops)
    for input in inputs {
      let blob = net.blob(ofValue: input)
      let stream = RandomStream(seed: 0, RandomStream.part(blob.name))
      for index in 0..<blob.count { blob.values[index] = Float(stream.normal(index)) }
    }
    try net.forward()
    let writer = try HDF5Writer(writing: path)
    func write(_ group: String, _ blob: Blob) throws {
      try writer.write("\(group)/\(blob.name)", shape: blob.shape.dims, try net.values(of: blob))
    }
    for input in inputs { try write("inputs", net.blob(ofValue: input)) }
    for name in outputs {
      guard let blob = net.blob(name) else { continue }
      try write("outputs", blob)
    }
    try writer.finish()
  }
}
