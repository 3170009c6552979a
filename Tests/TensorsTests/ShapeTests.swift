import Diagnostics
import Tensors
import Testing

@Suite struct ShapeTests {
  @Test func countsElementsOfAxes() {
    let shape: Shape = [2, 3, 4, 5]
    #expect(shape.count == 120)
    #expect(shape.count(1...) == 60)
    #expect(shape.count(..<1) == 2)
    #expect(shape.count(2..<2) == 1)
    #expect(Shape.scalar.count == 1)
  }

  @Test(arguments: [(0, 0), (3, 3), (-1, 3), (-4, 0)])
  func canonicalAxes(_ axis: Int, _ canonical: Int) throws {
    #expect(try Shape([2, 3, 4, 5]).canonicalAxis(axis) == canonical)
  }

  @Test(arguments: [4, -5])
  func refusesAxesThatAreNotThere(_ axis: Int) {
    #expect(throws: Diagnostic.self) { try Shape([2, 3, 4, 5]).canonicalAxis(axis) }
  }

  @Test func readsAsPeopleWriteIt() {
    #expect(Shape([64, 3, 28, 28]).description == "64x3x28x28")
    #expect(Shape.scalar.description == "(one value)")
  }
}
