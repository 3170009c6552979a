import Diagnostics
import Testing

@Suite struct DiagnosticTests {
  @Test func rendersPlaceLayerMessageAndNotes() {
    let fault = Diagnostic(
      .badShape, "kernel_size 5 is larger than its padded input 3x3", layer: .init(name: "conv4", type: "Convolution"),
      at: Diagnostics.SourceLocation(file: "face.prototxt", line: 41, column: 18),
      notes: [
        .init("bottom 'pool3' is produced", at: Diagnostics.SourceLocation(file: "face.prototxt", line: 33, column: 8))
      ])
    #expect(
      fault.description == """
        face.prototxt:41:18: error: layer 'conv4' (Convolution): kernel_size 5 is larger than its padded input 3x3
          note: bottom 'pool3' is produced at face.prototxt:33:8
        """)
  }

  @Test(arguments: [
    (Diagnostics.SourceLocation(file: "a"), "a"), (Diagnostics.SourceLocation(file: "a", line: 3), "a:3"),
    (Diagnostics.SourceLocation(file: "a", line: 3, column: 7), "a:3:7"),
  ])
  func rendersLocations(_ location: Diagnostics.SourceLocation, _ text: String) {
    #expect(location.description == text)
  }

  @Test func keepsWhatItKnowsWhenPlaced() {
    let placed = Diagnostic(.badParameter, "m", at: Diagnostics.SourceLocation(file: "inner"))
      .within(layer: .init(name: "l", type: "T"), at: Diagnostics.SourceLocation(file: "outer"))
    #expect(placed.location?.file == "inner")
    #expect(placed.layer?.name == "l")
  }
}

@Suite struct SuggestionTests {
  static let types = ["Convolution", "Deconvolution", "Concat", "Pooling", "ReLU", "PReLU", "InnerProduct"]

  @Test(arguments: [
    ("Convolutoin", "Convolution"), ("convolution", "Convolution"), ("Relu", "ReLU"), ("PRelu", "PReLU"),
    ("Polling", "Pooling"), ("InerProduct", "InnerProduct"),
  ])
  func findsTheNearest(_ misspelt: String, _ meant: String) {
    #expect(nearestName(to: misspelt, among: Self.types) == meant)
  }

  @Test(arguments: ["Transformer", "x", ""])
  func saysNothingWhenNoneIsNear(_ name: String) {
    #expect(nearestName(to: name, among: Self.types) == nil)
  }

  /// Of a fork's names that look like known ones, those with another digit are names of their own.
  @Test func slipsOfThePen() {
    #expect(isSlip("Convolutoin", among: ["Convolution"]) && isSlip("crop", among: ["Crop"]))
    #expect(!isSlip("Pooling2D", among: ["Pooling3D"]) && !isSlip("conv1", among: ["conv2"]))
    #expect(!isSlip("GatedMask", among: ["Convolution"]))
  }
}
