import CaffeSchema
import Nets
import Tensors

/// Recurrent layers of forks whose bottoms are laid out in another way than LSTM's.
let shapeOnlyRecurrences: [ShapeOnlyType] = ["LstmAttention", "LstmSimple"].map { type in
  ShapeOnlyType(
    type, bottoms: 1...4, tops: 1...3, "LSTM is the one that runs: bottoms steps x streams x values, and marks",
    .shapes { fields, bottoms in
      let outputs = outputs(of: fields.parameter)
      let streams = bottoms[0].extent(1)
      let inputs = bottoms[0].count / max(1, bottoms[0].extent(0) * streams)
      return LayerShapes(
        tops: fields.parameter.top.indices.map {
          $0 == 0 ? [bottoms[0].extent(0), streams, outputs] : [1, streams, outputs]
        }, parameters: lstmParameters(inputs, outputs))
    })
}

private func outputs(of layer: LayerParameter) -> Int {
  Int(layer.hasLstmSimpleParam ? layer.lstmSimpleParam.numOutput : layer.lstmAttentionParam.numOutput)
}

private func lstmParameters(_ inputs: Int, _ outputs: Int) -> [ParameterDefinition] {
  let filler = FillerParameter()
  return [
    .init(name: "input weights", shape: [4 * outputs, inputs], filler: filler),
    .init(name: "hidden weights", shape: [4 * outputs, outputs], filler: filler),
    .init(name: "bias", shape: [4 * outputs], filler: filler),
  ]
}
