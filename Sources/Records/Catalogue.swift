import Nets

/// The layers that read records, one line each.
package let recordLayerTypes: [any Layer.Type] = [
  DataLayer.self
]
