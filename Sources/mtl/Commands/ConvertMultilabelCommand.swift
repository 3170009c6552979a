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

  @Argument(
    help: ArgumentHelp("The list and the folder of the databases.", valueName: "list> <db"), completion: .file())
  var paths: [String]

  @Option(
    help: ArgumentHelp(
      "Where the list's paths start. (default: the working directory, then the list's folder)", valueName: "dir"),
    completion: .directory)
  var root: String?

  @Option(name: .customLong("image-db"), help: ArgumentHelp("The database of the images.", valueName: "path"))
  var imageDatabase: String?

  @Option(name: .customLong("label-db"), help: ArgumentHelp("The database of the labels.", valueName: "path"))
  var labelDatabase: String?

  @Option(help: ArgumentHelp("The number of labels of each line. (default: that of the first)", valueName: "count"))
  var labels: Int?

  @OptionGroup var images: ImageConversionOptions

  func run() throws { try ImageConversionOptions.convert(MTL.checkingUsage(of: Self.self) { try conversion() }) }

  /// The options in the library's terms.
  ///
  /// Throws a `ValidationError`.
  func conversion() throws -> ConversionOptions {
    var options = try places()
    if let labels, labels < 1 { throw ValidationError("--labels must be at least 1.") }
    try images.apply(to: &options)
    return options
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
