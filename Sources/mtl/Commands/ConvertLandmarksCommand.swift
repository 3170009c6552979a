import ArgumentParser
import Records

/// `mtl convert-landmarks`: a list of images with points and labels becomes two LMDBs.
struct ConvertLandmarksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert-landmarks",
    _superCommandName: "mtl",
    abstract: "Converts images with landmarks, and perhaps labels, into a pair of LMDBs.",
    usage: """
      mtl convert-landmarks --points COUNT [OPTIONS] LIST DB
      mtl convert-landmarks --points COUNT --pts [OPTIONS] LIST DB
      mtl convert-landmarks --mtfl [OPTIONS] LIST DB
      """,
    discussion: """
      A line of LIST is a path, the points' coordinates and labels: 'a.jpg 10 12 30 12.5 2'. Label vectors in the \
      databases begin with x and y of each point in turn, as shares of the kept picture's width and height, whatever \
      was cut and resized; then come the labels, their first class 0. The first label is also the integer label of the \
      image records.

      --margin 0.3 cuts out the face: the square around its points, 0.3 of its side larger on each side. --mtfl is \
      --points 5 --order columns --classes 2,2,2,5 --first-class 1: MTFL's training.txt and testing.txt as published. --pts is for sets like \
      300-W: the points of a.jpg stand in a.pts beside it, and a line of LIST is a path, or a path and labels.
      """
  )

  static let flagNames: Set<String> = ["mtfl", "pts", "shares"]

  @Argument(help: ArgumentHelp("The list and the folder of the databases.", valueName: "list> <db"))
  var paths: [String]

  @Option(help: ArgumentHelp("The number of points of a line.", valueName: "count"))
  var points: Int?

  @Flag(help: "The list is one of MTFL's.")
  var mtfl = false

  @Flag(help: "The points of each picture stand in a file of its name that ends in .pts.")
  var pts = false

  @Option(help: "Coordinates as pairs (x1 y1 x2 y2) or as columns (x1 x2 y1 y2). (default: pairs)")
  var order: LandmarkList.Order?

  @Flag(help: "Coordinates are shares of the image's width and height, not pixels.")
  var shares = false

  @Option(help: ArgumentHelp("How many labels stand before the points.", valueName: "count"))
  var labelsBefore = 0

  @Option(
    help: ArgumentHelp(
      "The number of classes of each label, with commas; 0 for any number. (default: as many labels as the first line)",
      valueName: "counts"))
  var classes: String?

  @Option(help: ArgumentHelp("What the list calls the first class. (default: 0)", valueName: "number"))
  var firstClass: Int?

  @Option(
    help: ArgumentHelp(
      "Cut out the face, with this share of its side around. (default: the whole image)", valueName: "share"))
  var margin: Float?

  @Option(help: "What is seen of a face beyond its image: edge (the last pixels go on) or black.")
  var border = LandmarkList.Border.edge

  @Option(
    help: ArgumentHelp(
      "Where the list's paths start. (default: the working directory, then the list's folder)", valueName: "dir"))
  var root: String?

  @OptionGroup var images: ImageConversionOptions

  func run() throws { try ImageConversionOptions.convert(MTL.checkingUsage(of: Self.self) { try conversion() }) }

  /// The options in the library's terms.
  ///
  /// Throws a `ValidationError`.
  func conversion() throws -> ConversionOptions {
    guard paths.count == 2 else { throw ValidationError("Give LIST and DB.") }
    guard (points != nil) != mtfl else { throw ValidationError("Give --points COUNT, or --mtfl.") }
    guard points ?? 1 > 0 else { throw ValidationError("--points must be at least 1.") }
    var list = points.map(LandmarkList.init(points:)) ?? .mtfl
    list.order = order ?? list.order
    guard !pts || !mtfl && !shares && order == nil && labelsBefore == 0 else {
      throw ValidationError(
        "--pts has pairs of pixels in files of their own; leave out --mtfl, --shares, --order and --labels-before.")
    }
    list.areBeside = pts
    list.areShares = shares
    list.labelsBefore = labelsBefore
    if let classes {
      list.classes = try classes.split(separator: ",").map { text in
        guard let count = Int(text), count >= 0 else {
          throw ValidationError("--classes takes numbers with commas, not '\(text)'.")
        }
        return count
      }
    }
    list.firstClass = firstClass ?? list.firstClass
    list.margin = margin
    list.border = border
    var options = ConversionOptions(list: paths[0], target: .folder(paths[1]))
    options.format = .landmarks(list)
    options.root = root
    try images.apply(to: &options)
    return options
  }
}

extension LandmarkList.Order: ExpressibleByArgument {}
extension LandmarkList.Border: ExpressibleByArgument {}
