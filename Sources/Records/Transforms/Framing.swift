import CaffeSchema
import Nets
import Tensors

/// Which part of a picture is taken, and whether it is mirrored: what labels that are places in it have to follow.
///
/// In TRAIN the crop's place is drawn, in TEST it is the centre; whether to mirror is drawn in both, as in Caffe.
struct Framing: Sendable {
  let crop: Crop?
  let mirrors: Bool
  private let isTraining: Bool

  /// - Throws: a fault of the layer for crops that contradict each other.
  init(_ fields: LayerFields) throws {
    crop = try Crop(fields)
    mirrors = fields.parameter.transformParam.mirror
    isTraining = fields.phase == .train
  }

  /// Whether both take the same part of a picture with the same draws.
  func isLike(_ other: Framing) -> Bool {
    mirrors == other.mirrors && crop?.height == other.crop?.height && crop?.width == other.crop?.width
  }

  /// Whether the record with these draws is mirrored.
  func isMirrored(_ draws: RandomStream) -> Bool { mirrors && draws.integer(2, below: 2) == 1 }

  /// The corner of the crop of a picture of this size.
  func cropOrigin(height: Int, width: Int, _ draws: RandomStream) -> (top: Int, left: Int) {
    guard let crop else { return (0, 0) }
    let room = (height: height - crop.height, width: width - crop.width)
    guard isTraining else { return (room.height / 2, room.width / 2) }
    return (draws.integer(0, below: room.height + 1), draws.integer(1, below: room.width + 1))
  }
}

extension Framing: CustomStringConvertible {
  var description: String {
    "mirror: \(mirrors)" + (crop.map { " and a crop of \($0.height)x\($0.width)" } ?? " and no crop")
  }
}

extension RandomStream {
  /// The draws of one record's transform. The layers of a net draw alike for records at the same place of their
  /// sequences, whatever they are called, so that labels follow their pictures and masks their images.
  ///
  /// - Parameter place: in the endless sequence of records: it tells the record and the round.
  static func ofRecord(at place: Int, seed: UInt64) -> RandomStream {
    RandomStream(seed: seed, RandomStream.part("transform"), UInt64(place))
  }
}
