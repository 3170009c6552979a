import CaffeSchema
import Diagnostics
import Nets
import Solvers
import Tasks
import Tensors

/// The report of `mtl check` on a file, for readers.
struct CheckText {
  private let file: CheckedFile

  init(_ file: CheckedFile) { self.file = file }

  /// Everything but the faults.
  var text: String {
    let heads = file.warnings.map(\.description)
    return (heads + file.nets.map { text($0.name, $0.check) }).joined(separator: "\n\n")
  }

  /// What ended each net, in the order of the nets.
  var faults: [Diagnostic] {
    var all: [Diagnostic] = []
    for fault in file.faults + file.nets.flatMap(\.check.faults) where !all.contains(fault) { all.append(fault) }
    return all
  }

  private func text(_ name: String, _ check: NetCheck) -> String {
    var parts = ["\(file.path): \(name)"]
    if !check.layers.isEmpty { parts += [layers(check), totals(check)] }
    if !check.tasks.isEmpty { parts.append(tasks(check)) }
    let remarks = check.assumptions.map(CheckText.remark) + check.warnings.map(\.description)
    if !remarks.isEmpty { parts.append(remarks.joined(separator: "\n")) }
    return parts.joined(separator: "\n\n")
  }

  private func layers(_ check: NetCheck) -> String {
    var table = TextTable([
      ("layer", false), ("type", false), ("top", false), ("shape", false), ("parameters", true),
      ("multiply-adds", true),
    ])
    for layer in check.layers {
      func count(_ value: Int) -> String { value > 0 ? CheckText.grouped(value) : "-" }
      let sizes = [count(layer.parameterCount), count(layer.multiplyAdds)]
      let first = layer.tops.first.map { [$0.name, $0.shape.description] } ?? ["-", "-"]
      table.add([layer.name, layer.type] + first + sizes)
      for top in layer.tops.dropFirst() { table.add(["", "", top.name, top.shape.description, "", ""]) }
    }
    return table.text
  }

  private func totals(_ check: NetCheck) -> String {
    let learned =
      check.learnedCount == check.parameterCount ? "all learn" : "\(CheckText.grouped(check.learnedCount)) learn"
    var text = "\(check.layers.count) layer\(check.layers.count == 1 ? "" : "s")"
    text += ", \(CheckText.grouped(check.parameterCount)) parameters"
    if check.parameterCount > 0 { text += " (\(learned); \(byteText(4 * check.parameterCount)))" }
    text += ", \(CheckText.grouped(check.multiplyAdds)) multiply-adds forward"
    if check.batch > 1, check.multiplyAdds > 0 {
      text += " (\(CheckText.grouped(check.multiplyAdds / check.batch)) a record, \(check.batch) records)"
    }
    return text + ", blobs \(byteText(check.blobBytes))"
  }

  private func tasks(_ check: NetCheck) -> String {
    var table = TextTable([
      ("task", false), ("loss", false), ("weight", true), ("scores", false), ("its value is", false),
      ("metrics", false),
    ])
    for task in check.tasks {
      table.add([
        task.name, task.loss ?? "-", task.loss == nil ? "-" : logText(task.weight),
        task.scores?.description ?? "-", CheckText.words(task.normalization),
        task.metrics.isEmpty ? "-" : task.metrics.joined(separator: ", "),
      ])
    }
    return table.text
  }

  static func words(_ normalization: LossParameter.NormalizationMode?) -> String {
    switch normalization {
    case .valid: "mean over labelled positions"
    case .full: "mean over all positions"
    case .batchSize: "sum over a record, mean over records"
    case .none?: "sum"
    case .preFixed: "sum over a fixed number"
    case nil: "-"
    }
  }

  static func remark(_ assumption: ShapeAssumptions.Assumption) -> String {
    let tops = assumption.tops.map { "\($0.name) \($0.shape)" }.joined(separator: ", ")
    let place = assumption.fields.location().map { "\($0): " } ?? ""
    let identity = "layer '\(assumption.fields.name)' (\(assumption.fields.parameter.type))"
    if assumption.isGiven { return "\(place)note: \(identity): \(tops), as given" }
    let reason = assumption.isForeign ? "its type is not known" : "its source is absent"
    if assumption.isKnown { return "\(place)note: \(identity): \(reason); its fields tell \(tops)" }
    let example = assumption.tops.first.map { "; --shape \($0.name)=\(rule($0.shape)) says otherwise" } ?? ""
    return "\(place)note: \(identity): \(reason); guessed are \(tops)\(example)"
  }

  /// A shape as `--shape` takes it.
  private static func rule(_ shape: Shape) -> String { shape.dims.isEmpty ? "1" : shape.description }

  /// 61,100,840.
  static func grouped(_ value: Int) -> String {
    var groups: [String] = []
    var rest = String(value)[...]
    while rest.count > 3 {
      groups.insert(String(rest.suffix(3)), at: 0)
      rest = rest.dropLast(3)
    }
    return ([String(rest)] + groups).joined(separator: ",")
  }
}
