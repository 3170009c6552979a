import ArgumentParser
import Glibc
import Records

/// The options of both converters: how images are prepared and kept.
struct ImageConversionOptions: ParsableArguments {
  static let flagNames: Set<String> = [
    "gray", "shuffle", "check-size", "encoded", "keep-files", "force", "skip-bad",
  ]

  @Option(help: ArgumentHelp("Resize to this height (with --resize-width).", valueName: "pixels"))
  var resizeHeight: Int?

  @Option(help: ArgumentHelp("Resize to this width (with --resize-height).", valueName: "pixels"))
  var resizeWidth: Int?

  @Option(help: ArgumentHelp("First cut this height out of the middle (with --crop-width).", valueName: "pixels"))
  var cropHeight: Int?

  @Option(help: ArgumentHelp("First cut this width out of the middle (with --crop-height).", valueName: "pixels"))
  var cropWidth: Int?

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

  @Flag(help: "Leave records with faults out.")
  var skipBad = false

  /// Puts the options into the library's terms.
  ///
  /// Throws a `ValidationError`.
  func apply(to options: inout ConversionOptions) throws {
    // Older tools take 0 for 'as it is'.
    let (height, width) = (resizeHeight ?? 0, resizeWidth ?? 0)
    if (height > 0) != (width > 0) || height < 0 || width < 0 {
      throw ValidationError("Give both --resize-height and --resize-width, each at least 1.")
    }
    if height > 0 { options.size = ConversionOptions.Size(height: height, width: width) }
    guard (cropHeight == nil) == (cropWidth == nil), cropHeight ?? 1 > 0, cropWidth ?? 1 > 0 else {
      throw ValidationError("Give both --crop-height and --crop-width, each at least 1.")
    }
    if let cropHeight, let cropWidth { options.crop = ConversionOptions.Size(height: cropHeight, width: cropWidth) }
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
    options.storage = try storage()
    options.isGray = gray
    options.shuffleSeed = shuffle ? seed : nil
    options.checksSize = checkSize
    options.skipsBad = skipBad
    options.replaces = force
    options.threads = threads ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  private func storage() throws -> ConversionOptions.Storage {
    let encodeType = encodeType ?? ""
    if keepFiles {
      if resizeHeight ?? 0 > 0 || cropHeight != nil || !encodeType.isEmpty || gray {
        throw ValidationError("--keep-files cannot be joined with resizing, cropping, --gray or --encode-type.")
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

  /// Converts with a line at the terminal's foot, and tells what was left out and written.
  static func convert(_ options: ConversionOptions) throws {
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

  private static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

extension DatabaseBackend: ExpressibleByArgument {}
