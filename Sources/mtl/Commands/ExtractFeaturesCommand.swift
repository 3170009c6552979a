import ArgumentParser
import CaffeSchema
import Compute
import Diagnostics
import Nets
import Records
import Tensors

/// `mtl extract-features`: the values of a net's blobs, record by record, as databases.
struct ExtractFeaturesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract-features",
    _superCommandName: "mtl",
    abstract: "Writes the values of a net's blobs to databases.",
    usage: "mtl extract-features [OPTIONS] WEIGHTS NET BLOB[,BLOB…] DB[,DB…] BATCHES [KIND]",
    discussion: """
      The arguments are those of Caffe's extract_features. The net runs in the TEST phase over the data that it names. A \
      record holds the values of one entry of a batch as floats, under its number in ten digits. KIND is lmdb.
      """
  )

  @Argument(help: ArgumentHelp("As shown above.", valueName: "argument"))
  var arguments: [String]

  @Flag(help: "Replace existing databases.")
  var force = false

  @OptionGroup var engineOptions: EngineOptions

  static let flagNames: Set<String> = ["force"]

  struct Request: Equatable {
    var weights: String
    var net: String
    var blobs: [String]
    var databases: [String]
    var batches: Int
  }

  func run() throws {
    let request = try MTL.checkingUsage(of: Self.self) { try self.request() }
    engineOptions.prepareProcess()
    let net = try ExtractFeaturesCommand.makeNet(
      NetSource.read(path: request.net), engine: engineOptions.makeEngine())
    try net.load(NetSource.readWeights(request.weights), from: request.weights)
    let counts = try ExtractFeaturesCommand.extract(request, net, replaces: force)
    for (database, count) in zip(request.databases, counts) {
      printError("wrote \(count) record\(count == 1 ? "" : "s") to \(database)")
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
    if arguments.count > 5, arguments[5].lowercased() != "lmdb" {
      throw ValidationError("KIND may be lmdb, but is '\(arguments[5])'.")
    }
    let request = Request(
      weights: arguments[0], net: arguments[1], blobs: names(arguments[2]), databases: names(arguments[3]),
      batches: batches)
    guard !request.blobs.isEmpty, request.blobs.count == request.databases.count else {
      throw ValidationError("Give a database for each blob.")
    }
    return request
  }

  /// - Returns: the number of records of each database.
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
    var databases: [FeatureDatabase] = []
    do {
      for path in request.databases { databases.append(try FeatureDatabase(path, replaces: replaces)) }
      for batch in 0..<request.batches {
        if Interruption.isRequested { throw Diagnostic(.interrupted, "interrupted; nothing was written") }
        try net.forward()
        for (blob, database) in zip(blobs, databases) { try database.add(try net.values(of: blob), blob.shape) }
        line.update(batch + 1, of: request.batches)
      }
      for database in databases { try database.finish() }
    } catch {
      for database in databases { database.discard() }
      throw error
    }
    return databases.map(\.count)
  }
}
