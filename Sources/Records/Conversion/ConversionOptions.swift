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

  package struct Size: Equatable, Sendable {
    package var height: Int
    package var width: Int

    package init(height: Int, width: Int) {
      self.height = height
      self.width = width
    }
  }

  package var list: String
  package var target: Target
  /// The folder that the list's paths start from; nil tries the working directory, then the folder of the list.
  package var root: String?
  /// The number of labels of each line; nil takes it from the first line.
  package var labelCount: Int?
  /// The size that every image is brought to; nil leaves them as they are.
  package var size: Size?
  package var isGray = false
  package var storage = Storage.pixels
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
    if let labelCount, labelCount < 1 { throw Diagnostic(.badArgument, "cannot convert \(labelCount) labels") }
    if threads < 1 { throw Diagnostic(.badArgument, "cannot work on \(threads) threads") }
    if storage == .file && size != nil {
      throw Diagnostic(.badArgument, "a file kept as it is cannot be resized: choose one of the two")
    }
  }
}
