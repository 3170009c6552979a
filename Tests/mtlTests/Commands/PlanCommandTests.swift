import Foundation
import Testing

@testable import mtl

@Suite struct PlanCommandTests {
  @Test func tellsStepsAndMemory() throws {
    #expect(PlanCommand.text(of: try SmallNet.make(.test)) == Self.testing)
  }

  @Test func tellsWhatAStepDoesForOtherLayers() throws {
    let joined = SmallNet.prototxt.replacingOccurrences(of: " axis: -1", with: "")
    let text = PlanCommand.text(of: try SmallNet.make(.test, prototxt: joined))
    #expect(text.contains("2 x InnerProduct"))
    #expect(!text.contains(" b "))
  }

  @Test func tellsTrainingSteps() throws {
    #expect(PlanCommand.text(of: try SmallNet.make(.train)) == Self.training)
  }

  private static let testing = """
    step  kind     layer or blob  type             kernel     bottoms    tops                      reads  writes
    ----  -------  -------------  ---------------  ---------  ---------  ------------------------  -----  ------
       1  forward  data           DummyData        -          -          2x1x6x6 plain, 2 plain      0 B   296 B
       2  forward  conv           Convolution      reference  plain      2x3x4x4 plain             288 B   384 B
       3  forward  relu           ReLU             reference  plain      2x3x4x4 plain (in place)  384 B   384 B
       4  forward  flat           Flatten          -          plain      2x48 plain (view)         384 B   384 B
       5  forward  a              InnerProduct     reference  plain      2x4 plain                 384 B    32 B
       6  forward  b              InnerProduct     reference  plain      2x2 plain                 384 B    16 B
       7  forward  loss_a         SoftmaxWithLoss  reference  2 x plain  (one value) plain          40 B    36 B
       8  forward  loss_b         SoftmaxWithLoss  reference  2 x plain  (one value) plain          24 B    20 B

    8 steps: 8 forward

    memory                bytes
    ------------------  -------  -----------------------------------------------
    arena               1.0 KiB  blobs, gradients, workspaces, scratch
    in use at the peak    736 B  at step 6, forward b
    parameters          1.3 KiB  shared by the nets of a solver
    their gradients         0 B
    batches                 0 B  of data layers, for each one that is kept ready

    in use at the peak  bytes  from step  to
    ------------------  -----  ---------  --
    conv                384 B          2   6
    data                288 B          1   8
    a                    32 B          5   7
    b                    16 B          6   8
    label                 8 B          1   8
    loss_a                4 B          1   8
    loss_b                4 B          1   8
    """

  private static let training = """
    step  kind      layer or blob  type             kernel     bottoms    tops                      reads  writes
    ----  --------  -------------  ---------------  ---------  ---------  ------------------------  -----  ------
       1  forward   data           DummyData        -          -          2x1x6x6 plain, 2 plain      0 B   296 B
       2  forward   conv           Convolution      reference  plain      2x3x4x4 plain             288 B   384 B
       3  forward   relu           ReLU             reference  plain      2x3x4x4 plain (in place)  384 B   384 B
       4  forward   flat           Flatten          -          plain      2x48 plain (view)         384 B   384 B
       5  forward   a              InnerProduct     reference  plain      2x4 plain                 384 B    32 B
       6  forward   b              InnerProduct     reference  plain      2x2 plain                 384 B    16 B
       7  forward   loss_a         SoftmaxWithLoss  reference  2 x plain  (one value) plain          40 B    36 B
       8  forward   loss_b         SoftmaxWithLoss  reference  2 x plain  (one value) plain          24 B    20 B
       9  seed      loss_b         -                -          -          (one value) plain           0 B     4 B
      10  backward  loss_b         SoftmaxWithLoss  reference  2 x plain  (one value) plain          28 B    16 B
      11  seed      loss_a         -                -          -          (one value) plain           0 B     4 B
      12  backward  loss_a         SoftmaxWithLoss  reference  2 x plain  (one value) plain          44 B    32 B
      13  backward  b              InnerProduct     reference  plain      2x2 plain                 400 B   384 B
      14  backward  a              InnerProduct     reference  plain      2x4 plain                 416 B   384 B
      15  sum       flat           -                reference  2 x plain  2x48 plain                768 B   384 B
      16  backward  flat           Flatten          -          plain      2x48 plain (in place)     384 B   384 B
      17  backward  relu           ReLU             reference  plain      2x3x4x4 plain (in place)  768 B   384 B
      18  backward  conv           Convolution      reference  plain      2x3x4x4 plain             672 B     0 B

    18 steps: 8 forward, 7 backward, 1 sum, 2 seed

    memory                bytes
    ------------------  -------  -----------------------------------------------
    arena               2.0 KiB  blobs, gradients, workspaces, scratch
    in use at the peak  1.8 KiB  at step 15, sum flat
    parameters          1.3 KiB  shared by the nets of a solver
    their gradients     1.3 KiB
    batches                 0 B  of data layers, for each one that is kept ready

    in use at the peak                   bytes  from step  to
    -----------------------------------  -----  ---------  --
    conv                                 384 B          2  17
    gradient of flat                     384 B         13  15
    gradient of flat                     384 B         14  15
    gradient of conv = gradient of flat  384 B         15  18
    data                                 288 B          1  18
    label                                  8 B          1  18
    loss_a                                 4 B          1  18
    loss_b                                 4 B          1  18
    """

  @Test(arguments: [
    ([], "-"), (["plain"], "plain"), (["plain", "plain"], "2 x plain"), (["a", "b", "b", "a"], "a, 2 x b, a"),
  ])
  func countsEqualNeighbours(_ names: [String], _ text: String) { #expect(StepTable.counted(names) == text) }

  @Test(arguments: [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3072.0 MiB")])
  func namesSizes(_ count: Int, _ text: String) { #expect(byteText(count) == text) }
}
