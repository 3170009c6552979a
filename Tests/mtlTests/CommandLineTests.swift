import ArgumentParser
import Foundation
import Testing

@testable import mtl

/// What shells and man pages are made from: the completion scripts and the description of the whole command line.
@Suite struct CommandLineTests {
  private static let commands = [
    "convert-multilabel", "convert-imageset", "compute-mean", "train", "test", "classify", "extract-features", "export",
    "check", "upgrade", "draw", "plot", "inspect", "time", "plan",
  ]

  @Test(arguments: ["bash", "zsh", "fish"])
  func completionScriptsKnowCommandsAndOptions(_ shell: String) throws {
    let script = try #require(CompletionShell(rawValue: shell).map { MTL.completionScript(for: $0) })
    for command in Self.commands { #expect(script.contains(command), "\(shell): \(command)") }
    for option in ["solver", "keep-best", "resume", "onnx"] {
      #expect(script.contains(option), "\(shell): --\(option)")
    }
    // Files are completed by their endings.
    #expect(script.contains("prototxt"))
  }

  @Test func theProgramPrintsThem() throws {
    let script = try output(["--generate-completion-script", "bash"])
    #expect(script.contains("complete -") && script.contains("_mtl"))
  }

  @Test func theProgramTellsItsVersion() throws {
    #expect(try output(["--version"]).hasPrefix("mtl "))
  }

  /// Man pages are made from it.
  @Test func everyCommandSaysWhatItDoes() throws {
    let dump = try JSONSerialization.jsonObject(with: Data(output(["--experimental-dump-help"]).utf8))
    let root = try #require((dump as? [String: Any])?["command"] as? [String: Any])
    let commands = try #require(root["subcommands"] as? [[String: Any]])
    let names = commands.compactMap { $0["commandName"] as? String }
    #expect(Set(Self.commands).isSubset(of: names), "\(names)")
    for command in commands {
      let name = command["commandName"] as? String ?? "?"
      guard command["shouldDisplay"] as? Bool ?? true, name != "help" else { continue }
      #expect((command["abstract"] as? String)?.isEmpty == false, "\(name)")
      for argument in command["arguments"] as? [[String: Any]] ?? [] where argument["shouldDisplay"] as? Bool == true {
        let value = argument["valueName"] as? String ?? "?"
        #expect((argument["abstract"] as? String)?.isEmpty == false, "\(name) \(value)")
      }
    }
  }

  private func output(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = ConversionProcessTests.program
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return String(decoding: data, as: UTF8.self)
  }
}
