# Lists 'path identity x1 y1 … x68 y68' into lists 'path identity pose points' for mtl convert-landmarks: train.txt,
# validation.txt and test.txt; identities.txt says how many people train.txt has.
#
#   awk -f labels.awk TRAIN TRAIN TEST
#
# The training list is read twice: first for its people and how far they turn their heads. Of each person with three
# pictures or more, the last one is kept for validation. Identities become classes from 0; people that the training list
# does not have are missing labels (?). Commas count as blanks.
#
# The pose is one of five classes from left to right, told by the points: by how much nearer the tip of the nose (point 30)
# is to one end of the jaw (0 and 16) than to the other. Its limits are those within which 20 and 60 of 100 training faces
# lie, to both sides alike, so that a mirror turns class c into 4 - c.

function x(point) { return $(NF - 135 + 2 * point) }
function y(point) { return $(NF - 134 + 2 * point) }
function distance(a, b) { return sqrt((x(a) - x(b)) ^ 2 + (y(a) - y(b)) ^ 2) }
function turn(  left, right) {
  left = distance(30, 0)
  right = distance(30, 16)
  return left + right > 0 ? (left - right) / (left + right) : 0
}
function size(value) { return value < 0 ? -value : value }
function fault(what) {
  print FILENAME ":" FNR ": error: " what > "/dev/stderr"
  failed = 1
  exit 1
}

FNR == 1 { part++ }
{ sub(/\r$/, ""); gsub(/,/, " "); sub(/[ \t]+$/, "") }
NF == 0 { next }
NF < 138 { fault("a line is a path, an identity and 68 points: 138 fields or more, not " NF) }
{
  who = $(NF - 136)
  # Paths may have blanks in them.
  path = $1
  for (i = 2; i < NF - 136; i++) path = path " " $i
}
part == 1 {
  if (!(who in class)) class[who] = people++
  pictures[who]++
  turns[faces++] = size(turn())
  next
}
part == 2 && FNR == 1 {
  command = "sort -g > turns.txt"
  for (i = 0; i < faces; i++) print turns[i] | command
  close(command)
  for (i = 0; (getline value < "turns.txt") > 0; i++) {
    if (i <= 0.2 * (faces - 1)) near = value
    if (i <= 0.6 * (faces - 1)) far = value
  }
  close("turns.txt")
}
{
  value = turn()
  side = size(value) <= near ? 0 : size(value) <= far ? 1 : 2
  pose = 2 + (value < 0 ? -side : side)
  file = part == 3 ? "test.txt" : "train.txt"
  if (part == 2 && ++seen[who] == pictures[who] && pictures[who] >= 3) file = "validation.txt"
  points = ""
  for (i = NF - 135; i <= NF; i++) points = points " " $i
  print path "\t" (who in class ? class[who] : "?"), pose points > file
}
END { if (!failed) print people > "identities.txt" }
