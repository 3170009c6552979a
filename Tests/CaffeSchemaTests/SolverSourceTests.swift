import CaffeSchema
import Foundation
import Testing

@Suite struct SolverSourceTests {
  @Test(arguments: [
    ("SGD", "SGD"), ("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"), ("RMSPROP", "RMSProp"),
    ("ADADELTA", "AdaDelta"), ("5", "Adam"),
  ])
  func namesTheRuleOfOlderFiles(_ old: String, _ new: String) throws {
    let solver = try SolverSource(text: "base_lr: 1\nsolver_type: \(old)\n", file: "s")
    #expect(solver.parameter.type == new)
    #expect(!solver.parameter.hasSolverType)
    #expect(solver.places.location("type")?.description == "s:2:1")
    #expect(solver.places.location("base_lr")?.description == "s:1:1")
  }

  @Test func refusesTwoRules() {
    #expect(
      messages { _ = try SolverSource(text: "type: \"SGD\"\nsolver_type: ADAM\n", file: "s") } == """
        s:2:1: error: 'type' and 'solver_type' are both given; keep 'type'
          note: 'type' is given at s:1:1
        """)
  }

  @Test(arguments: [
    ("base_lr: 1", "FOLDER/my.solver"), ("snapshot_prefix: \"FOLDER\"", "FOLDER/my.solver"),
    ("snapshot_prefix: \"out/a\"", "out/a"),
  ])
  func namesSnapshotsAfterTheFileWhereNothingElseIsSaid(_ text: String, _ prefix: String) throws {
    try withFolder { folder in
      let path = folder + "/my.solver.prototxt"
      try writeFile(text.replacing("FOLDER", with: folder), to: path)
      let solver = try SolverSource.read(path: path)
      #expect(solver.parameter.snapshotPrefix == prefix.replacing("FOLDER", with: folder))
    }
  }

  @Test func givesTheNetInsideWithItsPlaces() throws {
    let solver = try SolverSource(
      text: "net_param {\n  layers { name: \"a\"\n type: RELU bottom: \"x\" }\n}\n", file: "s")
    let net = try NetSource(
      parameter: solver.parameter.netParam, places: solver.places.scoped(to: "net_param"), file: solver.file)
    #expect(net.parameter.layer.map(\.type) == ["ReLU"])
    #expect(net.layerPlaces[0].location("type")?.description == "s:3:2")
    #expect(net.layerPlaces[0].location("top")?.description == "s:2:3")
  }
}
