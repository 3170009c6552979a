import Testing

@testable import mtl

@Suite struct LegacyFlagsTests {
  @Test(arguments: [
    (["-resize_height=227", "-resize_width", "227"], ["--resize-height=227", "--resize-width", "227"]),
    (["--resize_height", "227", "--resize-width=1"], ["--resize-height", "227", "--resize-width=1"]),
    (["-solver=a_b.prototxt", "--weights=x_1,y_2"], ["--solver=a_b.prototxt", "--weights=x_1,y_2"]),
    (["-gpu", "0", "all"], ["--gpu", "0", "all"]),
    (["-shuffle=true", "--check_size=1", "-gray"], ["--shuffle", "--check-size", "--gray"]),
    (["-shuffle=false", "--shuffle=0", "-noshuffle", "--nocheck_size"], []),
    (["-shuffle=maybe"], ["--shuffle=maybe"]),
    (["--logtostderr=1", "-minloglevel=2", "-v=1", "train"], ["train"]),
    (["-encode_type=", "l"], ["l"]),
    (["-h", "-", "--", "-shuffle=false"], ["-h", "-", "--", "-shuffle=false"]),
    (["-5", "my_list.txt", "a=b", "./", "---x"], ["-5", "my_list.txt", "a=b", "./", "---x"]),
  ])
  func brings(_ arguments: [String], _ normalized: [String]) {
    #expect(LegacyFlags(flags: ["shuffle", "check-size", "gray"]).normalized(arguments) == normalized)
  }
}
