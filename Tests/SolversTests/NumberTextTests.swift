import Solvers
import Testing

@Suite struct NumberTextTests {
  /// As C++ streams print them, since log parsers were written against those.
  @Test(arguments: [
    (0.47042, "0.47042"), (2.35754132, "2.35754"), (0.05, "0.05"), (1e-7, "1e-07"), (123456789, "1.23457e+08"),
    (1, "1"),
    (-0.0312345678, "-0.0312346"),
  ])
  func sixDigits(_ value: Double, _ text: String) { #expect(logText(value) == text) }

  @Test func fixedDecimals() { #expect(fixedText(0.94849, decimals: 4) == "0.9485") }
}
