// swift-tools-version: 6.1
import PackageDescription

// One target a module; an arrow of the design is a dependency here, and nothing depends upward.
// See docs/architecture.md for what each module is for.
let package = Package(
  name: "mtl",
  products: [.executable(name: "mtl", targets: ["mtl"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
  ],
  targets: [
    // C libraries of the system, each with the package that installs it.
    .systemLibrary(name: "CLibProtobuf", pkgConfig: "protobuf", providers: [.apt(["libprotobuf-dev"])]),
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-openmp-dev"])]),
    .systemLibrary(name: "CGdkPixbuf", pkgConfig: "gdk-pixbuf-2.0", providers: [.apt(["libgdk-pixbuf-2.0-dev"])]),
    .systemLibrary(name: "CLibJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"])]),
    .systemLibrary(name: "CLibPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),

    // Thin C shims, opaque handles only.
    .target(name: "CProtobufText", dependencies: ["CLibProtobuf"]),
    .target(name: "CDNNL", linkerSettings: [.linkedLibrary("dnnl")]),
    .target(name: "CKernels", linkerSettings: [.linkedLibrary("gomp")]),
    .target(name: "CLevelDB", linkerSettings: [.linkedLibrary("leveldb")]),
    .target(name: "CImages", dependencies: ["CLibJPEG", "CLibPNG", "CGdkPixbuf"]),

    .target(name: "Diagnostics"),
    // Generated. Optimising it takes as long as all the rest and wins nothing: the work is done in SwiftProtobuf.
    .target(
      name: "CaffeMessages",
      dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
      swiftSettings: [.unsafeFlags(["-Onone"])]
    ),
    .target(
      name: "ONNXMessages",
      dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
      exclude: ["onnx.proto"]
    ),
    .target(
      name: "CaffeSchema",
      dependencies: ["CaffeMessages", "Diagnostics", "CProtobufText"],
      exclude: ["caffe.proto"],
      resources: [.embedInCode("schema.pb")]
    ),
    .target(name: "HDF5Files", dependencies: ["CHDF5", "Diagnostics"]),
    .target(name: "Tensors", dependencies: ["Diagnostics"]),
    .target(name: "Compute", dependencies: ["Tensors", "Diagnostics"]),
    .target(name: "ComputeCases", dependencies: ["Compute"]),
    .target(name: "ComputeReference", dependencies: ["Compute"]),
    .target(name: "ComputeCPU", dependencies: ["Compute", "CDNNL", "COpenBLAS", "CKernels"]),
    .target(name: "Nets", dependencies: ["CaffeSchema", "HDF5Files", "Compute"]),
    .target(name: "Layers", dependencies: ["Nets"]),
    .target(name: "Records", dependencies: ["Nets", "HDF5Files", "CLMDB", "CLevelDB", "CImages"]),
    .target(name: "ONNXExport", dependencies: ["Layers", "ONNXMessages"]),
    .target(name: "Tasks", dependencies: ["Nets"]),
    .target(
      name: "Solvers",
      dependencies: ["Tasks", "Nets", .product(name: "Logging", package: "swift-log")]
    ),
    .executableTarget(
      name: "mtl",
      dependencies: [
        "Layers", "Records", "HDF5Files", "Solvers", "Tasks", "ONNXExport", "ComputeReference", "ComputeCPU",
        "ComputeCases",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ]
    ),

    .testTarget(name: "DiagnosticsTests", dependencies: ["Diagnostics"]),
    .testTarget(name: "CaffeSchemaTests", dependencies: ["CaffeSchema"], resources: [.copy("Fixtures")]),
    .testTarget(name: "HDF5FilesTests", dependencies: ["HDF5Files"], resources: [.copy("Fixtures")]),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors"]),
    .testTarget(name: "ComputeTests", dependencies: ["ComputeCases", "ComputeReference", "ComputeCPU"]),
    .testTarget(name: "NetsTests", dependencies: ["Nets", "Layers", "ComputeReference", "ComputeCPU"]),
    .testTarget(
      name: "LayersTests",
      dependencies: [
        "Layers", "ComputeReference", "ComputeCPU", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      resources: [.copy("Fixtures")]
    ),
    .testTarget(
      name: "RecordsTests", dependencies: ["Records", "Layers", "ComputeReference"], resources: [.copy("Fixtures")]
    ),
    .testTarget(name: "ONNXExportTests", dependencies: ["ONNXExport", "ONNXMessages", "ComputeReference"]),
    .testTarget(name: "TasksTests", dependencies: ["Tasks", "Layers", "ComputeReference"]),
    .testTarget(
      name: "SolversTests", dependencies: ["Solvers", "Layers", "Records", "ComputeReference", "ComputeCPU"],
      resources: [.copy("Fixtures")]
    ),
    .testTarget(name: "mtlTests", dependencies: ["mtl", "HDF5Files"], resources: [.copy("Fixtures")]),
  ],
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx17
)
