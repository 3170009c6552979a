import ArgumentParser
import Records
import Testing

@testable import mtl

/// The command lines of convert-attributes and convert-landmarks.
@Suite struct ConvertListsCommandTests {
  private func words(_ arguments: String) -> [String] {
    LegacyFlags(flags: ImageConversionOptions.flagNames.union(ConvertLandmarksCommand.flagNames))
      .normalized(arguments.split(separator: " ").map(String.init))
  }

  private func landmarks(_ arguments: String) throws -> (options: ConversionOptions, list: LandmarkList) {
    let options = try ConvertLandmarksCommand.parse(words(arguments)).conversion()
    guard case .landmarks(let list) = options.format else { throw ValidationError("no landmarks") }
    return (options, list)
  }

  @Test func mtflIsAForm() throws {
    let (options, list) = try landmarks(
      "--mtfl --margin 0.5 --gray --resize-height 44 --resize-width 44 training.txt db")
    #expect(list.points == 5 && list.order == .columns && list.classes == [2, 2, 2, 5] && list.firstClass == 1)
    #expect(list.margin == 0.5 && list.border == .edge && options.isGray && options.list == "training.txt")
    #expect(options.size == .init(height: 44, width: 44))
  }

  @Test func takesAnyLandmarks() throws {
    let (options, list) = try landmarks(
      "--points 68 --labels-before 1 --shares --classes 0,3 --border black --root faces list.txt db")
    #expect(list.points == 68 && list.order == .pairs && list.labelsBefore == 1 && list.areShares)
    #expect(list.classes == [0, 3] && list.border == .black && list.margin == nil && options.root == "faces")
  }

  @Test func takesFilesOfPoints() throws {
    let list = try landmarks("--points 68 --pts --margin 0.2 list.txt db").list
    #expect(list.points == 68 && list.areBeside && list.order == .pairs)
    #expect(throws: (any Error).self) { try landmarks("--points 68 --pts --shares list.txt db") }
    #expect(throws: (any Error).self) { try landmarks("--mtfl --pts list.txt db") }
  }

  @Test(arguments: [
    "list db", "--mtfl --points 5 list db", "--points 0 list db", "--points 5 list", "--points 5 --classes 2,x list db",
    "--points 5 --crop-height 3 list db",
  ])
  func refusesLandmarks(_ arguments: String) {
    #expect(throws: (any Error).self) { try landmarks(arguments) }
  }

  @Test func aPartIsAPairOfDatabases() throws {
    let all = try ConvertAttributesCommand.parse(
      words("--partition part.txt --attributes Smiling,Male --crop-height 178 --crop-width 170 attr.txt db")
    ).conversions()
    #expect(all.count == 3)
    for (options, part) in zip(all, AttributeList.Part.allCases) {
      guard case .folder(let folder) = options.target, case .attributes(let attributes) = options.format else {
        Issue.record("\(options.target)")
        return
      }
      #expect(folder == "db/\(part)" && attributes.attributes == ["Smiling", "Male"])
      #expect(attributes.partition?.file == "part.txt" && attributes.partition?.part == part)
      #expect(options.crop == .init(height: 178, width: 170))
    }
    let one = try ConvertAttributesCommand.parse(words("--partition p --parts test attr.txt db")).conversions()
    #expect(one.count == 1)
    let whole = try ConvertAttributesCommand.parse(words("attr.txt db")).conversions()
    guard case .folder("db") = whole[0].target else {
      Issue.record("\(whole[0].target)")
      return
    }
  }

  @Test(arguments: ["attr.txt", "--partition p --parts dev attr.txt db"])
  func refusesAttributes(_ arguments: String) {
    #expect(throws: (any Error).self) { try ConvertAttributesCommand.parse(words(arguments)).conversions() }
  }
}
