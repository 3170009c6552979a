import CaffeSchema
import Diagnostics
import Foundation

/// Runs a program that makes pictures, and gives what it prints.
///
/// - Parameter missing: the message when there is no such program.
/// - Throws: `machine`.
func runProgram(_ name: String, _ arguments: [String], missing: String) throws -> Data {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [name] + arguments
  let errors = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString).txt")
  _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
  defer { try? FileManager.default.removeItem(at: errors) }
  let output = Pipe()
  process.standardOutput = output
  // To a file: a pipe that nobody reads meanwhile could fill up.
  process.standardError = try FileHandle(forWritingTo: errors)
  do {
    try process.run()
  } catch {
    throw Diagnostic(.machine, missing)
  }
  let printed = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  if process.terminationStatus == 127 { throw Diagnostic(.machine, missing) }
  guard process.terminationStatus == 0 else {
    let message = String(decoding: FileManager.default.contents(atPath: errors.path) ?? Data(), as: UTF8.self)
    let line = message.split(whereSeparator: \.isNewline).first { !$0.trimmedBlanks.isEmpty }
    throw Diagnostic(.machine, "\(name) failed: \(line.map(String.init) ?? "it told no reason")")
  }
  return printed
}

/// Beside its place, then renamed.
func writePicture(_ picture: Data, to path: String) throws { try writeFile(picture, to: path) }
