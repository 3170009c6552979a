import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The `sampler` of a data layer, checked against its batch. The labels are read on first use and only once.
struct IdentitySampling: Sendable {
  let param: SamplerParameter
  private let fields: LayerFields
  private let place: String
  private let batchSize: Int
  private let seen = SeenOnce<IdentitySampler>()

  /// - Parameter holder: the message that has the field, for messages.
  /// - Returns: nil without a sampler.
  init?(_ fields: LayerFields, _ param: SamplerParameter?, in holder: String, batchSize: Int) throws {
    guard let param else { return nil }
    self.param = param
    self.fields = fields
    self.batchSize = batchSize
    place = holder + ".sampler"
    if param.hasPositiveShare { try checkPairs() } else { try checkGroups() }
    if param.hasRecordsPerRound, Int(param.recordsPerRound) < batchSize {
      throw fields.fault(
        "records_per_round must be at least the batch_size, \(batchSize)", at: place + ".records_per_round")
    }
  }

  private func checkPairs() throws {
    guard (0...1).contains(param.positiveShare) else {
      throw fields.fault("positive_share is from 0 to 1, not \(param.positiveShare)", at: place + ".positive_share")
    }
    guard batchSize % 2 == 0 else {
      throw fields.fault("pairs need an even batch_size, not \(batchSize)", at: place)
    }
    guard !param.hasRecordsPerIdentity else {
      throw fields.fault(
        "give positive_share for pairs, or records_per_identity for groups, not both",
        at: place + ".records_per_identity")
    }
    guard !param.hasIdentities || param.identities >= 2 || (param.identities == 1 && param.positiveShare == 1) else {
      throw fields.fault("pairs of two identities need identities: 2 at least", at: place + ".identities")
    }
  }

  private func checkGroups() throws {
    guard param.identities > 0, param.recordsPerIdentity > 0 else {
      throw fields.fault(
        "give identities and records_per_identity for groups of records, or positive_share for pairs", at: place)
    }
    let (groups, size) = (Int(param.identities), Int(param.recordsPerIdentity))
    guard groups * size == batchSize else {
      throw fields.fault(
        "\(groups) identities with \(size) records each are \(groups * size) records, but batch_size is \(batchSize)",
        at: place)
    }
  }

  /// What decides which records are drawn: layers that read side by side must have the same.
  func text(labels: String) -> String {
    var param = param
    param.labels = labels
    return param.textFormatString()
  }

  /// - Parameter readLabels: of each record its identity, NaN where it is not known.
  /// - Throws: `badRecord` when the labels do not hold what the sampler is to draw; faults of reading.
  func sampler(_ readLabels: () throws -> [Float]) throws -> IdentitySampler {
    try seen.value {
      do {
        return try IdentitySampler(
          param, labels: readLabels(), batchSize: batchSize, repeatsRounds: fields.phase == .test)
      } catch let fault as Diagnostic {
        throw fault.within(layer: fields.identity, at: fields.location(place))
      }
    }
  }

  /// What the user should know of the labels.
  func warnings(_ sampler: IdentitySampler) -> [Diagnostic] {
    sampler.remarks.map {
      Diagnostic(.badRecord, $0, severity: .warning, layer: fields.identity, at: fields.location(place))
    }
  }
}

/// Draws the records of each batch by their identities: as pairs, or as groups.
///
/// Groups: `identities` different ones, each with `records_per_identity` different records after one another; where an
/// identity has fewer they come again. Identities are drawn alike, whatever they have of records, but those with a single
/// record never, as they make no pair.
/// Pairs: records 2i and 2i + 1. A share of them is of one identity, which is that of a record drawn from all; the others
/// are a record drawn from all and one of another identity. With `identities` a batch draws so many first and keeps to
/// them, each alike.
///
/// What is drawn depends on the seed and the number of the pass alone. In TEST it is the same for every seed and in every
/// round of `recordsPerRound`, so that tests can be compared.
struct IdentitySampler: Sendable {
  let batchSize: Int
  /// A multiple of the batch.
  let recordsPerRound: Int
  /// What the user should know of the labels.
  let remarks: [String]
  private let param: SamplerParameter
  private let repeatsRounds: Bool
  /// The records of each identity, in the order of the labels.
  private let identities: [[Int]]
  /// Those that make a pair.
  private let several: [Int]
  /// The records that have an identity, and which.
  private let records: [(position: Int, identity: Int)]
  /// Those of identities that make a pair.
  private let severalRecords: [Int]

  init(_ param: SamplerParameter, labels: [Float], batchSize: Int, repeatsRounds: Bool) throws {
    self.param = param
    self.batchSize = batchSize
    self.repeatsRounds = repeatsRounds
    let round = param.hasRecordsPerRound ? Int(param.recordsPerRound) : labels.count
    recordsPerRound = max(1, round / batchSize) * batchSize
    var positions: [Float: [Int]] = [:]
    for (position, label) in labels.enumerated() where !label.isNaN { positions[label, default: []].append(position) }
    let identities = positions.sorted { $0.key < $1.key }.map(\.value)
    self.identities = identities
    several = identities.indices.filter { identities[$0].count > 1 }
    var identityOf = [Int?](repeating: nil, count: labels.count)
    for (identity, positions) in identities.enumerated() {
      for position in positions { identityOf[position] = identity }
    }
    let records = identityOf.enumerated().compactMap { position, identity in
      identity.map { (position: position, identity: $0) }
    }
    self.records = records
    severalRecords = records.indices.filter { identities[records[$0].identity].count > 1 }
    var remarks: [String] = []
    if records.count < labels.count {
      remarks.append(
        "\(labels.count - records.count) of \(labels.count) records have no identity (NaN) and are never drawn")
    }
    let single = identities.count - several.count
    if single > 0, param.recordsPerIdentity > 1 {
      remarks.append("\(single) of \(identities.count) identities have one record and are never drawn")
    }
    self.remarks = remarks
    try check()
  }

  private func check() throws {
    let what =
      "\(records.count) records of \(identities.count) identities, \(several.count) of which have several records"
    func fault(_ wanted: String) -> Diagnostic {
      Diagnostic(
        .badRecord, "the sampler needs \(wanted), but the labels are of \(what); is this the label of identities?")
    }
    let wanted = Int(param.identities)
    if param.hasPositiveShare {
      if param.positiveShare > 0, several.isEmpty { throw fault("an identity with two records") }
      if param.positiveShare < 1, identities.count < 2 { throw fault("two identities") }
      if several.count < wanted { throw fault("\(wanted) identities with two records") }
    } else if param.recordsPerIdentity > 1 {
      if several.count < wanted { throw fault("\(wanted) identities with two records") }
    } else if identities.count < wanted {
      throw fault("\(wanted) identities")
    }
  }

  /// The positions of the records of a batch.
  func batch(_ pass: Int, seed: UInt64) -> [Int] {
    let pass = repeatsRounds ? pass % (recordsPerRound / batchSize) : pass
    var draws = Draws(
      stream: RandomStream(seed: repeatsRounds ? 0 : seed, RandomStream.part("sampler"), UInt64(pass)))
    return param.hasPositiveShare ? pairs(&draws) : groups(&draws)
  }

  private func groups(_ draws: inout Draws) -> [Int] {
    let size = Int(param.recordsPerIdentity)
    let candidates = size > 1 ? several : Array(identities.indices)
    return draws.distinct(Int(param.identities), below: candidates.count).flatMap { choice in
      let records = identities[candidates[choice]]
      var group: [Int] = []
      while group.count < size {
        group += draws.distinct(min(size - group.count, records.count), below: records.count).map { records[$0] }
      }
      return group
    }
  }

  private func pairs(_ draws: inout Draws) -> [Int] {
    let count = batchSize / 2
    let wanted = Double(param.positiveShare) * Double(count)
    // Of 2.5 pairs, two in one batch and three in another.
    let positives = Int(wanted) + (draws.uniform() < wanted - wanted.rounded(.down) ? 1 : 0)
    let chosen =
      param.hasIdentities ? draws.distinct(Int(param.identities), below: several.count).map { several[$0] } : nil
    let places = draws.distinct(count, below: count)
    var batch = [Int](repeating: 0, count: batchSize)
    for (number, place) in places.enumerated() {
      let pair = number < positives ? alike(chosen, &draws) : unlike(chosen, &draws)
      (batch[2 * place], batch[2 * place + 1]) = pair
    }
    return batch
  }

  private func alike(_ chosen: [Int]?, _ draws: inout Draws) -> (Int, Int) {
    let identity =
      chosen.map { $0[draws.below($0.count)] } ?? records[severalRecords[draws.below(severalRecords.count)]].identity
    let members = identities[identity]
    let two = draws.distinct(2, below: members.count)
    return (members[two[0]], members[two[1]])
  }

  private func unlike(_ chosen: [Int]?, _ draws: inout Draws) -> (Int, Int) {
    if let chosen {
      let two = draws.distinct(2, below: chosen.count).map { identities[chosen[$0]] }
      return (two[0][draws.below(two[0].count)], two[1][draws.below(two[1].count)])
    }
    let first = records[draws.below(records.count)]
    while true {
      let second = records[draws.below(records.count)]
      if second.identity != first.identity { return (first.position, second.position) }
    }
  }
}

/// The draws of one batch, one after another.
private struct Draws {
  let stream: RandomStream
  private var next = 0

  init(stream: RandomStream) { self.stream = stream }

  mutating func below(_ bound: Int) -> Int {
    next += 1
    return stream.integer(next, below: bound)
  }

  mutating func uniform() -> Double {
    next += 1
    return stream.uniformDouble(next)
  }

  /// `count` different numbers below `bound`, in random order: the first steps of Fisher and Yates' shuffle.
  mutating func distinct(_ count: Int, below bound: Int) -> [Int] {
    var moved: [Int: Int] = [:]
    return (0..<count).map { step in
      let place = step + below(bound - step)
      let value = moved[place] ?? place
      moved[place] = moved[step] ?? step
      return value
    }
  }
}
