import ArgumentParser
import Records

/// `mtl convert-attributes`: CelebA's lists become pairs of LMDBs, one for each part.
struct ConvertAttributesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert-attributes",
    _superCommandName: "mtl",
    abstract: "Converts images with attributes, listed as CelebA's are, into pairs of LMDBs.",
    usage: "mtl convert-attributes [OPTIONS] LIST DB",
    discussion: """
      LIST is a file like CelebA's list_attr_celeba.txt: the number of images, the attributes' names, then an image and \
      its attributes, 1 or -1, a line. In the databases an attribute is 1 or 0.

      With --partition (list_eval_partition.txt) there are DB/train/image and DB/train/label, and the same of val and \
      test; without, DB/image and DB/label.
      """
  )

  @Argument(help: ArgumentHelp("The list and the folder of the databases.", valueName: "list> <db"))
  var paths: [String]

  @Option(help: ArgumentHelp("Take these alone, with commas, in this order. (default: all)", valueName: "names"))
  var attributes: String?

  @Option(help: ArgumentHelp("Which image is of which part: 0 train, 1 val, 2 test.", valueName: "file"))
  var partition: String?

  @Option(help: ArgumentHelp("The parts that are wanted.", valueName: "names"))
  var parts = "train,val,test"

  @Option(
    help: ArgumentHelp(
      "Where the list's paths start. (default: the working directory, then the list's folder)", valueName: "dir"))
  var root: String?

  @OptionGroup var images: ImageConversionOptions

  func run() throws {
    for options in try MTL.checkingUsage(of: Self.self, conversions) { try ImageConversionOptions.convert(options) }
  }

  /// One for each part.
  ///
  /// Throws a `ValidationError`.
  func conversions() throws -> [ConversionOptions] {
    guard paths.count == 2 else { throw ValidationError("Give LIST and DB.") }
    let names = attributes?.split(separator: ",").map(String.init) ?? []
    func options(_ folder: String, _ partition: (String, AttributeList.Part)?) throws -> ConversionOptions {
      var options = ConversionOptions(list: paths[0], target: .folder(folder))
      options.format = .attributes(AttributeList(attributes: names, partition: partition))
      options.root = root
      try images.apply(to: &options)
      return options
    }
    guard let partition else { return [try options(paths[1], nil)] }
    return try parts.split(separator: ",").map { name in
      guard let part = AttributeList.Part.allCases.first(where: { "\($0)" == name }) else {
        throw ValidationError("--parts knows train, val and test, but not '\(name)'.")
      }
      return try options("\(paths[1])/\(part)", (partition, part))
    }
  }
}
