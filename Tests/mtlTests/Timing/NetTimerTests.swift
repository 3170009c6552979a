import CaffeSchema
import Nets
import Testing

@testable import mtl

@Suite struct NetTimerTests {
  @Test func everyStepHasATimeInEveryPass() throws {
    let net = try SmallNet.make(.train)
    let timer = NetTimer(net: net)
    #expect(try timer.warmUp() > 0)
    #expect(net.clock.pass == NetTimer.warmUp)
    var told: [Int] = []
    let times = try timer.measure(passes: 3) { pass, seconds in
      told.append(pass)
      #expect(seconds > 0)
    }
    #expect(told == [0, 1, 2])
    #expect(net.clock.pass == NetTimer.warmUp + 3)
    #expect(times.forward.count == net.forwardSteps.count && times.backward.count == net.backwardSteps.count)
    #expect((times.forward + times.backward).allSatisfy { $0.count == 3 && $0.allSatisfy { $0 >= 0 } })
  }

  @Test func weightsCountAsChangedInTrainingAlone() throws {
    for (phase, changes) in [(Phase.train, true), (.test, false)] {
      let net = try SmallNet.make(phase)
      let before = net.parameterTable.unique.map(\.parameter.version)
      _ = try NetTimer(net: net).measure(passes: 1) { _, _ in }
      let after = net.parameterTable.unique.map(\.parameter.version)
      #expect((before != after) == changes)
    }
  }
}
