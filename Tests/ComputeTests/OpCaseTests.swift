import ComputeCases
import Testing

@Suite struct OpCaseTests {
  @Test func namesAreUnique() {
    let names = OpCase.all.map(\.name)
    #expect(Set(names).count == names.count)
  }

  @Test func everyKindHasCases() {
    for kind in OpCase.Kind.allCases {
      #expect(OpCase.small.contains { $0.kind == kind }, "small \(kind)")
      #expect(OpCase.large.contains { $0.kind == kind }, "large \(kind)")
    }
  }

  /// A top without elements would be tested by nothing.
  @Test(arguments: OpCase.all)
  func shapesHaveElements(_ opCase: OpCase) {
    for shape in opCase.bottomShapes + [opCase.topShape] {
      #expect(shape.dims.allSatisfy { $0 > 0 })
    }
  }

  @Test func inputsComeBackTheSame() throws {
    let opCase = try #require(OpCase.small.first)
    #expect(opCase.inputs().bottoms == opCase.inputs().bottoms)
    #expect(opCase.inputs().weights == opCase.inputs().weights)
    #expect(opCase.inputs().bottoms != OpCase.small[1].inputs().bottoms)
  }
}
