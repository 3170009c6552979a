import CaffeSchema
import Diagnostics

extension NetState {
  /// Whether a layer with these rules is in a net of this state: all of a rule's conditions hold; any include rule, no
  /// exclude rule.
  package func admits(_ layer: LayerParameter) -> Bool {
    if !layer.include.isEmpty { return layer.include.contains(where: meets) }
    return !layer.exclude.contains(where: meets)
  }

  private func meets(_ rule: NetStateRule) -> Bool {
    if rule.hasPhase, rule.phase != phase { return false }
    if rule.hasMinLevel, level < rule.minLevel { return false }
    if rule.hasMaxLevel, level > rule.maxLevel { return false }
    return rule.stage.allSatisfy(stage.contains) && !rule.notStage.contains(where: stage.contains)
  }
}

extension NetSource {
  /// The layers that belong to `state`, with their places.
  ///
  /// - Throws: `badParameter` when a layer has both include and exclude rules, as the format forbids.
  package func layers(in state: NetState) throws -> [(parameter: LayerParameter, places: FieldPlaces)] {
    try zip(parameter.layer, layerPlaces).filter { layer, places in
      guard layer.include.isEmpty || layer.exclude.isEmpty else {
        throw Diagnostic(
          .badParameter, "give either include or exclude rules, not both",
          layer: .init(name: layer.name, type: layer.type), at: places.location("exclude"))
      }
      return state.admits(layer)
    }.map { ($0, $1) }
  }
}
