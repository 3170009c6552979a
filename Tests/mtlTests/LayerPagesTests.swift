import Foundation
import Testing

@testable import mtl

@Suite struct LayerPagesTests {
  private static let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// Run tools/generate-layer-pages when this fails.
  @Test func pagesAreCurrent() throws {
    let pages = try LayerPagesCommand.pages(repository: Self.repository)
    for (path, text) in pages {
      let written = try? String(contentsOfFile: "\(Self.repository)/docs/\(path)", encoding: .utf8)
      #expect(written == text, "docs/\(path) is not current; run tools/generate-layer-pages")
    }
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.repository + "/docs/layers")
    #expect(Set(files.map { "layers/\($0)" }) == Set(pages.keys).subtracting(["layers.md"]))
  }

  @Test func readsTheSchemasComments() {
    let schema = ProtoSource(
      """
      // A message.
      message BlurParameter {
        enum Kind {
          BOX = 0;
          ROUND = 1;
        }
        // The side of the window,
        // in pixels.
        optional uint32 side = 1 [default = 3];
        repeated float weight = 2 [packed = true];
        // Of forks.

        optional Kind kind = 10001 [default = BOX];
      }
      """)
    let fields = schema.messages["BlurParameter"] ?? []
    #expect(fields.map(\.name) == ["side", "weight", "kind"])
    #expect(fields[0].comment == "The side of the window, in pixels.")
    #expect(fields.map(\.defaultValue) == ["3", nil, "BOX"])
    #expect(fields.map(\.isRepeated) == [false, true, false])
    #expect(fields.map(\.isForks) == [false, false, true])
    #expect(fields[2].comment.isEmpty)
    #expect(schema.enumerations["BlurParameter.Kind"] == ["BOX", "ROUND"])
  }
}
