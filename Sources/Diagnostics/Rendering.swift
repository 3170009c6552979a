extension Diagnostic: CustomStringConvertible {
  /// The one form in which faults are shown:
  /// ```
  /// face.prototxt:41:18: error: layer 'conv4' (Convolution): kernel_size 5 is larger than its padded input 3x3
  ///   note: bottom 'pool3' is produced at face.prototxt:33:8
  /// ```
  package var description: String {
    var text = ""
    if let location { text += "\(location): " }
    text += "\(severity.rawValue): "
    if let layer { text += "layer '\(layer.name)' (\(layer.type)): " }
    text += message
    for note in notes {
      text += "\n  note: \(note.message)"
      if let location = note.location { text += " at \(location)" }
    }
    return text
  }
}

extension SourceLocation: CustomStringConvertible {
  package var description: String {
    if line == 0 { return file }
    return column == 0 ? "\(file):\(line)" : "\(file):\(line):\(column)"
  }
}

extension DiagnosticList: CustomStringConvertible {
  package var description: String { all.map(\.description).joined(separator: "\n") }
}
