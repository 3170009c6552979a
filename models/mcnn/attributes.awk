# 40 attributes of the digits in the form of CelebA's lists, by a fixed rule from the lists of models/tcdcn:
#
#   awk -f attributes.awk -v list=list_attr_digits.txt -v partition=list_eval_partition.txt training.txt testing.txt
#
# A line there is a path, x1 .. x5 y1 .. y5 (the corners and the centre of the ink, in pixels of 28), and five labels from 1.
# The first file becomes part 0 (train), the second part 2 (test).

function attribute(name, isTrue) {
  if (records == 1) names = names name " "
  values[records] = values[records] sprintf(" %2d", isTrue ? 1 : -1)
}

# Whether the digit is among those of a text such as "0689".
function isOne(digits) { return index(digits, digit) > 0 }

{
  records++
  paths[records] = $1
  parts[records] = FILENAME == ARGV[1] ? 0 : 2
  left = $2; right = $3; x = $4; top = $7; y = $9; bottom = $10
  width = right - left; height = bottom - top; area = width * height
  digit = $12 - 1; stroke = $15 - 1; slant = $16 - 1

  attribute("Zero", digit == 0); attribute("One", digit == 1); attribute("Two", digit == 2)
  attribute("Three", digit == 3); attribute("Four", digit == 4); attribute("Five", digit == 5)
  attribute("Six", digit == 6); attribute("Seven", digit == 7); attribute("Eight", digit == 8)
  attribute("Nine", digit == 9)

  attribute("Odd", digit % 2 == 1); attribute("Prime", isOne("2357")); attribute("Square", isOne("0149"))
  attribute("Above_Four", digit > 4); attribute("Multiple_of_Three", digit % 3 == 0)
  attribute("Power_of_Two", isOne("1248"))

  attribute("Loop", isOne("0689")); attribute("Two_Loops", digit == 8); attribute("Upper_Loop", isOne("89"))
  attribute("Lower_Loop", isOne("68")); attribute("Straight", isOne("147")); attribute("Round", isOne("03689"))

  attribute("Thin", stroke == 0); attribute("Medium", stroke == 1); attribute("Thick", stroke == 2)

  attribute("Large", area >= 340); attribute("Small", area <= 220); attribute("Short", height < 20)
  attribute("Wide", width >= 18); attribute("Narrow", width <= 13)
  attribute("Square_Box", width - height <= 2 && height - width <= 2)

  attribute("Slanted_Right", slant == 1)
  attribute("At_Left", left <= 5); attribute("At_Right", right >= 24); attribute("At_Top", top <= 4)
  attribute("At_Bottom", bottom >= 25)
  attribute("Ink_Left", x - (left + right) / 2 < -0.5); attribute("Ink_High", y - (top + bottom) / 2 < -0.5)
  attribute("Centre_Right", x >= 14); attribute("Centre_Low", y >= 14)
}

END {
  print records > list
  print names > list
  for (i = 1; i <= records; i++) {
    print paths[i] values[i] > list
    print paths[i], parts[i] > partition
  }
}
