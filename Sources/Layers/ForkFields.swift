import Diagnostics
import Nets

extension LayerFields {
  /// Refuses a field of one fork that would change the result, when it is given.
  func refuse(_ isGiven: Bool, _ field: String, _ reason: String) throws {
    guard isGiven else { return }
    throw fault(.unsupported, "\(field.split(separator: ".").last ?? "") is not supported: \(reason)", at: field)
  }
}
