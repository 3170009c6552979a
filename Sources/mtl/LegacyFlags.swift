/// Brings the spellings that scripts for Caffe's tools use into the form of this command line.
///
/// `-resize_height=227`, `-solver x.prototxt` and `--resize_height 227` become `--resize-height=227` and so on;
/// `-shuffle=true` becomes `--shuffle`. `-shuffle=false` and `-noshuffle` are taken away, for no flag is on unless it is
/// given, and so are options set to nothing (`-encode_type=`) and those tools' logging options (`--logtostderr=1`).
struct LegacyFlags {
  /// The names of all options without a value, with dashes.
  let flags: Set<String>

  private static let ignored: Set<String> = [
    "logtostderr", "alsologtostderr", "colorlogtostderr", "stderrthreshold", "minloglevel", "log-dir", "v",
  ]

  /// - Parameter arguments: without the program's name.
  func normalized(_ arguments: [String]) -> [String] {
    let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
    return arguments[..<end].compactMap(normalized) + arguments[end...]
  }

  /// nil for an option that is taken away.
  private func normalized(_ argument: String) -> String? {
    let dashes = argument.prefix { $0 == "-" }
    let rest = argument.dropFirst(dashes.count)
    guard dashes.count == 1 || dashes.count == 2, rest.first?.isLetter == true else { return argument }
    let parts = rest.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts[0].map { $0 == "_" ? "-" : $0 })
    let value = parts.count > 1 ? parts[1] : nil
    // One letter after one dash is a short option of this command line, unless it is '-v=1'.
    if dashes.count == 1 && name.count == 1 && value == nil { return argument }
    if value != nil && LegacyFlags.ignored.contains(name) { return nil }
    guard let value else {
      let isTurnedOff = name.hasPrefix("no") && flags.contains(String(name.dropFirst(2)))
      return isTurnedOff ? nil : "--\(name)"
    }
    if value.isEmpty { return nil }
    if flags.contains(name), let isOn = truth(of: value) { return isOn ? "--\(name)" : nil }
    return "--\(name)=\(value)"
  }

  private func truth(of value: Substring) -> Bool? {
    switch value.lowercased() {
    case "true", "t", "yes", "y", "1": true
    case "false", "f", "no", "n", "0": false
    default: nil
    }
  }
}
