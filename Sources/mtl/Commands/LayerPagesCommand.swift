import ArgumentParser
import CaffeSchema
import Diagnostics
import Foundation

/// `mtl layer-pages`: writes docs/layers.md and docs/layers; for those who change this program.
struct LayerPagesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layer-pages",
    _superCommandName: "mtl",
    abstract: "Writes the manual pages of the layers from the comments in the sources.",
    shouldDisplay: false
  )

  @Argument(help: ArgumentHelp("The folder of this program's sources.", valueName: "repository"))
  var repository: String

  /// The pages as they should be, by their paths from docs.
  static func pages(repository: String) throws -> [String: String] {
    let schema = "\(repository)/Sources/CaffeSchema/caffe.proto"
    guard let text = try? String(contentsOfFile: schema, encoding: .utf8) else {
      throw Diagnostic(.unreadableFile, "'\(schema)' cannot be read; name the folder of the sources")
    }
    let sources = try SwiftSources(folders: ["\(repository)/Sources/Layers", "\(repository)/Sources/Records"])
    return try LayerPages(EngineOptions.catalogue, sources: sources, schema: ProtoSource(text)).all()
  }

  func run() throws {
    let pages = try LayerPagesCommand.pages(repository: repository)
    let docs = repository + "/docs"
    let files = FileManager.default
    let folder = docs + "/layers"
    try? files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in (try? files.contentsOfDirectory(atPath: folder)) ?? [] where pages["layers/\(name)"] == nil {
      try? files.removeItem(atPath: "\(folder)/\(name)")
    }
    for (path, text) in pages.sorted(by: { $0.key < $1.key }) { try writeFile(text, to: "\(docs)/\(path)") }
    print("\(pages.count) pages in \(docs)")
  }
}
