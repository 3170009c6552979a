/// The colours of tasks, the same in every picture: by the place of the task in its table.
package enum TaskColours {
  /// Strong enough for lines on white.
  private static let lines = [
    "#1f78b4", "#33a02c", "#ff7f00", "#6a3d9a", "#e31a1c", "#b15928", "#00897b", "#d6409f", "#636363", "#7a8b00",
  ]
  /// The same hues, light enough for black text.
  private static let fills = [
    "#a6cee3", "#b2df8a", "#fdbf6f", "#cab2d6", "#fb9a99", "#ffff99", "#8dd3c7", "#fccde5", "#d9d9d9", "#dbe28a",
  ]

  package static func line(_ task: Int) -> String { lines[task % lines.count] }
  package static func fill(_ task: Int) -> String { fills[task % fills.count] }
  /// How often the colours have been used up before a task: pictures tell those that share one by dashes.
  package static func round(_ task: Int) -> Int { task / lines.count }
}
