import ArgumentParser
import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Solvers
import Tasks

/// `mtl classify`: what a net says of pictures, task by task.
struct ClassifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    _superCommandName: "mtl",
    abstract: "Tells what a net says of image files, the best classes of each task.",
    usage: """
      mtl classify --model DEPLOY --weights WEIGHTS IMAGE…
      mtl classify DEPLOY WEIGHTS MEAN LABELS IMAGE
      """,
    discussion: """
      Images are brought to the size of the net's input. The mean and the scale are those of the data layer that the \
      weights were trained with, where they say so, unless given here. The second form is that of Caffe's example.
      """
  )

  @Argument(help: ArgumentHelp("The images.", valueName: "image"), completion: .file())
  var arguments: [String]

  @Option(
    help: ArgumentHelp("The net for use, with an Input layer.", valueName: "prototxt"),
    completion: .file(extensions: ["prototxt"]))
  var model: String?

  @Option(
    help: ArgumentHelp("The weights.", valueName: "caffemodel"), completion: .file(extensions: ["caffemodel", "h5"]))
  var weights: String?

  @Option(
    help: ArgumentHelp("A mean image, or a value for each channel with commas.", valueName: "file"), completion: .file()
  )
  var mean: String?

  @Option(help: ArgumentHelp("What values are multiplied with after the mean is taken off.", valueName: "factor"))
  var scale: Float?

  @Option(
    help: ArgumentHelp(
      "Names of classes, one a line; of one output alone with OUTPUT=FILE. Several times for several outputs.",
      valueName: "file"), completion: .file())
  var labels: [String] = []

  @Option(help: ArgumentHelp("How many classes of each task.", valueName: "count"))
  var top = 5

  @Flag(help: "Print JSON, for tools.")
  var json = false

  @OptionGroup var engineOptions: EngineOptions

  static let flagNames: Set<String> = ["json"]

  private struct Request {
    var model: String
    var weights: String
    var mean: String?
    var labels: [String]
    var images: [String]
  }

  private struct ImageAnswers: Encodable {
    var image: String
    var tasks: [Classifier.Answer]
  }

  func validate() throws {
    if top < 1 { throw ValidationError("--top must be at least 1.") }
  }

  func run() throws {
    let request = try MTL.checkingUsage(of: Self.self) { try self.request() }
    engineOptions.prepareProcess()
    let classifier = try Classifier(
      NetSource.read(path: request.model), weights: NetSource.readWeights(request.weights), origin: request.weights,
      engine: engineOptions.makeEngine(), mean: request.mean, scale: scale,
      labels: ClassifyCommand.names(request.labels))
    var answers: [ImageAnswers] = []
    for start in stride(from: 0, to: request.images.count, by: classifier.batch) {
      let images = Array(request.images[start..<min(start + classifier.batch, request.images.count)])
      for (image, tasks) in zip(images, try classifier.answers(for: images, top: top)) {
        answers.append(ImageAnswers(image: image, tasks: tasks))
      }
    }
    print(try json ? ClassifyCommand.json(answers) : ClassifyCommand.table(answers))
  }

  private func request() throws -> Request {
    if let model, let weights {
      return Request(model: model, weights: weights, mean: mean, labels: labels, images: arguments)
    }
    guard model == nil, weights == nil, arguments.count == 5, mean == nil, labels.isEmpty else {
      throw ValidationError("Give --model, --weights and images.")
    }
    return Request(
      model: arguments[0], weights: arguments[1], mean: arguments[2], labels: [arguments[3]], images: [arguments[4]])
  }

  /// The names of classes by output; `""` for files that are of no output.
  private static func names(_ files: [String]) throws -> [String: [String]] {
    var names: [String: [String]] = [:]
    for argument in files {
      let equals = argument.firstIndex(of: "=")
      let output = equals.map { String(argument[..<$0]) } ?? ""
      let path = equals.map { String(argument[argument.index(after: $0)...]) } ?? argument
      guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
        throw Diagnostic(.unreadableFile, "cannot read the names of classes in '\(path)'")
      }
      names[output] = text.split(whereSeparator: \.isNewline).map { $0.trimmedBlanks }
    }
    return names
  }

  private static func table(_ answers: [ImageAnswers]) -> String {
    var table = TextTable([("image", false), ("task", false), ("class", false), ("score", true)])
    for answer in answers {
      for (number, task) in answer.tasks.enumerated() {
        for (rank, score) in task.top.enumerated() {
          table.add([
            number == 0 && rank == 0 ? answer.image : "", rank == 0 ? task.task : "",
            score.label.map { "\(score.index) \($0)" } ?? "\(score.index)", fixedText(Double(score.score), decimals: 4),
          ])
        }
      }
    }
    return table.text
  }

  private static func json(_ answers: [ImageAnswers]) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return String(decoding: try encoder.encode(answers), as: UTF8.self)
  }
}
