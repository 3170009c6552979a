import ArgumentParser
import CaffeSchema
import Nets

/// What include and exclude rules of layers are tested against, besides the phase; named as in Caffe's tool.
struct StateOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The level of the net's state.", valueName: "number"))
  var level: Int32?

  @Option(help: ArgumentHelp("Stages of the net's state (several with commas).", valueName: "names"))
  var stage: String?

  /// What the net says of its state, then what the command line says.
  func netState(_ phase: Phase, of source: NetSource) -> NetState {
    var state = source.parameter.state
    state.phase = phase
    add(&state)
    return state
  }

  func add(_ state: inout NetState) {
    if let level { state.level = level }
    if let stage { state.stage += stage.split(separator: ",").map(String.init) }
  }
}
