import Foundation

/// The text of a file in Fixtures.
func fixture(_ name: String) throws -> String {
  try String(contentsOf: fixtureURL(name), encoding: .utf8)
}

func fixtureURL(_ name: String) -> URL {
  Bundle.module.bundleURL.appendingPathComponent("Fixtures").appendingPathComponent(name)
}
