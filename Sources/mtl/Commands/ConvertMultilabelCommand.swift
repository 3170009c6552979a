import ArgumentParser
import Glibc
import Records

/// `mtl convert-multilabel`: a list of images with labels becomes two LMDBs.
struct ConvertMultilabelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert-multilabel",
    abstract: "Converts images with several labels each into a pair of LMDBs.",
    usage: """
      mtl convert-multilabel [OPTIONS] LIST DB
      mtl convert-multilabel [OPTIONS] LIST --image-db IMAGE_DB --label-db LABEL_DB
      mtl convert-multilabel [OPTIONS] ROOT/ LIST IMAGE_DB LABEL_DB COUNT
      """,
    discussion: """
      Each line of LIST is a path and its labels, integers or floats: 'faces/1.jpg 1 0 0.25'. A path with blanks is \
      quoted, or parted from the labels by a tab. A missing label is written '?' or 'nan'.

      All images go into DB/image, all labels into DB/label. Every line and image is checked before the databases \
      appear; one fault, and nothing is written (but see --skip-bad).
      """
  )

  static let flagNames: Set<String> = [
    "gray", "shuffle", "check-size", "encoded", "keep-files", "force", "skip-bad",
  ]

  @Argument(help: ArgumentHelp("The list and the folder of the databases.", valueName: "list> <db"))
  var paths: [String]

  @Option(
    help: ArgumentHelp(
      "Where the list's paths start. (default: the working directory, then the list's folder)", valueName: "dir"))
  var root: String?

  @Option(name: .customLong("image-db"), help: ArgumentHelp("The database of the images.", valueName: "path"))
  var imageDatabase: String?

  @Option(name: .customLong("label-db"), help: ArgumentHelp("The database of the labels.", valueName: "path"))
  var labelDatabase: String?

  @Option(help: ArgumentHelp("The number of labels of each line. (default: that of the first)", valueName: "count"))
  var labels: Int?

  @Option(help: ArgumentHelp("Resize to this height (with --resize-width).", valueName: "pixels"))
  var resizeHeight: Int?

  @Option(help: ArgumentHelp("Resize to this width (with --resize-height).", valueName: "pixels"))
  var resizeWidth: Int?

  @Flag(help: "Make the images grey.")
  var gray = false

  @Flag(help: "Put the records in a random order.")
  var shuffle = false

  @Option(help: ArgumentHelp("Which random order.", valueName: "number"))
  var seed: UInt64 = 0

  @Flag(help: "Refuse images of different sizes.")
  var checkSize = false

  @Flag(help: "Keep the images encoded, in the format of their files.")
  var encoded = false

  @Option(help: ArgumentHelp("Keep the images encoded, in this format: png, jpg or bmp.", valueName: "format"))
  var encodeType: String?

  @Flag(help: "Keep the bytes of the files as they are, and not what is decoded of them.")
  var keepFiles = false

  @Option(help: ArgumentHelp("The kind of database.", valueName: "kind"))
  var backend: DatabaseBackend = .lmdb

  @Option(help: ArgumentHelp("How many threads decode. (default: one for each core)", valueName: "count"))
  var threads: Int?

  @Flag(help: "Replace existing databases.")
  var force = false

  @Flag(help: "Leave records with faults out of both databases.")
  var skipBad = false

  func run() throws {
    let options = try MTL.checkingUsage(of: Self.self) { try conversion() }
    Interruption.watch()
    var line = ProgressLine("converting", unit: "records")
    defer { line.clear() }
    let summary = try ConvertMultilabel(options).run(
      progress: { line.update($0, of: $1) }, isInterrupted: { Interruption.isRequested })
    line.clear()
    MTL.show(summary.skipped)
    let skipped = summary.skipped.count
    let targets =
      switch options.target {
      case .folder(let folder): "\(folder)/image and \(folder)/label"
      case .pair(let images, let labels): "\(images) and \(labels)"
      case .single(let path): path
      }
    printError(
      "wrote \(counted(summary.records, "record")) with \(counted(summary.labelCount, "label")) each to \(targets)"
        + (skipped > 0 ? "; left out \(skipped) with faults" : ""))
  }

  /// The options in the library's terms.
  ///
  /// Throws a `ValidationError`.
  func conversion() throws -> ConversionOptions {
    var options = try places()
    // Older tools take 0 for 'as it is'.
    let (height, width) = (resizeHeight ?? 0, resizeWidth ?? 0)
    if (height > 0) != (width > 0) || height < 0 || width < 0 {
      throw ValidationError("Give both --resize-height and --resize-width, each at least 1.")
    }
    if height > 0 { options.size = ConversionOptions.Size(height: height, width: width) }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
    if let labels, labels < 1 { throw ValidationError("--labels must be at least 1.") }
    options.storage = try storage()
    options.isGray = gray
    options.shuffleSeed = shuffle ? seed : nil
    options.checksSize = checkSize
    options.skipsBad = skipBad
    options.replaces = force
    options.threads = threads ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    return options
  }

  private func storage() throws -> ConversionOptions.Storage {
    let encodeType = encodeType ?? ""
    if keepFiles {
      if resizeHeight ?? 0 > 0 || !encodeType.isEmpty || gray {
        throw ValidationError("--keep-files cannot be joined with resizing, --gray or --encode-type.")
      }
      return .file
    }
    if encodeType.isEmpty { return encoded ? .encoded(nil) : .pixels }
    let name = encodeType.drop { $0 == "." }
    guard let format = ImageFormat(extension: name) else {
      throw ValidationError("--encode-type '\(encodeType)' is not known; it may be png, jpg or bmp.")
    }
    return .encoded(format)
  }

  /// Which files are meant: two paths, one and two options, or the five paths of older tools.
  private func places() throws -> ConversionOptions {
    var options: ConversionOptions
    switch (paths.count, imageDatabase, labelDatabase) {
    case (5, nil, nil):
      guard root == nil && labels == nil else {
        throw ValidationError("ROOT/ LIST IMAGE_DB LABEL_DB COUNT say already what --root and --labels would.")
      }
      guard let count = Int(paths[4]), count > 0 else {
        throw ValidationError("COUNT must be the number of labels, but is '\(paths[4])'.")
      }
      options = ConversionOptions(list: paths[1], target: .pair(images: paths[2], labels: paths[3]))
      options.root = paths[0]
      options.labelCount = count
      return options
    case (2, nil, nil):
      options = ConversionOptions(list: paths[0], target: .folder(paths[1]))
    case (2, let images, let labels):
      options = ConversionOptions(
        list: paths[0], target: .pair(images: images ?? "\(paths[1])/image", labels: labels ?? "\(paths[1])/label"))
    case (1, let images?, let labels?):
      options = ConversionOptions(list: paths[0], target: .pair(images: images, labels: labels))
    default:
      throw ValidationError("Give LIST and DB (or LIST with --image-db and --label-db).")
    }
    options.root = root
    options.labelCount = labels
    return options
  }
}

private func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

extension DatabaseBackend: ExpressibleByArgument {}
