import Diagnostics
import Foundation
import Nets
import Testing

@testable import CaffeSchema
@testable import Records

/// No field of a data layer is passed over in silence: it is one of those that are honoured, or it is refused or reported.
@Suite struct FieldTests {
  static let fixtures = Bundle.module.bundlePath + "/Fixtures"

  struct Field: CustomTestStringConvertible, Sendable {
    let layer: String
    let parameter: String
    let field: SchemaDescription.Field
    var testDescription: String { "\(layer), \(parameter).\(field.name)" }
  }

  /// What each layer needs to run, by its message.
  static let needs: [String: [String: String]] = [
    "Data": ["data_param": #"source: "\#(fixtures)/leveldb" batch_size: 1"#],
    "HDF5Data": ["hdf5_data_param": #"source: "\#(fixtures)/hdf5/files.txt" batch_size: 1"#],
    "ImageData": [
      "image_data_param": #"source: "\#(fixtures)/convert/list.txt" batch_size: 1 new_height: 4 new_width: 4"#
    ],
    "MemoryData": ["memory_data_param": "batch_size: 1 channels: 1 height: 4 width: 4"],
    "WindowData": [
      "window_data_param": #"source: "WINDOWS" batch_size: 1 fg_fraction: 0"#, "transform_param": "crop_size: 4",
    ],
    "AnnotatedData": ["data_param": #"source: "ANNOTATED" batch_size: 1"#],
  ]

  /// Fields that the layers follow, by message; tests of the layers show that they do.
  static let honoured: [String: Set<String>] = [
    "data_param": [
      "source", "batch_size", "rand_skip", "force_encoded_color", "prefetch", "shuffle", "sampler", "mixed", "mixing",
      "source_weight",
    ],
    "hdf5_data_param": ["source", "batch_size", "shuffle"],
    "image_data_param": [
      "source", "batch_size", "rand_skip", "shuffle", "new_height", "new_width", "is_color", "root_folder", "label_num",
      "label_dim", "label_size", "sampler",
    ],
    "memory_data_param": ["batch_size", "channels", "height", "width"],
    "window_data_param": [
      "source", "batch_size", "scale", "fg_threshold", "bg_threshold", "fg_fraction", "context_pad", "crop_mode",
      "root_folder",
    ],
    "annotated_data_param": ["batch_sampler"],
    "transform_param": ["scale", "mirror", "crop_size", "mean_file", "mean_value"],
  ]

  /// Of `transform_param`, those that layers over pictures follow.
  static let forPictures: Set<String> = [
    "resize_param", "distort_param", "expand_param", "noise_param", "crop_height", "crop_width", "crop_h", "crop_w",
  ]

  static let fields: [Field] = recordLayerTypes.flatMap { type -> [Field] in
    guard needs[type.type] != nil else { return [] }
    return (type.parameterFields ?? []).flatMap { parameter -> [Field] in
      guard let holder = SchemaDescription.shared.field(parameter, of: "caffe.LayerParameter"),
        case .message(let message) = holder.kind
      else { return [] }
      return (SchemaDescription.shared.messages[message] ?? []).map {
        Field(layer: type.type, parameter: parameter, field: $0)
      }
    }
  }.filter { field in
    if honoured[field.parameter]?.contains(field.field.name) == true { return false }
    guard field.parameter == "transform_param" else { return true }
    switch field.layer {
    case "Data":
      return !forPictures.union(["force_color", "force_gray", "points"]).contains(field.field.name)
    // Images are in colour unless is_color says otherwise, and then force_color is refused.
    case "ImageData": return !forPictures.union(["force_color", "points"]).contains(field.field.name)
    case "AnnotatedData":
      return !forPictures.union(["emit_constraint", "force_color", "force_gray"]).contains(field.field.name)
    case "MemoryData": return !["crop_height", "crop_width", "crop_h", "crop_w"].contains(field.field.name)
    default: return true
    }
  }

  private let folder: TestFolder

  init() throws {
    folder = try TestFolder()
    let picture = Image(height: 5, width: 5, channels: 1, pixels: [UInt8](repeating: 9, count: 25))
    try folder.write(picture.encoded(as: .png), to: "a.png")
    try folder.write("# 0 a.png 1 5 5 1 0 0 0 0 3 3", to: "WINDOWS")
  }

  /// Waits for the disk, so only for the layer that reads it.
  private func writeAnnotated() throws {
    try FileManager.default.createDirectory(atPath: folder("ANNOTATED"), withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: folder("ANNOTATED"))
    var annotated = AnnotatedDatum()
    (annotated.datum.channels, annotated.datum.height, annotated.datum.width) = (1, 5, 5)
    annotated.datum.data = Data(repeating: 9, count: 25)
    try writer.put(key: [65], value: Array(annotated.serializedData()))
    try writer.finish()
  }

  @Test func whatIsNeededSuffices() throws {
    try writeAnnotated()
    for layer in Self.needs.keys { #expect(fault(text(layer), in: folder) == "no fault", "\(layer)") }
  }

  @Test(arguments: fields)
  func isRefusedOrReported(_ field: Field) throws {
    if field.layer == "AnnotatedData" { try writeAnnotated() }
    for value in Self.values(of: field.field) {
      let text = text(field.layer, field.parameter, "\(field.field.name)\(value)")
      do {
        let net = try dataNet(text, in: folder)
        if (net.source.warnings + net.graph.warnings).contains(where: { $0.message.contains(field.field.name) }) {
          return
        }
      } catch let fault as Diagnostic {
        if fault.code == .unsupported, fault.layer?.type == field.layer { return }
      }
    }
    Issue.record("\(field.parameter).\(field.field.name) of a \(field.layer) layer is passed over in silence")
  }

  private func text(_ layer: String, _ parameter: String = "", _ more: String = "") -> String {
    var messages = Self.needs[layer] ?? [:]
    if !parameter.isEmpty { messages[parameter] = (messages[parameter] ?? "") + " " + more }
    let written = messages.keys.sorted().map { "\($0) { \(messages[$0] ?? "") }" }.joined(separator: " ")
    return
      #"layer { name: "d" type: "\#(layer)" top: "data" \#(layer == "HDF5Data" ? "" : #"top: "label""#) \#(written) }"#
  }

  private static func values(of field: SchemaDescription.Field) -> [String] {
    switch field.kind {
    case .bool: [": true", ": false"]
    case .unsigned, .signed: [": 3", ": 1"]
    case .number: [": 0.5", ": 3"]
    case .string: [": 'x'"]
    case .enumeration(let type): (SchemaDescription.shared.enumerations[type] ?? []).map { ": \($0.name)" }
    case .message: [" { }"]
    }
  }
}
