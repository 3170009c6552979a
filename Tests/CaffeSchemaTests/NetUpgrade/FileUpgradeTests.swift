import CaffeSchema
import Diagnostics
import Foundation
import Testing

@Suite struct FileUpgradeTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "upgrade-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func upgrade(_ text: String) throws -> (text: String, isChanged: Bool) {
    let path = folder + "/file.prototxt"
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    let upgrade = try FileUpgrade(path: path)
    guard case .text(let new) = upgrade.content else {
      Issue.record("no text")
      return ("", false)
    }
    return (new, upgrade.isChanged)
  }

  @Test func keepsTheCommentsOfA2014Net() throws {
    let old = """
      # A small net.
      name: "small" # its name
      input: "data"
      input_dim: 1
      input_dim: 3
      input_dim: 8   # rows
      input_dim: 8
      # The only convolution.
      layers {
        name: "conv # no comment" type: CONVOLUTION bottom: "data" top: "conv"
        blobs_lr: 1
      \tblobs_lr: 2\t# the bias learns faster
        convolution_param {
          num_output: 4  # filters
          # small
          kernel_size: 3
        }
      }
      # The end.
      """
    let new = """
      # A small net.
      name: "small"  # its name
      layer {
        name: "input"
        type: "Input"
        top: "data"
        input_param {
          shape {
            dim: 1
            dim: 3
            dim: 8  # rows
            dim: 8
          }
        }
      }
      # The only convolution.
      layer {
        name: "conv # no comment"
        type: "Convolution"
        bottom: "data"
        top: "conv"
        param {
          lr_mult: 1
        }
        param {
          lr_mult: 2  # the bias learns faster
        }
        convolution_param {
          num_output: 4  # filters
          # small
          kernel_size: 3
        }
      }
      # The end.

      """
    let outcome = try upgrade(old)
    #expect(outcome.text == new)
    #expect(outcome.isChanged)
    // What comes out is in today's form.
    #expect(try upgrade(outcome.text).isChanged == false)
  }

  @Test func upgrades2013() throws {
    let outcome = try upgrade(
      """
      layers { layer { name: "d" type: "data" source: "db" cropsize: 20 batchsize: 4 # records
        } top: "data" top: "label" }
      layers { layer { name: "p" type: "padding" pad: 2 } bottom: "data" top: "p" }
      layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 5 # odd
        } bottom: "p" top: "c" }
      """)
    #expect(outcome.text.contains("batch_size: 4  # records"))
    #expect(outcome.text.contains("kernel_size: 5  # odd"))
    #expect(outcome.text.contains("pad: 2"))
    #expect(!outcome.text.contains("padding"))
    let source = try NetSource(text: outcome.text, file: "new.prototxt")
    #expect(source.parameter.layer.map(\.type) == ["Data", "Convolution"])
  }

  @Test func upgradesSolversWithTheirNets() throws {
    let outcome = try upgrade(
      """
      # How it learns.
      base_lr: 0.01
      solver_type: NESTEROV # not SGD
      net_param {
        layers { name: "r" type: RELU bottom: "x" top: "x" } # the layer
      }
      """)
    #expect(
      outcome.text == """
        # How it learns.
        base_lr: 0.01
        net_param {
          layer {
            name: "r"
            type: "ReLU"
            bottom: "x"
            top: "x"  # the layer
          }
        }
        type: "Nesterov"  # not SGD

        """)
  }

  @Test func leavesTodaysFilesAlone() throws {
    let text = "layer{name:'r' type:'ReLU'   bottom:'x' top:'x'}\r\n\r\n# odd but modern"
    let outcome = try upgrade(text)
    #expect(outcome.text == text)
    #expect(!outcome.isChanged)
  }

  @Test func upgradesWeights() throws {
    var layer = V1LayerParameter()
    layer.name = "conv"
    layer.type = .convolution
    var blob = BlobProto()
    blob.num = 1
    blob.channels = 1
    blob.height = 1
    blob.width = 2
    blob.data = [1, 2]
    layer.blobs = [blob]
    var net = NetParameter()
    net.layers = [layer]
    let path = folder + "/old.caffemodel"
    try writeBinary(net, to: path)
    let upgrade = try FileUpgrade(path: path)
    guard case .weights(let new) = upgrade.content else {
      Issue.record("no weights")
      return
    }
    #expect(upgrade.isChanged)
    #expect(new.layers.isEmpty)
    #expect(new.layer.map(\.type) == ["Convolution"])
    #expect(new.layer[0].blobs == [blob])
  }

  @Test func tellsFaultsOfTheNet() throws {
    let fault = #expect(throws: Diagnostic.self) { try upgrade("layer { nmae: \"x\" }") }
    #expect(fault?.message.contains("unknown field 'nmae'") == true)
  }
}
