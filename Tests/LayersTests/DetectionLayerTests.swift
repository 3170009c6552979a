import CaffeSchema
import ComputeReference
import Diagnostics
import Glibc
import Layers
import Nets
import Tensors
import Testing

/// Layers of detectors against values worked out by hand.
@Suite struct DetectionLayerTests {
  private func run(_ inputs: [(Shape, [Float])], _ layer: String, phase: Phase = .test) throws -> SweepNet {
    let example = LayerExample("by hand", inputs: inputs.map { .normal($0.0) }, layer, phase: phase)
    let net = try SweepNet(example, engine: ReferenceEngine())
    for (index, input) in inputs.enumerated() { net.fillInput(index) { input.1[$0] } }
    try net.forward()
    return net
  }

  private func top(_ name: String, _ net: SweepNet) throws -> [Float] {
    try net.net.values(of: #require(net.net.blob(name)))
  }

  /// Two boxes on one object, one on nothing, one of an image without objects.
  @Test func evaluation() throws {
    let found: [Float] = [
      0, 1, 0.4, 0.1, 0.1, 0.5, 0.5,
      0, 1, 0.9, 0.1, 0.1, 0.5, 0.4,
      0, 2, 0.7, 0.6, 0.6, 0.9, 0.9,
      1, 1, 0.8, 0.1, 0.1, 0.5, 0.5,
      -1, -1, -1, -1, -1, -1, -1,
    ]
    let objects: [Float] = [
      0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0,
      0, 2, 0, 0.0, 0.0, 0.2, 0.2, 0,
      0, 1, 1, 0.7, 0.7, 0.9, 0.9, 1,
    ]
    func rows(_ param: String) throws -> [Float] {
      let net = try run(
        [([1, 1, 5, 7], found), ([1, 1, 3, 8], objects)],
        """
        layer { name: "e" type: "DetectionEvaluate" bottom: "in0" bottom: "in1" top: "e"
          detection_evaluate_param { num_classes: 3 \(param) } }
        """)
      return try top("e", net)
    }
    let boxes: [Float] = [0, 1, 0.9, 1, 0, 0, 1, 0.4, 0, 1, 0, 2, 0.7, 0, 1, 1, 1, 0.8, 0, 1]
    #expect(try rows("") == [-1, 1, 2, -1, -1, -1, 2, 1, -1, -1] + boxes)
    #expect(try rows("evaluate_difficult_gt: false") == [-1, 1, 1, -1, -1, -1, 2, 1, -1, -1] + boxes)
    // Nothing overlaps by 0.9 but the box that is the object itself.
    #expect(try Array(rows("overlap_threshold: 0.9")[10..<20]) == [0, 1, 0.9, 0, 1, 0, 1, 0.4, 1, 0])
  }

  /// py-faster-rcnn's nine anchors, unmoved (which adds 1 to their far corners), cut at the border of the image, of which one overlaps others too much.
  @Test func proposals() throws {
    var scores = [Float](repeating: 0, count: 18)
    // Of ratio 1/2 and scale 8: -84, -40, 99, 55; of ratio 1 and scale 8: -56, -56, 71, 71.
    scores[9] = 0.9
    scores[12] = 0.8
    let net = try run(
      [([1, 18, 1, 1], scores), ([1, 36, 1, 1], [Float](repeating: 0, count: 36)), ([1, 3], [100, 120, 1])],
      """
      layer { name: "p" type: "Python" bottom: "in0" bottom: "in1" bottom: "in2" top: "rois" top: "scores"
        python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': 16" } }
      """)
    let regions = try top("rois", net)
    #expect(Array(regions[0..<10]) == [0, 0, 0, 100, 56, 0, 0, 0, 72, 72])
    #expect(try Array(top("scores", net)[0..<2]) == [0.9, 0.8])
    #expect(regions.count < 45)
    // The largest fill the image and are one.
    #expect(regions.count / 5 == (try top("scores", net)).count)
  }

  @Test func hardestRegions() throws {
    let regions: [Float] = [0, 1, 0, 0, 1].flatMap { [$0, 0, 0, 1, 1] }
    let net = try run(
      [
        ([5, 5], regions), ([5, 1], [0.1, 0.5, 0.3, .nan, 0.2]), ([5], [1, 2, 3, 4, 5]),
        ([5, 2], (0..<10).map(Float.init)),
      ],
      """
      layer { name: "b" type: "BoxAnnotatorOHEM" bottom: "in0" bottom: "in1" bottom: "in2" bottom: "in3" top: "labels"
        top: "weights" box_annotator_ohem_param { roi_per_img: 1 ignore_label: -1 } }
      """)
    #expect(try top("labels", net) == [-1, 2, 3, -1, -1])
    #expect(try top("weights", net) == [0, 0, 2, 3, 4, 5, 0, 0, 0, 0])
  }

  /// A grid of one cell over a plane whose values are their x has its corners' x.
  @Test func alignedCorners() throws {
    let net = try run(
      [([1, 1, 4, 4], (0..<16).map { Float($0 % 4) }), ([1, 5], [0, 1, 1, 3, 3])],
      """
      layer { name: "r" type: "ROIAlign" bottom: "in0" bottom: "in1" top: "r"
        roi_pooling_param { pooled_h: 1 pooled_w: 1 spatial_scale: 1 } }
      """)
    #expect(try top("r", net) == [0.5, 2.5, 0.5, 2.5])
  }

  /// The weights of SegNet's fork are those of an Infogain loss with a diagonal matrix.
  @Test func classWeights() throws {
    let scores = (0..<12).map { Float($0 % 5) * 0.3 }
    let weights: [Float] = [0.5, 2, 1.5]
    let matrix: [Float] = (0..<9).map { $0 % 4 == 0 ? weights[$0 / 4] : 0 }
    let inputs: [(Shape, [Float])] = [([4, 3], scores), ([4], [0, 2, 1, 2])]
    let segnet = try run(
      inputs,
      """
      layer { name: "l" type: "SoftmaxWithLoss" bottom: "in0" bottom: "in1" top: "l" loss_param {
        weight_by_label_freqs: true class_weighting: 0.5 class_weighting: 2 class_weighting: 1.5 } }
      """)
    let infogain = try run(
      inputs + [(Shape([3, 3]), matrix)],
      #"layer { name: "l" type: "InfogainLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "l" }"#)
    #expect(abs(try top("l", segnet)[0] - top("l", infogain)[0]) < 1e-5)
  }

  /// YOLO's boxes: one place, one anchor of its size, in the middle of the image.
  @Test(arguments: [
    (
      "YoloDetectionOutput",
      "yolo_detection_output_param { num_classes: 2 num_box: 1 biases: 0.5 biases: 0.25 confidence_threshold: 0.1 }"
    ),
    (
      "Yolov3DetectionOutput",
      """
      yolov3_detection_output_param { num_classes: 2 num_box: 1 mask_group_num: 1 anchors_scale: 8 biases: 4 biases: 2
        mask: 0 confidence_threshold: 0.3 }
      """
    ),
  ])
  func yolo(_ type: String, _ param: String) throws {
    // Objectness 1/2; classes of far apart scores.
    let net = try run(
      [([1, 7, 1, 1], [0, 0, 0, 0, 0, -20, 20])],
      #"layer { name: "y" type: "\#(type)" bottom: "in0" top: "y" \#(param) }"#)
    let row = try top("y", net)
    let expected: [Float] = [0, 2, 0.5, 0.25, 0.375, 0.75, 0.625]
    #expect(row.count == 7)
    for (a, b) in zip(row, expected) { #expect(abs(a - b) < 1e-5) }
  }

  // MARK: YOLO

  /// One box of two classes in a map of 2 x 2 cells, all predictions 0 but where `values` says otherwise; the cell at row 1,
  /// column 0 holds an object.
  private func yolo(_ layer: String, _ objects: (Shape, [Float])) throws -> SweepNet {
    let net = try run([([1, 7, 2, 2], [Float](repeating: 0, count: 28)), objects], layer, phase: .train)
    try net.backward()
    return net
  }

  private static let listed: (Shape, [Float]) = ([1, 10], [1, 0.3, 0.6, 0.5, 0.25, 0, 0, 0, 0, 0])
  /// The same object as AnnotatedData gives it.
  private static let cornered: (Shape, [Float]) = (
    [1, 1, 2, 8], [0, 2, 0, 0.05, 0.475, 0.55, 0.725, 0] + [Float](repeating: -1, count: 8)
  )

  @Test(arguments: [listed, cornered])
  func regionLoss(_ objects: (Shape, [Float])) throws {
    let net = try yolo(
      """
      layer { name: "loss" type: "RegionLoss" bottom: "in0" bottom: "in1" top: "loss" region_loss_param { num: 1
        num_class: 2 biases: 0.5 biases: 1 rescore: 0 object_scale: 4 noobject_scale: 0.5 class_scale: 3 coord_scale: 2
        thresh: 0.9 } }
      """, objects)
    let gradients = try #require(try net.inputGradients().first)
    // Of value v at cell c: 4 v + c. The object's centre is at 0.6 of the width, 0.2 of the height of cell 2; it weighs 2 -
    // 0.5 * 0.25. The slope of a sigmoid at 0 is 0.25.
    let weight: Float = 2 * (2 - 0.125)
    var expected = [Float](repeating: 0, count: 28)
    expected[2] = weight * (0.5 - 0.6) * 0.25
    expected[4 + 2] = weight * (0.5 - 0.2) * 0.25
    expected[8 + 2] = -weight * logf(1 / 0.5)
    expected[12 + 2] = -weight * logf(0.5 / 1)
    for cell in 0..<4 { expected[16 + cell] = 0.5 * 0.5 * 0.25 }
    expected[16 + 2] = 4 * (0.5 - 1) * 0.25
    expected[20 + 2] = 3 * 0.5
    expected[24 + 2] = 3 * (0.5 - 1)
    for (found, wanted) in zip(gradients, expected) { #expect(abs(found - wanted) < 1e-5) }
    #expect(abs(try net.firstTop()[0] - expected.reduce(0) { $0 + $1 * $1 }) < 1e-4)
  }

  @Test func yolov3Loss() throws {
    let net = try yolo(
      """
      layer { name: "loss" type: "Yolov3" bottom: "in0" bottom: "in1" top: "loss" yolov3_param { num: 1 num_class: 2
        anchors_scale: 8 biases: 1 biases: 1 biases: 4 biases: 8 mask: 1 class_scale: 3 coord_scale: 2 thresh: 0.9
        label_smooth_eps: 0.2 iou_thresh: 1 } }
      """, Self.listed)
    let gradients = try #require(try net.inputGradients().first)
    // The second anchor is 4/16 x 8/16 of the image, likelier than the first.
    let weight: Float = 2 * (2 - 0.125)
    var expected = [Float](repeating: 0, count: 28)
    expected[2] = weight * (0.5 - 0.6)
    expected[4 + 2] = weight * (0.5 - 0.2)
    expected[8 + 2] = -weight * logf(0.5 / 0.25)
    expected[12 + 2] = -weight * logf(0.25 / 0.5)
    for cell in 0..<4 { expected[16 + cell] = 0.5 }
    expected[16 + 2] = 0.5 - 1
    expected[20 + 2] = 3 * (0.5 - 0.1)
    expected[24 + 2] = 3 * (0.5 - 0.9)
    for (found, wanted) in zip(gradients, expected) { #expect(abs(found - wanted) < 1e-5) }
    #expect(abs(try net.firstTop()[0] - expected.reduce(0) { $0 + $1 * $1 }) < 1e-4)
  }

  /// An object of an anchor that this map does not have is none of it, but for `iou_thresh`.
  @Test func yolov3ObjectOfAnotherMap() throws {
    func objectness(_ threshold: Float) throws -> [Float] {
      let net = try yolo(
        """
        layer { name: "loss" type: "Yolov3" bottom: "in0" bottom: "in1" top: "loss" yolov3_param { num: 1 num_class: 2
          anchors_scale: 8 biases: 8 biases: 4 biases: 6 biases: 4 mask: 1 thresh: 0.9 iou_thresh: \(threshold) } }
        """, Self.listed)
      return Array(try #require(try net.inputGradients().first)[16..<20])
    }
    #expect(try objectness(0.8) == [0.5, 0.5, 0.5, 0.5])
    // The anchors overlap the object by 1 and by 0.75.
    #expect(try objectness(0.7) == [0.5, 0.5, -0.5, 0.5])
  }

  @Test(arguments: [([1, 10], 2), ([1, 10], -1)] as [(Shape, Float)])
  func yoloObjectsAreOfAClass(_ shape: Shape, _ label: Float) {
    let fault = #expect(throws: Diagnostic.self) {
      try yolo(
        """
        layer { name: "loss" type: "RegionLoss" bottom: "in0" bottom: "in1" top: "loss" region_loss_param { num: 1
          num_class: 2 biases: 0.5 biases: 1 } }
        """, (shape, [label, 0.3, 0.6, 0.5, 0.25, 0, 0, 0, 0, 0]))
    }
    #expect(fault?.message.contains("the class must be below 2") == true)
  }
}
