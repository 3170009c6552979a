import ArgumentParser
import Records

/// `mtl convert-imageset`: a list of images with one label each becomes a database.
struct ConvertImagesetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert-imageset",
    _superCommandName: "mtl",
    abstract: "Converts a list of images with one label each to a database.",
    usage: """
      mtl convert-imageset [OPTIONS] LIST DB
      mtl convert-imageset [OPTIONS] ROOT/ LIST DB
      """,
    discussion: """
      A line of the list is a path and a whole number. Keys and records are those of Caffe's convert_imageset: with \
      --encoded alone, an image keeps the bytes of its file. For several labels a line, or labels that are no whole numbers, see 'mtl convert-multilabel'.
      """
  )

  @Argument(
    help: ArgumentHelp("The list and the database, perhaps after the folder that paths start from."),
    completion: .file())
  var paths: [String]

  @Option(
    help: ArgumentHelp(
      "Where the list's paths start. (default: the working directory, then the list's folder)", valueName: "dir"),
    completion: .directory)
  var root: String?

  @OptionGroup var images: ImageConversionOptions

  func run() throws { try ImageConversionOptions.convert(MTL.checkingUsage(of: Self.self) { try conversion() }) }

  /// The options in the library's terms.
  ///
  /// Throws a `ValidationError`.
  func conversion() throws -> ConversionOptions {
    guard paths.count == 2 || (paths.count == 3 && root == nil) else {
      throw ValidationError("Give LIST and DB, or ROOT/, LIST and DB.")
    }
    var options = ConversionOptions(list: paths[paths.count - 2], target: .single(paths[paths.count - 1]))
    options.root = paths.count == 3 ? paths[0] : root
    options.labelCount = 1
    try images.apply(to: &options)
    options.keepsFittingFiles = true
    return options
  }
}
