import Nets

/// The layers that read records, one line each.
package let recordLayerTypes: [any Layer.Type] = [
  AnnotatedData.self,
  DataLayer.self,
  HDF5Data.self,
  HDF5Output.self,
  ImageData.self,
  MemoryData.self,
  WindowData.self,
]
