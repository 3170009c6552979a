import ArgumentParser
import Diagnostics
import Foundation
import Nets
import Solvers

/// `mtl conformance`: compares layers with the numbers of another program.
struct ConformanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "conformance",
    _superCommandName: "mtl",
    abstract: "Compares nets with values that another program computed for them.",
    discussion: """
      Each folder holds net.prototxt and expected.binaryproto, or folders that do. The latter is a NetParameter whose \
      layers carry blobs: 'blob:B' with data and diff, 'param:L', 'param_after:L'. A line for each case tells the \
      largest error and where it is.
      """
  )

  @Argument(help: ArgumentHelp("Cases, or folders of cases.", valueName: "dir"), completion: .directory)
  var folders: [String]

  @Option(
    help: ArgumentHelp(
      "Allowed error, relative to a blob's largest value. (default: 1e-4; 1e-3 for gradients of BatchNorm, LRN and recurrent layers)",
      valueName: "ratio"))
  var tolerance: Float?

  @OptionGroup var engineOptions: EngineOptions

  func run() throws {
    engineOptions.prepareProcess()
    let cases = try folders.flatMap(casesIn)
    let engine = try engineOptions.makeEngine()
    var failed = 0
    for folder in cases {
      let name = folder.split(separator: "/").last.map(String.init) ?? folder
      do {
        let outcome = try ConformanceCase(folder: folder, tolerance: tolerance)
          .run(engine: engine, catalogue: EngineOptions.catalogue)
        if !outcome.passes { failed += 1 }
        print(
          "\(outcome.passes ? "ok  " : "FAIL")  \(name)  largest error \(outcome.error) in \(outcome.place)"
            + ", \(fixedText(Double(outcome.worst), decimals: 3)) of what is allowed")
      } catch let fault as Diagnostic {
        failed += 1
        print("FAIL  \(name)  \(fault)")
      }
    }
    print("\(cases.count - failed) passed, \(failed) failed")
    if failed > 0 { throw ExitCode.failure }
  }

  /// A folder with a net is a case; one without holds cases.
  private func casesIn(_ folder: String) throws -> [String] {
    let files = FileManager.default
    if files.fileExists(atPath: folder + "/net.prototxt") { return [folder] }
    let inner = (try? files.contentsOfDirectory(atPath: folder))?.sorted() ?? []
    let cases = inner.map { "\(folder)/\($0)" }.filter { files.fileExists(atPath: $0 + "/net.prototxt") }
    guard !cases.isEmpty else {
      throw Diagnostic(.badArgument, "'\(folder)' holds no net.prototxt, and none of its folders does")
    }
    return cases
  }
}
