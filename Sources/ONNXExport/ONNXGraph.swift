import Foundation
import ONNXMessages
import Tensors

/// An ONNX graph that is being made: nodes in the order in which they run, and constants.
///
/// Operators are those of opset 13 (github.com/onnx/onnx, docs/Operators.md), which every runtime of the last years reads.
final class ONNXGraph {
  /// The version of the operators, and of the file's form.
  static let opset: Int64 = 13
  static let formVersion: Int64 = 7

  /// What tells a node more than its inputs do.
  enum Attribute {
    case int(Int)
    case ints([Int])
    case float(Float)
    case text(String)
  }

  private(set) var message = Onnx_GraphProto()
  private var names: Set<String> = []
  /// By the parameter and the shape that it is wanted in: shared parameters are there once.
  private var parameters: [ParameterKey: String] = [:]

  private struct ParameterKey: Hashable {
    let parameter: ObjectIdentifier
    let dims: [Int]
  }

  /// - Parameter names: of values, which no constant may have.
  init(name: String, names: [String]) {
    message.name = name
    self.names = Set(names)
  }

  /// A name that nothing has yet.
  func unusedName(_ wanted: String) -> String {
    var name = wanted
    var number = 1
    while !names.insert(name).inserted {
      number += 1
      name = "\(wanted)_\(number)"
    }
    return name
  }

  func add(_ type: String, name: String, _ inputs: [String], _ attributes: [String: Attribute], to outputs: [String]) {
    var node = Onnx_NodeProto()
    node.opType = type
    node.name = name
    node.input = inputs
    node.output = outputs
    node.attribute = attributes.sorted { $0.key < $1.key }.map { name, value in
      var attribute = Onnx_AttributeProto()
      attribute.name = name
      switch value {
      case .int(let number): (attribute.type, attribute.i) = (.int, Int64(number))
      case .ints(let numbers): (attribute.type, attribute.ints) = (.ints, numbers.map(Int64.init))
      case .float(let number): (attribute.type, attribute.f) = (.float, number)
      case .text(let text): (attribute.type, attribute.s) = (.string, Data(text.utf8))
      }
      return attribute
    }
    message.node.append(node)
  }

  // MARK: Constants

  /// A parameter in a shape of as many values.
  func parameter(_ parameter: Parameter, name: String, dims: [Int]) -> String {
    let key = ParameterKey(parameter: ObjectIdentifier(parameter), dims: dims)
    if let known = parameters[key] { return known }
    let values = UnsafeRawBufferPointer(start: parameter.values, count: parameter.count * MemoryLayout<Float>.stride)
    let added = add(Data(values), .float, dims, name)
    parameters[key] = added
    return added
  }

  func constant(_ values: [Float], name: String, dims: [Int]) -> String {
    add(values.withUnsafeBytes { Data($0) }, .float, dims, name)
  }

  func constant(_ values: [Int], name: String) -> String {
    add(values.map(Int64.init).withUnsafeBytes { Data($0) }, .int64, [values.count], name)
  }

  /// The format is little-endian, as is every machine that this program runs on.
  private func add(_ bytes: Data, _ type: Onnx_TensorProto.DataType, _ dims: [Int], _ wanted: String) -> String {
    var tensor = Onnx_TensorProto()
    tensor.name = unusedName(wanted)
    tensor.dataType = Int32(type.rawValue)
    tensor.dims = dims.map(Int64.init)
    tensor.rawData = bytes
    message.initializer.append(tensor)
    return tensor.name
  }

  // MARK: Ends

  /// - Parameter batch: the name of the first extent, where the caller chooses it.
  func addInput(_ name: String, _ shape: Shape, batch: String?) {
    message.input.append(ONNXGraph.value(name, shape, batch))
  }

  func addOutput(_ name: String, _ shape: Shape, batch: String?) {
    message.output.append(ONNXGraph.value(name, shape, batch))
  }

  private static func value(_ name: String, _ shape: Shape, _ batch: String?) -> Onnx_ValueInfoProto {
    var value = Onnx_ValueInfoProto()
    value.name = name
    value.type.tensorType.elemType = Int32(Onnx_TensorProto.DataType.float.rawValue)
    value.type.tensorType.shape.dim = shape.dims.enumerated().map { axis, extent in
      var dimension = Onnx_TensorShapeProto.Dimension()
      if axis == 0, let batch { dimension.dimParam = batch } else { dimension.dimValue = Int64(extent) }
      return dimension
    }
    return value
  }
}
