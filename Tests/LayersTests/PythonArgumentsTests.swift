@testable import Layers
import Testing

@Suite struct PythonArgumentsTests {
  @Test func formsOfPublicNets() {
    let yaml = PythonArguments("'feat_stride': 16 \n'scales': !!python/tuple [4, 8, 16, 32]")
    #expect(yaml.count("feat_stride") == 16)
    #expect(yaml.list("scales") == [4, 8, 16, 32])
    let dictionary = PythonArguments(#"{"phase":"TRAIN","batch_size":128, "mean": (104.0, 116.5), "negative": -3}"#)
    #expect(dictionary.count("batch_size") == 128)
    #expect(dictionary.list("mean") == [104, 116.5])
    #expect(dictionary.count("phase") == nil)
    #expect(dictionary.count("negative") == nil)
    #expect(PythonArguments("").list("x") == nil)
    #expect(PythonArguments("num_class: 7").count("num_class") == 7)
  }
}
