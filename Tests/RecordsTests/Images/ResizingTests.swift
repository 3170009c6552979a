import Testing

@testable import Records

/// Expected values were computed by OpenCV 4.6: `cv2.resize(image, (width, height))`.
@Suite struct ResizingTests {
  static let gray = Image(
    height: 5, width: 7, channels: 1, pixels: (0..<35).map { UInt8(truncatingIfNeeded: $0 * 37) })
  static let color = Image(
    height: 4, width: 6, channels: 3, pixels: (0..<72).map { UInt8(truncatingIfNeeded: $0 * 53) })

  static let cases: [(image: Image, height: Int, width: Int, pixels: [UInt8])] = [
    (gray, 3, 4, [15, 79, 144, 209, 20, 85, 149, 214, 25, 89, 154, 219]),
    (gray, 1, 1, [117]),
    (gray, 5, 3, [25, 111, 197, 28, 114, 200, 31, 117, 203, 34, 120, 206, 37, 123, 209]),
    (gray, 2, 7, [2, 39, 76, 113, 150, 187, 224, 10, 47, 84, 121, 158, 195, 232]),
    (
      gray, 8, 11,
      [
        0, 17, 40, 64, 87, 111, 134, 158, 182, 205, 222, 1, 18, 41, 65, 89, 112, 136, 159, 183, 206, 223, 3, 20, 43,
        67, 91, 114, 138, 161, 185, 208, 225, 5, 22, 45, 69, 92, 116, 139, 163, 186, 210, 227, 7, 24, 47, 71, 94, 118,
        141, 165, 188, 212, 229, 9, 25, 49, 73, 96, 120, 143, 167, 190, 214, 231, 11, 27, 51, 74, 98, 122, 145, 169,
        192, 216, 233, 12, 29, 52, 76, 99, 123, 146, 170, 194, 217, 234,
      ]
    ),
    (color, 2, 3, [109, 162, 87, 171, 96, 85, 105, 94, 147, 97, 86, 139, 95, 148, 137, 157, 146, 135]),
    (
      color, 3, 5,
      [
        43, 95, 89, 131, 171, 75, 151, 76, 108, 141, 130, 170, 63, 78, 131, 141, 194, 132, 102, 116, 131, 165, 154, 79,
        138, 101, 116, 175, 100, 153, 69, 101, 154, 158, 61, 101, 71, 124, 156, 134, 157, 61, 94, 143, 175,
      ]
    ),
  ]

  @Test(arguments: cases.indices) func givesOpenCVsPixels(_ index: Int) {
    let (image, height, width, pixels) = ResizingTests.cases[index]
    #expect(image.resized(height: height, width: width).pixels == pixels)
  }

  @Test func keepsAnImageOfThatSize() {
    #expect(ResizingTests.color.resized(height: 4, width: 6) == ResizingTests.color)
  }
}
