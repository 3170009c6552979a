import CaffeSchema
import Testing

@Suite struct V1UpgradeTests {
  private let text = """
    layers {
      name: "d" type: IMAGE_DATA top: "data" top: "label"
      image_data_param { source: "list" batch_size: 2 crop_size: 7 mirror: true
        mean_file: "m" scale: 0.5 }
      include { phase: TRAIN }
    }
    layers {
      name: "c" type: CONVOLUTION bottom: "data" top: "c"
      blobs_lr: 1 blobs_lr: 2
      weight_decay: 3 weight_decay: 0
      param: "shared_w"
      blob_share_mode: PERMISSIVE
      convolution_param { num_output: 4 kernel_size: 3 }
      blobs { num: 4 channels: 1 height: 3 width: 3 }
    }
    layers { name: "l" type: SOFTMAX_LOSS bottom: "c" bottom: "label" loss_weight: 2 exclude { stage: "x" } }
    """

  @Test func bringsLayersIntoTodaysForm() throws {
    let net = try NetSource(text: text, file: "n").parameter
    #expect(net.layers.isEmpty)
    #expect(net.layer.map(\.name) == ["d", "c", "l"])
    #expect(net.layer.map(\.type) == ["ImageData", "Convolution", "SoftmaxWithLoss"])
    #expect(net.layer[0].include[0].phase == .train)
    #expect(net.layer[1].convolutionParam.kernelSize == [3])
    #expect(net.layer[1].blobs[0].dims == [4, 1, 3, 3])
    #expect(net.layer[2].lossWeight == [2])
    #expect(net.layer[2].exclude[0].stage == ["x"])
  }

  @Test func bringsTrainingOfParametersTogether() throws {
    let specs = try NetSource(text: text, file: "n").parameter.layer[1].param
    #expect(
      specs == [
        ParamSpec.with {
          $0.name = "shared_w"
          $0.shareMode = .permissive
          $0.lrMult = 1
          $0.decayMult = 3
        },
        ParamSpec.with {
          $0.lrMult = 2
          $0.decayMult = 0
        },
      ])
  }

  @Test func movesTransformations() throws {
    let source = try NetSource(text: text, file: "n")
    let layer = source.parameter.layer[0]
    #expect(
      layer.transformParam
        == .with {
          $0.cropSize = 7
          $0.mirror = true
          $0.meanFile = "m"
          $0.scale = 0.5
        })
    #expect(
      layer.imageDataParam
        == .with {
          $0.source = "list"
          $0.batchSize = 2
        })
    #expect(source.warnings.isEmpty)
  }

  @Test(arguments: [
    (0, "", "n:1:1"), (0, "type", "n:2:13"), (0, "transform_param.crop_size", "n:3:51"),
    (0, "transform_param.scale", "n:4:20"), (0, "image_data_param.source", "n:3:22"),
    (1, "param[0].lr_mult", "n:9:3"), (1, "param[1].lr_mult", "n:9:15"), (1, "param[1].decay_mult", "n:10:19"),
    (1, "param[0].name", "n:11:3"), (1, "param[0].share_mode", "n:12:3"), (1, "param[1].name", "n:7:1"),
    (1, "convolution_param.kernel_size", "n:13:37"), (2, "loss_weight", "n:16:67"),
  ])
  func keepsPlaces(_ layer: Int, _ path: String, _ place: String) throws {
    #expect(try NetSource(text: text, file: "n").layerPlaces[layer].location(path)?.description == place)
  }

  @Test func knowsEveryTypeOfTheFormat() throws {
    for line in try fixture("v1_layer_types.tsv").split(separator: "\n").dropFirst() {
      let cells = line.split(separator: "\t", omittingEmptySubsequences: false)
      let net = try NetSource(text: "layers { type: \(cells[0]) }", file: "n").parameter
      #expect(net.layer[0].type == cells[1])
    }
  }

  @Test func keepsTheOrderOfAFileThatMixesForms() throws {
    let text = "layer { name: \"a\" }\nlayers { name: \"b\" }\nlayer { name: \"c\" }\nlayers { name: \"d\" }\n"
    let source = try NetSource(text: text, file: "n")
    #expect(source.parameter.layer.map(\.name) == ["a", "b", "c", "d"])
    #expect(source.layerPlaces.map { $0.location("name")?.line } == [1, 2, 3, 4])
  }

  @Test func upgradesWeightsToo() throws {
    var weights = NetParameter()
    weights.layers = [
      V1LayerParameter.with {
        $0.name = "c"
        $0.type = .innerProduct
        $0.blobs = [BlobProto.with { $0.data = [1, 2] }]
      }
    ]
    let source = try NetSource(parameter: weights, file: "w.caffemodel")
    #expect(source.parameter.layer[0].blobs[0].data == [1, 2])
    #expect(source.layerPlaces[0].location("type")?.description == "w.caffemodel")
  }

  @Test func warnsOfCropsThatAlignedThemselves() throws {
    let source = try NetSource(text: "layers { name: \"c\" type: CROP bottom: \"a\" bottom: \"b\" }", file: "n")
    #expect(source.parameter.layer[0].type == "Crop")
    #expect(
      source.warnings.map(\.description) == [
        "n:1:1: warning: layer 'c' (Crop): CROP of 2014 aligned its bottoms by the layers between them; "
          + "Crop cuts at offset 0"
      ])
  }
}
