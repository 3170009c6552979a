import CaffeSchema
import Diagnostics
import Nets

/// What `multi_task` of a solver asks for, decoded and checked.
package struct MultiTaskSettings: Sendable {
  package typealias Kind = MultiTaskParameter.Weighting

  package let parameter: MultiTaskParameter
  private let places: FieldPlaces

  /// - Parameter places: of `multi_task`.
  /// - Throws: `badSolver` for values out of range, and for fields that the weighting does not read.
  package init(_ parameter: MultiTaskParameter, places: FieldPlaces) throws {
    self.parameter = parameter
    self.places = places
    try checkRanges()
    try checkSchedules()
    try checkBelonging()
  }

  package var weighting: Kind { parameter.weighting }
  package var naming: TaskNaming { TaskNaming(parameter.task, places: places) }
  /// `UNCERTAINTY`, …
  package var name: String { weighting.name }
  /// Iterations between measurements of the tasks' gradients; nil for never.
  package var conflictInterval: Int? { parameter.conflictInterval == 0 ? nil : Int(parameter.conflictInterval) }

  /// In which order the training net runs backward; nil where the tasks' gradients are not asked for.
  package var order: BackwardOrder? {
    guard weighting.isOfGradients else { return conflictInterval == nil ? nil : .together }
    return parameter.at == .representation ? .weightedRepresentation : .taskByTask
  }

  private func fault(_ message: String, _ field: String) -> Diagnostic {
    Diagnostic(.badSolver, message, at: places.location(field))
  }

  // MARK: Checks without a net

  private func checkRanges() throws {
    let p = parameter
    func check(_ field: String, _ value: Float, _ isRight: Bool, _ range: String) throws {
      guard value.isFinite, isRight else { throw fault("\(field) must be \(range), and is \(value)", field) }
    }
    if p.hasWeightingLr { try check("weighting_lr", p.weightingLr, p.weightingLr > 0, "above 0") }
    try check("temperature", p.temperature, p.temperature > 0, "above 0")
    try check("asymmetry", p.asymmetry, p.asymmetry >= 0, "at least 0")
    let radius = p.conflictRadius
    try check("conflict_radius", radius, radius >= 0 && radius < 1, "at least 0 and below 1")
    try check("weighting_decay", p.weightingDecay, p.weightingDecay >= 0, "at least 0")
    try check("smoothness", p.smoothness, p.smoothness > 0, "above 0")
    try check("loss_floor", p.lossFloor, p.lossFloor >= 0 && p.lossFloor < 1, "at least 0 and below 1")
    if p.solveInterval == 0 { throw fault("solve_interval must be at least 1", "solve_interval") }
  }

  private func checkSchedules() throws {
    for (index, task) in parameter.task.enumerated() {
      for (position, piece) in task.schedule.enumerated() {
        let place = "task[\(index)].schedule[\(position)]"
        guard piece.weight.isFinite, piece.weight >= 0 else {
          throw fault("the weight \(piece.weight) of task '\(task.name)' must be at least 0", place + ".weight")
        }
        guard position == 0 || piece.iteration > task.schedule[position - 1].iteration else {
          throw fault(
            "the schedule of task '\(task.name)' goes back from iteration \(task.schedule[position - 1].iteration) to "
              + "\(piece.iteration); give the pieces in their order", place + ".iteration")
        }
      }
      if !task.schedule.isEmpty, weighting != .schedule {
        throw fault(
          "task '\(task.name)' has a schedule, which weighting: \(name) does not read; set weighting: SCHEDULE",
          "task[\(index)].schedule[0]")
      }
    }
    if weighting == .schedule, parameter.task.allSatisfy(\.schedule.isEmpty) {
      throw fault(
        "weighting: SCHEDULE needs task { name: \"…\" schedule { iteration: … weight: … } } for at least one task",
        "weighting")
    }
  }

  /// Fields that only some weightings read.
  private func checkBelonging() throws {
    let p = parameter
    let fields: [(name: String, isGiven: Bool, readers: [Kind])] = [
      ("weighting_lr", p.hasWeightingLr, [.uncertainty, .imtl, .gradnorm, .famo]),
      ("temperature", p.hasTemperature, [.dwa]), ("average_iter", p.hasAverageIter, [.dwa]),
      ("asymmetry", p.hasAsymmetry, [.gradnorm]), ("conflict_radius", p.hasConflictRadius, [.cagrad]),
      ("weighting_decay", p.hasWeightingDecay, [.famo]), ("smoothness", p.hasSmoothness, [.stch]),
      ("scale_iter", p.hasScaleIter, [.stch]), ("solve_interval", p.hasSolveInterval, [.nash]),
      ("loss_floor", p.hasLossFloor, [.uncertainty]),
      ("normalize_weights", p.hasNormalizeWeights, [.uncertainty]),
      ("at", p.hasAt && p.at == .representation, Kind.allCases.filter(\.isOfGradients)),
    ]
    for field in fields where field.isGiven && !field.readers.contains(weighting) {
      let what = field.name == "at" ? "at: REPRESENTATION" : field.name
      throw fault(
        "weighting: \(name) does not read \(what), which belongs to \(field.readers.map(\.name).joined(separator: ", "))",
        field.name)
    }
  }

  // MARK: Checks with the training net

  /// - Parameters:
  ///   - tasks: the names of the tasks that the training net learns.
  ///   - readsRecords: whether a round over the records can be told.
  /// - Throws: `badSolver` where the weighting has nothing to weigh.
  package func check(tasks: [String], readsRecords: Bool) throws {
    if ![.fixed, .schedule].contains(weighting), tasks.count < 2 {
      throw fault(
        "weighting: \(name) weighs tasks against each other, and the training net has "
          + (tasks.isEmpty ? "none" : "one, '\(tasks[0])'"), "weighting")
    }
    let period: (field: String, value: UInt32)? =
      weighting == .dwa
      ? ("average_iter", parameter.averageIter)
      : weighting == .stch ? ("scale_iter", parameter.scaleIter) : nil
    if let period, period.value == 0, !readsRecords {
      throw fault(
        "weighting: \(name) takes a round over the records as its period, and the training net reads none; set "
          + period.field, "weighting")
    }
  }

  /// - Throws: `badSolver` where there is nothing that tasks share.
  package func check(_ net: Net) throws {
    guard order != nil else { return }
    let asker = weighting.isOfGradients ? "weighting" : "conflict_interval"
    let tasks = TaskTable(net).learned
    guard tasks.count > 1 else {
      throw fault(
        "\(asker) compares the gradients of tasks, and the training net has one task, '\(tasks.first?.name ?? "")'",
        asker)
    }
    if let representation = net.representationGradients {
      guard representation.tasks.count < 2 else { return }
    } else {
      guard net.taskGradients?.shared.isEmpty ?? true else { return }
    }
    throw fault(
      "\(asker) needs the gradients of tasks in what they share, and the tasks of the training net share no layer that "
        + "learns", asker)
  }

  // MARK: The weighting

  /// - Parameter tasks: their names.
  package func makeWeighting(tasks: [String]) -> any Weighting {
    let count = tasks.count
    let p = parameter
    let own = p.hasWeightingLr ? Double(p.weightingLr) : nil
    func period(_ iterations: UInt32) -> Int? { iterations == 0 ? nil : Int(iterations) }
    switch weighting {
    case .fixed: return FixedWeighting()
    case .schedule:
      return ScheduledWeighting(tasks.map { name in p.task.first { $0.name == name }?.schedule ?? [] })
    case .uncertainty:
      return UncertaintyWeighting(
        tasks: count, rate: own, floor: Double(p.lossFloor), normalizes: p.normalizeWeights)
    case .dwa:
      return DynamicWeightAverage(tasks: count, temperature: Double(p.temperature), period: period(p.averageIter))
    case .rlw: return RandomWeighting()
    case .gls: return GeometricLossStrategy()
    case .famo: return FastAdaptiveWeighting(tasks: count, rate: own ?? 0.025, decay: Double(p.weightingDecay))
    case .stch:
      return SmoothChebyshevWeighting(tasks: count, smoothness: Double(p.smoothness), period: period(p.scaleIter))
    case .gradnorm: return GradientNormalization(tasks: count, asymmetry: Double(p.asymmetry), rate: own ?? 0.025)
    case .imtl: return ImpartialWeighting(tasks: count, rate: own)
    case .pcgrad: return ProjectedConflicts()
    case .cagrad: return ConflictAverse(radius: Double(p.conflictRadius))
    case .mgda: return MinimumNorm()
    case .nash: return NashBargaining(interval: Int(p.solveInterval))
    case .aligned: return AlignedWeighting()
    case .upgrad: return UnconflictingProjection()
    }
  }
}

extension MultiTaskParameter.Weighting {
  /// Whether it compares the tasks' gradients.
  package var isOfGradients: Bool {
    switch self {
    case .gradnorm, .imtl, .pcgrad, .cagrad, .mgda, .nash, .aligned, .upgrad: true
    case .fixed, .schedule, .uncertainty, .dwa, .rlw, .gls, .famo, .stch: false
    }
  }

  /// As in the schema.
  package var name: String { String(describing: self).uppercased() }
}
