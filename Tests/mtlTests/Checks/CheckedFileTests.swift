import ArgumentParser
import CaffeSchema
import Foundation
import Nets
import Tensors
import Testing

@testable import mtl

@Suite struct CheckedFileTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-check-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func check(_ text: String, _ options: CheckOptions = CheckOptions(), name: String = "net.prototxt") throws
    -> CheckedFile
  {
    try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    return CheckedFile(folder + "/" + name, options, catalogue: EngineOptions.catalogue)
  }

  private static let trained = """
    layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
      data_param { source: "absent_train_lmdb" batch_size: 8 } transform_param { crop_size: 20 } }
    layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
      data_param { source: "absent_val_lmdb" batch_size: 2 } transform_param { crop_size: 20 } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 5 } }
    layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 10 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
    layer { name: "right" type: "Accuracy" bottom: "ip" bottom: "label" top: "right" include { phase: TEST } }
    """

  @Test func looksAtBothPhasesWithoutTheData() throws {
    let file = try check(Self.trained)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets.map(\.name) == ["TRAIN", "TEST"])
    #expect(file.nets.map(\.check.batch) == [8, 2])
    #expect(file.nets[0].check.layers[0].tops.map(\.shape) == [[8, 3, 20, 20], [8]])
    #expect(file.nets[1].check.tasks[0].metrics == ["right"])
  }

  @Test func takesShapesAndPhases() throws {
    let file = try check(Self.trained, CheckOptions(phase: .test, shapes: ["data": [2, 1, 28, 28]]))
    #expect(file.nets.map(\.name) == ["TEST"])
    #expect(file.nets[0].check.layers[0].tops[0].shape == [2, 1, 28, 28])
  }

  @Test func warnsOfTestDataInTraining() throws {
    let file = try check(Self.trained.replacingOccurrences(of: "absent_train_lmdb", with: "absent_val_lmdb"))
    let messages = file.nets[0].check.warnings.map(\.message)
    #expect(messages.contains { $0.contains("looks like validation data") }, "\(messages)")
  }

  @Test func findsTheStagesThatFeedANet() throws {
    let file = try check(
      """
      layer { name: "d" type: "Data" top: "data" top: "label" include { stage: "train" }
        data_param { batch_size: 8 } transform_param { crop_size: 20 } }
      layer { name: "d" type: "Data" top: "data" top: "label" include { stage: "val" }
        data_param { batch_size: 4 } transform_param { crop_size: 20 } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
      layer { name: "two" type: "InnerProduct" bottom: "ip" top: "two" inner_product_param { num_output: 3 }
        include { stage: "wide" } }
      layer { name: "loss" type: "SoftmaxWithLoss" bottom: "two" bottom: "label" top: "loss" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets.map(\.name) == ["TRAIN, stage train and wide", "TEST, stage val and wide"])
    #expect(file.nets.map(\.check.batch) == [8, 4])
  }

  @Test func looksAroundWhatForksAdd() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
      layer { name: "m" type: "GatedMask" bottom: "x" top: "m" gated_mask_param { ratio: 0.5 mode: HARD } }
      layer { name: "q" type: "QuantisedConvolution" bottom: "m" top: "q" bit_width: 8
        convolution_param { num_output: 4 kernel_size: 3 } }
      layer { name: "l" type: "MarginalLoss" bottom: "q" top: "l" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    let shapes = file.nets[0].check.layers.map { $0.tops[0].shape }
    #expect(shapes == [[2, 3, 8, 8], [2, 3, 8, 8], [2, 4, 6, 6], .scalar])
    #expect(file.nets[0].check.tasks.map(\.loss) == ["MarginalLoss"])
    let warnings = file.nets[0].check.warnings.map(\.message)
    for name in ["unknown field 'gated_mask_param'", "unknown field 'bit_width'", "unknown layer type 'MarginalLoss'"] {
      #expect(warnings.contains { $0.contains(name) }, "\(name): \(warnings)")
    }
  }

  @Test func looksAroundLayersOf2014ThatForksAdd() throws {
    let file = try check(
      """
      layers { name: "d" type: VOXEL_DATA top: "data" top: "label" voxel_param { source: "x" batch_size: 4 } }
      layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
      layers { name: "l" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "l" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.map(\.type) == ["VoxelData", "InnerProduct", "SoftmaxWithLoss"])
  }

  /// What nothing feeds is an excerpt, unless a name is a likely slip of the pen.
  @Test func takesWhatAnExcerptLacksAsItsInputs() throws {
    let excerpt = """
      layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 5 } }
      layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 10 } }
      layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
      """
    let file = try check(excerpt)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers[0].tops.map(\.shape) == [[1, 3, 224, 224], [1]])
    #expect(
      file.nets[0].check.warnings.first?.message.hasPrefix(
        "no layer makes 'data', 'label': the file is taken for an excerpt") == true)
    #expect(!(try check(excerpt.replacingOccurrences(of: #"bottom: "conv""#, with: #"bottom: "conw""#))).loads)
    #expect(!(try check(Self.trained.replacingOccurrences(of: #"bottom: "data""#, with: #"bottom: "input""#))).loads)
  }

  /// A net whose boxes come in TRAIN alone.
  @Test func looksAtTheOnePhaseThatAFileIsFor() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
      layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 dim: 3 } } include { phase: TRAIN } }
      layer { name: "s" type: "Eltwise" bottom: "x" bottom: "y" top: "s" }
      """)
    #expect(file.loads && file.nets.map(\.name) == ["TRAIN"])
    #expect(file.warnings.first?.message.hasPrefix("in TEST no layer makes bottom 'y'") == true, "\(file.warnings)")
    #expect(file.warnings.first?.location?.line == 3)
  }

  /// A file with data for TEST alone is meant for TEST, whatever it lacks there.
  @Test func aPhaseWithDataOfItsOwnIsMeant() throws {
    let file = try check(
      Self.trained.replacingOccurrences(
        of: #""label" include { phase: TEST }"#, with: #""labels" include { phase: TEST }"#))
    #expect(!file.loads && file.nets.map(\.name) == ["TRAIN", "TEST"])
    #expect(file.nets[0].check.faults.isEmpty)
    #expect(file.nets[1].check.faults.first?.message.contains("did you mean 'labels'?") == true)
  }

  /// Fields named after their layer, and those for a further axis, are forks' own though they look like known ones.
  @Test func looksAroundFieldsThatResembleKnownOnes() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
      layer { name: "g" type: "GRN" bottom: "x" top: "g" grn_param { eps: 0.1 } }
      layer { name: "c" type: "Convolution" bottom: "g" top: "c"
        convolution_param { num_output: 4 kernel_h: 3 kernel_w: 3 kernel_d: 3 } }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.last?.tops[0].shape == [2, 4, 6, 6])
  }

  /// Images as large as a kernel needs them, and objects as SSD's loss reads them.
  @Test func guessesWhatLayersBehindNeed() throws {
    let file = try check(
      """
      layer { name: "d" type: "MyData" top: "data" top: "objects" }
      layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 8 kernel_size: 32 stride: 32 } }
      layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 16 } }
      layer { name: "priors" type: "PriorBox" bottom: "p" bottom: "data" top: "priors" prior_box_param { min_size: 20 } }
      layer { name: "loc" type: "InnerProduct" bottom: "p" top: "loc" inner_product_param { num_output: 4 } }
      layer { name: "conf" type: "InnerProduct" bottom: "p" top: "conf" inner_product_param { num_output: 2 } }
      layer { name: "loss" type: "MultiBoxLoss" bottom: "loc" bottom: "conf" bottom: "priors" bottom: "objects" top: "loss"
        multibox_loss_param { num_classes: 2 } }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers[0].tops.map(\.shape) == [[1, 3, 512, 512], [1, 1, 1, 8]])
  }

  /// Proposals from other anchors than the class has: shapes, a warning, and no run.
  @Test func looksAroundOtherAnchors() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "scores" top: "boxes" top: "im_info" input_param { shape { dim: 1 dim: 24 dim: 3 dim: 4 }
        shape { dim: 1 dim: 48 dim: 3 dim: 4 } shape { dim: 1 dim: 3 } } }
      layer { name: "p" type: "Python" bottom: "scores" bottom: "boxes" bottom: "im_info" top: "rois"
        python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': 16" } }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.last?.tops[0].shape == [300, 5])
    let warnings = file.nets[0].check.warnings.map(\.message)
    #expect(warnings.contains { $0.contains("are of 12 anchors a place, and param_str tells 9") }, "\(warnings)")
  }

  @Test func guessesInputsThatAreNamedWithoutShapes() throws {
    let file = try check(
      """
      input: "data"
      layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 10 } }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    let warnings = file.nets[0].check.warnings.map(\.message)
    #expect(warnings.contains("input 'data' has no input_shape or input_dim, and is left out"), "\(warnings)")
    let layer = try check(
      """
      layer { name: "x" type: "Input" top: "x" }
      layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 10 } }
      """)
    #expect(layer.loads, "\(CheckText(layer).faults)")
  }

  @Test func readsQuotedTypesInLayersOf2014() throws {
    let file = try check(
      """
      input: "x" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
      layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "ip" inner_product_param { num_output: 3 } }
      layers { name: "r" type: "RELU" bottom: "ip" top: "r" }
      layers { name: "p" type: "Softmax" bottom: "r" top: "p" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.map(\.type) == ["Input", "InnerProduct", "ReLU", "Softmax"])
    #expect(file.nets[0].check.warnings.filter { $0.message.hasSuffix("refused when the net is to run") }.count == 2)
  }

  /// Of layers of Caffe, forks' further bottoms are looked at and refused when run; a mistake stays one.
  @Test func looksAroundBottomsThatForksAdd() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
      layer { name: "w" type: "Input" top: "w" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 6 } } }
      layer { name: "c" type: "Convolution" bottom: "x" bottom: "w" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 } }
      layer { name: "l" type: "SigmoidCrossEntropyLoss" bottom: "c" bottom: "w" bottom: "w" top: "l" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.map { $0.tops[0].shape }.suffix(2) == [[2, 4, 6, 6], .scalar])
    #expect(file.nets[0].check.warnings.contains { $0.message.contains("takes 2 bottoms, but 3 are given") })
    #expect(
      !(try check(
        """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "r" type: "ReLU" bottom: "x" bottom: "x" top: "r" }
        """)).loads)
  }

  /// Layers of forks that resize to another blob, several of them side by side.
  @Test func guessesWhatResizesToAnotherBlob() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
      layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 kernel_size: 2 stride: 2 } }
      layer { name: "b" type: "BilinearInterpolation" bottom: "a" bottom: "x" top: "b" }
      layer { name: "c" type: "SoftGate" bottom: "a" bottom: "x" top: "c" }
      layer { name: "d" type: "SoftGate" bottom: "a" bottom: "x" top: "d" }
      layer { name: "e" type: "Concat" bottom: "x" bottom: "b" bottom: "c" bottom: "d" top: "e" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.last?.tops[0].shape == [1, 15, 16, 16])
  }

  @Test func whatHasNoLayersIsNoNet() throws {
    #expect(!(try check(#"item { name: "face" label: 1 }"#)).loads)
  }

  @Test(arguments: [
    (#"layer { name: "c" type: "Convolutoin" bottom: "x" top: "c" }"#, "did you mean 'Convolution'"),
    (#"layer { name: "c" type: "SLICE" bottom: "x" top: "c" }"#, "unknown layer type 'SLICE'"),
    (#"layer { name: "c" type: "InnerProduct" inner_product_param { num_outptu: 3 } }"#, "num_output"),
    (#"layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" num_output: 3 }"#, "it belongs in"),
    (
      #"layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" inner_product_param { num_output: ${N} } }"#,
      "in a template, fill in the placeholder first"
    ),
  ])
  func slipsOfThePenStayFaults(_ layer: String, _ message: String) throws {
    let file = try check(
      #"layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }"# + "\n" + layer)
    #expect(!file.loads)
    let faults = (file.faults + file.nets.flatMap(\.check.faults)).map(\.message)
    #expect(faults.contains { $0.contains(message) }, "\(faults)")
  }

  /// What is not supported in a known layer does not hide the net around it.
  @Test func looksAroundFieldsThatAreNotSupported() throws {
    let file = try check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
      layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 pad_type: 1 } }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.warnings.contains { $0.message.contains("pad_type is not supported") })
  }

  @Test func guessesStepsAndStreams() throws {
    let file = try check(
      """
      layer { name: "i" type: "Input" top: "static" input_param { shape { dim: 9 dim: 7 } } }
      layer { name: "d" type: "HDF5Data" top: "cont" top: "words" hdf5_data_param { source: "none.txt" batch_size: 20 } }
      layer { name: "e" type: "Embed" bottom: "words" top: "e" embed_param { input_dim: 50 num_output: 6 } }
      layer { name: "l" type: "LSTM" bottom: "e" bottom: "cont" bottom: "static" top: "l"
        recurrent_param { num_output: 5 } }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.layers.last?.tops[0].shape == [20, 9, 5])
  }

  @Test func warnsOfLabelVectorsInRecords() throws {
    let file = try check(
      """
      layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 8 }
        transform_param { crop_size: 20 } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 30 } }
      layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "label" top: "loss" }
      """)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets[0].check.warnings.contains { $0.message.contains("the net needs 'label' to be 8x30") })
  }

  @Test func printsTables() throws {
    let text = CheckText(try check(Self.trained, CheckOptions(phase: .train))).text
    #expect(
      text.dropFirst(folder.count + 1) == """
        net.prototxt: TRAIN

        layer  type             top    shape        parameters  multiply-adds
        -----  ---------------  -----  -----------  ----------  -------------
        data   Data             data   8x3x20x20             -              -
                                label  8
        conv   Convolution      conv   8x4x16x16           304        614,400
        ip     InnerProduct     ip     8x10             10,250         81,920
        loss   SoftmaxWithLoss  loss   (one value)           -              -

        4 layers, 10,554 parameters (all learn; 41.2 KiB), 696,320 multiply-adds forward (87,040 a record, 8 records), blobs 69.8 KiB

        task  loss             weight  scores  its value is                  metrics
        ----  ---------------  ------  ------  ----------------------------  -------
        loss  SoftmaxWithLoss       1  8x10    mean over labelled positions  -
        """
        + "\n\n\(folder)/net.prototxt:1:1: note: layer 'data' (Data): its source is absent; guessed are data "
        + "8x3x20x20, label 8; --shape data=8x3x20x20 says otherwise")
  }

  @Test func writesJSON() throws {
    let text = try CheckJSON([try check(Self.trained)]).text()
    let root = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let files = try #require(root["files"] as? [[String: Any]])
    #expect(files[0]["loads"] as? Bool == true && files[0]["kind"] as? String == "net")
    let nets = try #require(files[0]["nets"] as? [[String: Any]])
    #expect(nets.map { $0["phase"] as? String } == ["TRAIN", "TEST"])
    #expect(nets[0]["multiplyAdds"] as? Int == 696_320)
    let layers = try #require(nets[0]["layers"] as? [[String: Any]])
    let tops = try #require(layers[0]["tops"] as? [[String: Any]])
    #expect(tops[0]["shape"] as? [Int] == [8, 3, 20, 20])
  }

  @Test func readsSolvers() throws {
    _ = try check(Self.trained)
    let file = try check(
      """
      net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 10 test_iter: 3 test_interval: 5
      solver_mode: GPU
      """, name: "solver.prototxt")
    #expect(file.kind == .solver)
    #expect(file.loads, "\(CheckText(file).faults)")
    #expect(file.nets.map(\.name) == ["TRAIN", "TEST"])
    #expect(file.warnings.count == 1)
  }

  @Test(arguments: [
    ("solver.prototxt", "net: \"gone.prototxt\" base_lr: 0.1 lr_policy: \"fixed\" max_iter: 10", "there is no file"),
    (
      "solver.prototxt", "net: \"x.prototxt\" base_rl: 0.1 lr_policy: \"fixed\" max_iter: 10", "unknown field 'base_rl'"
    ),
    ("net.prototxt", "layer { name: \"x\" type: \"ReLU\" botom: \"y\" }", "unknown field 'botom'"),
    ("net.prototxt", "layer { name: \"x\" type: \"ReLU\" bottom: \"y\" top: \"x\" }", "not produced by any layer"),
  ])
  func tellsWhyAFileCannotBeLoaded(_ name: String, _ text: String, _ message: String) throws {
    let file = try check(text, name: name)
    #expect(!file.loads)
    let faults = CheckText(file).faults
    #expect(faults.contains { $0.message.contains(message) }, "\(faults)")
  }

  @Test(arguments: [
    ("data=32x3x227x227", "data", [32, 3, 227, 227]), ("a=b=1,2", "a=b", [1, 2]), ("label=10", "label", [10]),
  ])
  func parsesShapes(_ argument: String, _ top: String, _ dims: [Int]) throws {
    let given = try #require(GivenShape(argument: argument))
    #expect(given.top == top && given.shape == Shape(dims))
  }

  @Test(arguments: ["data", "=3", "data=", "data=3xx4", "data=0x3", "data=-1"])
  func refusesNoShapes(_ argument: String) { #expect(GivenShape(argument: argument) == nil) }
}
