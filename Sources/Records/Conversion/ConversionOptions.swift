import Diagnostics

/// What to convert, and how.
package struct ConversionOptions: Sendable {
  /// Where the records go.
  package enum Target: Sendable {
    /// Two databases, `image` and `label`, in this folder.
    case folder(String)
    /// Two databases of these names.
    case pair(images: String, labels: String)
    /// One database; a record's `label` is all that it says of labels.
    case single(String)
  }

  /// How an image is kept in its record.
  package enum Storage: Equatable, Sendable {
    /// Its pixels: channels x height x width.
    case pixels
    /// Its pixels, encoded in this format; nil stands for the format of its file (PNG where that cannot be written).
    case encoded(ImageFormat?)
    /// The file's bytes as they are.
    case file
  }

  /// What the lines of the list say.
  package enum Format: Sendable {
    /// A path and labels.
    case labels
    /// The attributes that one of CelebA's list files tells.
    case attributes(AttributeList)
    /// A path, points of a face and labels.
    case landmarks(LandmarkList)

    /// Throws a `Diagnostic` when there is no list to speak of. Faults of single lines are given back.
    func read(_ options: ConversionOptions) throws -> (list: LabelList, faults: [Diagnostic]) {
      switch self {
      case .labels: try LabelList.read(options.list, labelCount: options.labelCount)
      case .attributes(let attributes): try attributes.read(options.list)
      case .landmarks(let landmarks): try landmarks.read(options.list)
      }
    }

    /// How landmarks are taken from a picture; nil for lists without.
    var landmarks: LandmarkList? {
      if case .landmarks(let list) = self { list } else { nil }
    }
  }

  package struct Size: Equatable, Sendable {
    package var height: Int
    package var width: Int

    package init(height: Int, width: Int) {
      self.height = height
      self.width = width
    }
  }

  package var list: String
  package var format = Format.labels
  package var target: Target
  /// The folder that the list's paths start from; nil tries the working directory, then the folder of the list.
  package var root: String?
  /// The number of labels of each line; nil takes it from the first line.
  package var labelCount: Int?
  /// What is cut out of the middle of each image first; nil takes all.
  package var crop: Size?
  /// The size that every image is brought to; nil leaves them as they are.
  package var size: Size?
  package var isGray = false
  package var storage = Storage.pixels
  /// Whether an image that is to be encoded as its file is, and is neither resized nor made grey, keeps the file's bytes.
  /// Caffe's tool for single labels does so, the published one for several does not.
  package var keepsFittingFiles = false
  /// The seed of the order of records (see `shuffledOrder`); nil keeps the order of the list.
  package var shuffleSeed: UInt64?
  /// Whether images of different sizes are a fault.
  package var checksSize = false
  /// Whether records with faults are left out; else one fault ends the conversion.
  package var skipsBad = false
  /// Whether existing databases are replaced.
  package var replaces = false
  package var threads = 1

  package init(list: String, target: Target) {
    self.list = list
    self.target = target
  }

  /// Throws a `Diagnostic` (`badArgument`) for options that do not go together.
  func check() throws {
    if let size, size.height < 1 || size.width < 1 || size.height.multipliedReportingOverflow(by: size.width).overflow {
      throw Diagnostic(.badArgument, "cannot resize to \(size.height) x \(size.width) pixels")
    }
    if let crop, crop.height < 1 || crop.width < 1 {
      throw Diagnostic(.badArgument, "cannot cut out \(crop.height) x \(crop.width) pixels")
    }
    if crop != nil && format.landmarks?.margin != nil {
      throw Diagnostic(.badArgument, "faces are cut out around their landmarks, so there is no crop of the middle")
    }
    if let labelCount, labelCount < 1 { throw Diagnostic(.badArgument, "cannot convert \(labelCount) labels") }
    if threads < 1 { throw Diagnostic(.badArgument, "cannot work on \(threads) threads") }
    if storage == .file && (size != nil || crop != nil || format.landmarks?.margin != nil) {
      throw Diagnostic(.badArgument, "a file kept as it is cannot be resized or cut: choose one of the two")
    }
    try format.landmarks?.check()
  }
}
