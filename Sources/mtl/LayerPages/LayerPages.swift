import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The manual: an overview of all layers, and a page for each, made from the comments of the code and of the schema.
struct LayerPages {
  private let catalogue: LayerCatalogue
  private let sources: SwiftSources
  private let schema: ProtoSource

  init(_ catalogue: LayerCatalogue, sources: SwiftSources, schema: ProtoSource) {
    self.catalogue = catalogue
    self.sources = sources
    self.schema = schema
  }

  /// All files by their paths from the folder of documents.
  func all() throws -> [String: String] {
    var pages = ["layers.md": try overview()]
    for layer in catalogue.all { pages["layers/\(layer.type).md"] = try page(layer) }
    return pages
  }

  private static let origin = "<!-- Made by tools/generate-layer-pages from the comments in Sources. -->\n"

  // MARK: The overview

  private func overview() throws -> String {
    var text =
      LayerPages.origin + """

        # Layers

        Every layer type, with a page for each. `mtl check NET.prototxt` tells the shapes of a net.

        """
    for (role, title) in [
      (LayerRole.data, "Data"), (.transform, "Blobs from blobs"), (.loss, "Losses"), (.metric, "Metrics"),
    ] {
      text += "\n## \(title)\n\n| type | what it computes |\n|---|---|\n"
      for layer in catalogue.all where layer.role == role {
        text += "| [\(layer.type)](layers/\(layer.type).md) | \(LayerPages.cell(firstSentence(try comment(layer)))) |\n"
      }
    }
    text += """

      ## Shapes only

      Layers of single forks that `mtl check` knows the shapes of, and that are refused when a net is to run.

      | type | why, and what can take its place |
      |---|---|

      """
    for type in catalogue.allShapeOnly { text += "| \(type.type) | \(LayerPages.cell(type.remark)) |\n" }
    return text
  }

  private func firstSentence(_ comment: String) -> String {
    let paragraph = comment.split(separator: "\n", omittingEmptySubsequences: false).prefix { !$0.isEmpty }
    let words = paragraph.joined(separator: " ")
    guard let end = words.range(of: ". ") else { return words }
    return String(words[..<end.lowerBound]) + "."
  }

  // MARK: A page

  private func comment(_ layer: any Layer.Type) throws -> String {
    let name = String(describing: layer)
    guard let comment = sources.comment(ofType: name) else {
      throw Diagnostic(.unreadableFile, "layer \(layer.type): there is no comment before 'struct \(name)'")
    }
    return comment
  }

  private func page(_ layer: any Layer.Type) throws -> String {
    var text = LayerPages.origin + "\n# \(layer.type)\n\n\(try comment(layer))\n"
    text += "\nBottoms: \(LayerPages.count(layer.bottomCount)). Tops: \(LayerPages.count(layer.topCount))."
    if layer.role == .loss { text += " The first top is a loss: its `loss_weight` is 1 unless given." }
    text += "\n"
    let blocks = blocks(of: layer)
    if blocks.isEmpty { text += "\nNo parameters.\n" }
    for block in blocks { text += fields(of: block) }
    if let example = try example(of: layer) { text += "\n## Example\n\n```\n\(example)```\n" }
    return text
  }

  private static func count(_ range: ClosedRange<Int>) -> String {
    if range.upperBound == .max { return range.lowerBound == 0 ? "any number" : "\(range.lowerBound) or more" }
    return range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
  }

  /// The blocks of `LayerParameter` that the layer reads.
  private func blocks(of layer: any Layer.Type) -> [ProtoSource.Field] {
    (layer.parameterFields ?? []).compactMap { schema.field($0, of: "LayerParameter") }
  }

  private func fields(of block: ProtoSource.Field) -> String {
    var text = "\n## \(block.name)\n\n| field | type | default | meaning |\n|---|---|---|---|\n"
    for field in schema.messages[block.type] ?? [] {
      let type = field.isRepeated ? "\(field.type), any number" : field.type
      var meaning = field.comment
      if let values = schema.enumerations["\(block.type).\(field.type)"] ?? schema.enumerations[field.type] {
        meaning += (meaning.isEmpty ? "" : " ") + "One of \(values.joined(separator: ", "))."
      }
      if field.isForks { meaning += (meaning.isEmpty ? "" : " ") + "Not of Caffe." }
      text += "| `\(field.name)` | \(type) | \(field.defaultValue ?? "-") | \(LayerPages.cell(meaning)) |\n"
    }
    return text
  }

  private func example(of layer: any Layer.Type) throws -> String? {
    guard let example = layer.examples.first else { return nil }
    var net = try NetSource(text: example.prototxt, file: layer.type).parameter
    net.layer.removeAll { $0.type != layer.type }
    return net.layer.isEmpty ? nil : printText(net)
  }

  private static func cell(_ text: String) -> String {
    text.isEmpty ? "-" : text.split(separator: "\n").joined(separator: " ").replacingBars
  }
}

extension String {
  /// A bar would end the cell of a table.
  fileprivate var replacingBars: String {
    split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
  }
}
