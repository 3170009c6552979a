import Testing

@testable import mtl

@Suite struct ProgressLineTests {
  @Test(arguments: [
    (0, 0.5, "converting 0 of 200 records"), (50, 100, "converting 50 of 200 records, 0.5/s, 5 min 0 s left"),
    (100, 0.1, "converting 100 of 200 records, 1000/s, 1 s left"),
    (200, 10, "converting 200 of 200 records, 20/s, 0 s left"),
  ])
  func tellsRateAndTimeLeft(_ done: Int, _ seconds: Double, _ text: String) {
    #expect(ProgressLine.text("converting", unit: "records", done: done, count: 200, seconds: seconds) == text)
  }

  @Test(arguments: [(0.0, "0 s"), (59.2, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
  func namesDurations(_ seconds: Double, _ text: String) {
    #expect(ProgressLine.duration(seconds) == text)
  }
}
