import CaffeSchema
import Diagnostics
import Testing

@Suite struct V0UpgradeTests {
  private let text = """
    name: "old"
    layers {
      layer { name: "d" type: "data" source: "db" meanfile: "m" batchsize: 3 cropsize: 9 mirror: true scale: 2
        rand_skip: 5 det_context_pad: 16 }
      top: "data" top: "label"
    }
    layers {
      layer { name: "p" type: "padding" pad: 2 }
      bottom: "data" top: "padded"
    }
    layers {
      layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 stride: 2 group: 1 biasterm: false
        weight_filler { type: "xavier" } blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
        blobs { num: 1 } }
      bottom: "padded" top: "c"
    }
    layers { layer { name: "q" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1 } bottom: "c" top: "q" }
    layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.2 } bottom: "q" top: "n" }
    layers { layer { name: "o" type: "dropout" dropout_ratio: 0.3 } bottom: "n" top: "n" }
    layers { layer { name: "i" type: "innerproduct" num_output: 10 } bottom: "n" top: "i" }
    layers { layer { name: "l" type: "softmax_loss" } bottom: "i" bottom: "label" }
    """

  @Test func bringsLayersIntoTodaysForm() throws {
    let net = try NetSource(text: text, file: "n").parameter
    #expect(net.name == "old")
    #expect(net.layer.map(\.name) == ["d", "c", "q", "n", "o", "i", "l"])
    #expect(
      net.layer.map(\.type) == ["Data", "Convolution", "Pooling", "LRN", "Dropout", "InnerProduct", "SoftmaxWithLoss"])
    #expect(net.layer[0].dataParam.source == "db")
    #expect(net.layer[0].dataParam.batchSize == 3)
    #expect(net.layer[0].dataParam.randSkip == 5)
    #expect(net.layer[3].lrnParam.localSize == 3)
    #expect(net.layer[4].dropoutParam.dropoutRatio == 0.3)
    #expect(net.layer[5].innerProductParam.numOutput == 10)
  }

  @Test func movesTransformations() throws {
    let layer = try NetSource(text: text, file: "n").parameter.layer[0]
    #expect(
      layer.transformParam
        == .with {
          $0.meanFile = "m"
          $0.cropSize = 9
          $0.mirror = true
          $0.scale = 2
        })
  }

  @Test func foldsPaddingIntoWhatFollows() throws {
    let layer = try NetSource(text: text, file: "n").parameter.layer[1]
    #expect(layer.bottom == ["data"])
    #expect(
      layer.convolutionParam
        == .with {
          $0.numOutput = 4
          $0.kernelSize = [5]
          $0.stride = [2]
          $0.group = 1
          $0.biasTerm = false
          $0.pad = [2]
          $0.weightFiller.type = "xavier"
        })
    #expect(layer.param.map(\.lrMult) == [1, 2])
    #expect(layer.param.map(\.decayMult) == [1, 0])
    #expect(layer.blobs.count == 1)
  }

  @Test func setsPooling() throws {
    let pooling = try NetSource(text: text, file: "n").parameter.layer[2].poolingParam
    #expect(
      pooling
        == .with {
          $0.pool = .ave
          $0.kernelSize = 3
          $0.stride = 2
          $0.pad = 1
        })
  }

  @Test(arguments: [
    (0, "name", "n:3:11"), (0, "transform_param.mean_file", "n:3:47"), (0, "data_param.batch_size", "n:3:61"),
    (1, "convolution_param.kernel_size", "n:12:48"), (1, "param[1].lr_mult", "n:13:50"), (1, "bottom[0]", "n:15:3"),
    (2, "pooling_param.pool", "n:17:41"), (2, "relu_param", "n:17:1"),
  ])
  func keepsPlaces(_ layer: Int, _ path: String, _ place: String) throws {
    #expect(try NetSource(text: text, file: "n").layerPlaces[layer].location(path)?.description == place)
  }

  @Test func warnsOfFieldsThatMeanNothingToTheType() throws {
    #expect(
      try NetSource(text: text, file: "n").warnings.map(\.description) == [
        "n:4:18: warning: layer 'd' (Data): 'det_context_pad' means nothing to a layer of type 'data', and is left out"
      ])
  }

  @Test func refusesAnUnknownType() {
    #expect(
      messages { _ = try NetSource(text: "layers { layer { name: \"c\" type: \"convv\" } }", file: "n") }
        == "n:1:28: error: layer 'c' has the unknown type 'convv'; did you mean 'conv'?")
  }

  @Test func refusesPaddingThatNothingTakes() {
    let text = """
      layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" }
      layers { layer { name: "r" type: "relu" } bottom: "y" top: "z" }
      """
    #expect(
      messages { _ = try NetSource(text: text, file: "n") } == """
        n:1:1: error: padding layer 'p' must have one bottom and one top, and be followed by convolution or pooling \
        with one bottom
          note: 'r' reads it at n:2:1
        """)
  }
}
