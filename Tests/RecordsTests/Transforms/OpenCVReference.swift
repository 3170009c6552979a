import Foundation

/// What OpenCV 4.6 makes of one picture (Fixtures/transforms).
struct OpenCVReference: Decodable {
  struct Picture: Decodable {
    let height: Int
    let width: Int
    let pixels: [UInt8]
  }

  struct Resized: Decodable {
    let mode: String
    let height: Int
    let width: Int
    let pixels: [UInt8]
  }

  struct HSV: Decodable {
    let bgr: [UInt8]
    let hsv: [UInt8]
    /// The same with another hue, and what that is.
    let changed: [UInt8]
    let back: [UInt8]
  }

  struct Window: Decodable {
    let box: [Int]
    let size: Int
    let pad: Int
    let square: Bool
    let mirror: Bool
    let values: [Float]
  }

  let image: Picture
  let resized: [Resized]
  let hsv: [HSV]
  let windows: [Window]

  /// What OpenCV 5.0 makes of pictures, by the field of `noise_param`; pixels in base 64.
  struct Noise: Decodable {
    struct Picture: Decodable {
      let height: Int
      let width: Int
      let channels: Int
      let pixels: Data
      let results: [String: Data]
    }

    let pictures: [Picture]

    static func read() throws -> Noise {
      let path = Bundle.module.bundlePath + "/Fixtures/transforms/noise.json"
      return try JSONDecoder().decode(Noise.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }
  }

  static func read() throws -> OpenCVReference {
    let path = Bundle.module.bundlePath + "/Fixtures/transforms/opencv.json"
    return try JSONDecoder().decode(OpenCVReference.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
  }
}
