import Diagnostics
import Nets
import Tensors

/// A layer that ONNX can say: one extension for each, in `Translations`.
protocol ONNXLayer: Layer {
  /// Adds the nodes that make the layer's tops.
  ///
  /// - Throws: what `LayerTranslation.refusal` makes, for fields that ONNX has no word for.
  func translate(_ layer: LayerTranslation) throws
}

/// A layer on its way into an ONNX graph: its values and parameters there, and the means to add nodes.
struct LayerTranslation {
  /// A blob in the graph.
  struct Value {
    let name: String
    let shape: Shape
  }

  let fields: LayerFields
  let bottoms: [Value]
  let tops: [Value]
  let parameters: [(definition: ParameterDefinition, parameter: Parameter)]
  let graph: ONNXGraph

  var name: String { fields.name }
  var bottom: Value { bottoms[0] }
  var top: Value { tops[0] }

  /// - Parameter why: what follows "cannot be exported to ONNX: ".
  func refusal(_ why: String, at field: String = "") -> Diagnostic {
    fields.fault(.unsupported, "cannot be exported to ONNX: \(why)", at: field)
  }

  // MARK: Nodes

  /// Adds the node that makes a top.
  func make(
    _ top: Value, _ type: String, _ inputs: [String], _ attributes: [String: ONNXGraph.Attribute] = [:]
  ) {
    graph.add(type, name: graph.unusedName("\(name):\(type)"), inputs, attributes, to: [top.name])
  }

  /// Adds the node that makes the only top.
  func make(_ type: String, _ inputs: [String], _ attributes: [String: ONNXGraph.Attribute] = [:]) {
    make(top, type, inputs, attributes)
  }

  /// Adds a node on the way to a top.
  ///
  /// - Returns: what it makes.
  func step(_ type: String, _ inputs: [String], _ attributes: [String: ONNXGraph.Attribute] = [:]) -> String {
    let made = graph.unusedName("\(name):\(type)")
    graph.add(type, name: made, inputs, attributes, to: [made])
    return made
  }

  /// The values of `input` in another shape. The first extent is left open, for the batch may be of any size.
  func reshaped(_ input: String, to shape: Shape, as top: Value? = nil) -> String {
    let open = shape.rank > 0 && shape.count > 0 ? [-1] + shape.dims.dropFirst() : shape.dims
    let wanted = graph.constant(open, name: "\(name):shape")
    guard let top else { return step("Reshape", [input, wanted]) }
    make(top, "Reshape", [input, wanted])
    return top.name
  }

  // MARK: Constants

  /// Parameter `index`, or nil where the layer has fewer.
  ///
  /// - Parameter dims: of as many values; the parameter's own unless given.
  func parameter(_ index: Int, dims: [Int]? = nil) -> String? {
    guard index < parameters.count else { return nil }
    let (definition, parameter) = parameters[index]
    return graph.parameter(parameter, name: "\(name)/\(definition.name)", dims: dims ?? parameter.shape.dims)
  }

  /// A parameter that every layer of this type has.
  func weights(_ index: Int = 0, dims: [Int]? = nil) throws -> String {
    guard let name = parameter(index, dims: dims) else { throw refusal("it has no parameter \(index)") }
    return name
  }

  func values(_ index: Int) -> [Float] {
    let parameter = parameters[index].parameter
    return Array(UnsafeBufferPointer(start: parameter.values, count: parameter.count))
  }

  func number(_ value: Float) -> String { graph.constant([value], name: "\(name):number", dims: []) }
  func numbers(_ values: [Float], dims: [Int]) -> String {
    graph.constant(values, name: "\(name):numbers", dims: dims)
  }
  func integers(_ values: [Int]) -> String { graph.constant(values, name: "\(name):integers") }
}
