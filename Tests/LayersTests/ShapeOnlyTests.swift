import Layers
import Testing

@Suite struct ShapeOnlyTests {
  /// A layer that runs is no longer known by its shapes alone.
  @Test func typesAreOfOneKind() {
    let running = Set(layerTypes.map { $0.type })
    #expect(shapeOnlyTypes.map(\.type).filter(running.contains) == [])
    #expect(Set(shapeOnlyTypes.map(\.type)).count == shapeOnlyTypes.count)
  }
}
