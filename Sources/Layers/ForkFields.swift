import Diagnostics
import Nets

extension LayerFields {
  /// Refuses a field of one fork that would change the result, when it is given.
  func refuse(_ isGiven: Bool, _ field: String, _ reason: String) throws {
    if let refusal = refusal(isGiven, field, reason) { throw refusal }
  }

  /// The fault of such a field; nil when it is not given.
  func refusal(_ isGiven: Bool, _ field: String, _ reason: String) -> Diagnostic? {
    guard isGiven else { return nil }
    return fault(.unsupported, "\(field.split(separator: ".").last ?? "") is not supported: \(reason)", at: field)
  }
}
