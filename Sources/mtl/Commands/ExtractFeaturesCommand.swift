import ArgumentParser
import CaffeSchema
import Compute
import Diagnostics
import Nets
import Records
import Tensors

/// `mtl extract-features`: the values of a net's blobs, record by record, as databases or in HDF5.
struct ExtractFeaturesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract-features",
    _superCommandName: "mtl",
    abstract: "Writes the values of a net's blobs to databases or HDF5 files.",
    usage: "mtl extract-features [OPTIONS] WEIGHTS NET BLOB[,BLOB…] DB[,DB…] BATCHES [KIND]",
    discussion: """
      The arguments are those of Caffe's extract_features. The net runs in the TEST phase over the data that it names. \
      KIND is lmdb or, also where all names end in .h5, hdf5. A record of a database holds the values of one entry of a \
      batch as floats, under its number in ten digits. An HDF5 file has a dataset for each blob, under its name, and may \
      be given once for all of them.
      """
  )

  @Argument(help: ArgumentHelp("As shown above.", valueName: "argument"), completion: .file())
  var arguments: [String]

  @Flag(help: "Replace existing databases.")
  var force = false

  @OptionGroup var engineOptions: EngineOptions

  static let flagNames: Set<String> = ["force"]

  enum Kind: String {
    case lmdb, hdf5
  }

  struct Request: Equatable {
    var weights: String
    var net: String
    var blobs: [String]
    /// Of each blob; one file of HDF5 may be that of several.
    var databases: [String]
    var batches: Int
    var kind: Kind
  }

  func run() throws {
    let request = try MTL.checkingUsage(of: Self.self) { try self.request() }
    engineOptions.prepareProcess()
    let net = try ExtractFeaturesCommand.makeNet(
      NetSource.read(path: request.net), engine: engineOptions.makeEngine())
    try net.load(NetSource.readWeights(request.weights), from: request.weights)
    let counts = try ExtractFeaturesCommand.extract(request, net, replaces: force)
    for (index, count) in counts.enumerated() {
      let place = request.databases[index] + (request.kind == .hdf5 ? ", dataset '\(request.blobs[index])'" : "")
      printError("wrote \(count) record\(count == 1 ? "" : "s") to \(place)")
    }
  }

  /// A net whose blobs keep their values until a pass has ended, and are not made room of for later ones.
  static func makeNet(_ source: NetSource, engine: any Engine) throws -> Net {
    var options = NetOptions(phase: .test)
    options.keepsEverything = true
    return try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: options)
  }

  /// - Throws: a `ValidationError`.
  func request() throws -> Request {
    guard (5...8).contains(arguments.count) else {
      throw ValidationError("Give WEIGHTS, NET, BLOBS, DBS and the number of batches.")
    }
    func names(_ list: String) -> [String] { list.split(separator: ",").map(String.init) }
    guard let batches = Int(arguments[4]), batches > 0 else {
      throw ValidationError("BATCHES must be a number of at least 1, but is '\(arguments[4])'.")
    }
    var (blobs, databases) = (names(arguments[2]), names(arguments[3]))
    let usual: Kind = databases.allSatisfy { $0.hasSuffix(".h5") || $0.hasSuffix(".hdf5") } ? .hdf5 : .lmdb
    guard let kind = arguments.count > 5 ? Kind(rawValue: arguments[5].lowercased()) : usual else {
      throw ValidationError("KIND may be lmdb or hdf5, but is '\(arguments[5])'.")
    }
    if kind == .hdf5, databases.count == 1 { databases = blobs.map { _ in databases[0] } }
    guard !blobs.isEmpty, blobs.count == databases.count else {
      throw ValidationError("Give a database for each blob.")
    }
    guard Set(blobs).count == blobs.count, kind == .hdf5 || Set(databases).count == databases.count else {
      throw ValidationError("Give each blob and each database once.")
    }
    return Request(
      weights: arguments[0], net: arguments[1], blobs: blobs, databases: databases, batches: batches, kind: kind)
  }

  /// - Returns: the number of records of each blob.
  static func extract(_ request: Request, _ net: Net, replaces: Bool) throws -> [Int] {
    let blobs = try request.blobs.map { name in
      guard let blob = net.blob(name) else {
        let near = nearestName(to: name, among: Set(net.graph.values.map(\.name)).sorted())
        throw Diagnostic(.badArgument, "the net has no blob '\(name)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      }
      return blob
    }
    Interruption.watch()
    var line = ProgressLine("extracting", unit: "batches")
    defer { line.clear() }
    var stores: [String: any FeatureStore] = [:]
    do {
      for path in request.databases where stores[path] == nil {
        stores[path] = try makeStore(path, request.kind, replaces: replaces)
      }
      for batch in 0..<request.batches {
        if Interruption.isRequested { throw Diagnostic(.interrupted, "interrupted; nothing was written") }
        try net.forward()
        for (blob, path) in zip(blobs, request.databases) {
          try stores[path]?.add(try net.values(of: blob), of: blob.name, blob.shape)
        }
        line.update(batch + 1, of: request.batches)
      }
      for store in stores.values { try store.finish() }
    } catch {
      for store in stores.values { store.discard() }
      throw error
    }
    return zip(request.blobs, request.databases).map { stores[$1]?.count(of: $0) ?? 0 }
  }

  private static func makeStore(_ path: String, _ kind: Kind, replaces: Bool) throws -> any FeatureStore {
    switch kind {
    case .lmdb: try FeatureDatabase(path, replaces: replaces)
    case .hdf5: try FeatureFile(path, replaces: replaces)
    }
  }
}
