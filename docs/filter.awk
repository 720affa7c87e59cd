# SPDX-License-Identifier: BSL-1.0
# What Doxygen reads in place of a file; lines keep their numbers.
#   header   below include/heed: the first comment becomes that of the file, and its first words that
#            of its first type; comments before declarations and behind members become theirs;
#            `detail` is left out
#   code     elsewhere: the first comment and nothing else, for tests and benches are read as source
#   page     no licence line, no names of snippets; links to sources lead to Doxygen's pages of them
# Indented lines of a comment stay as they are. What Doxygen would take for a command is escaped.

{ line[NR] = $0 }

END {
  name = FILENAME
  sub(/^.*\/include\/heed\//, "heed/", name)
  if (name ~ /\.md$/) page(); else code(name ~ /^heed\//)
}

function page(   i, s) {
  for (i = 1; i <= NR; ++i) {
    s = line[i]
    if (s ~ /^<!-- .* -->$/) s = ""
    while (match(s, /\[`[^`]*`\]\(\.\.\/include/))  # the text of a reference is taken as it is
      s = substr(s, 1, RSTART) substr(s, RSTART + 2, RLENGTH - 15) substr(s, RSTART + RLENGTH - 12)
    while (match(s, /\]\((\.\.\/)?(include|tests|bench|examples)\/[^()# ]*\.[ch]pp\)/)) {
      printf "%s", substr(s, 1, RSTART + 1) "@ref "
      s = substr(s, RSTART + 2)
      sub(/^(\.\.\/)?(include\/)?/, "", s)
    }
    print s
  }
}

function code(is_public,   i, last, column, pending) {
  ticks = 0
  if (line[1] !~ /SPDX/) line[1] = "/** @file */ " line[1]
  else {
    for (last = 1; last < NR && line[last + 1] ~ /^\/\//; ++last) {}
    line[1] = last == 1 ? "/** @file */" : "/** @file"
    for (i = 2; i <= last && line[i] ~ /^\/\/ [^ ]/; ++i) summary = summary substr(line[i], 3)
    summary = escaped(summary)
    if (last > 1) comment(2, last, "")
  }
  if (!is_public) {
    for (i = 1; i <= NR; ++i) print i <= last ? line[i] : ""
    return
  }

  for (i = last + 1; i <= NR; ++i) {
    if (line[i] ~ /^namespace .*detail [{]/) hidden = 1
    if (hidden && line[i] ~ /^[}].*namespace .*detail/) { hidden = 0; line[i] = "" }
    if (hidden) line[i] = ""
  }
  open[0] = 1  # indentations at which declarations stand
  pending = -1
  for (i = last + 1; i <= NR; ++i) {
    column = indent(line[i])
    if (line[i] ~ /^ *\/\/( |$)/) {
      for (last = i; line[last + 1] ~ /^ *\/\/( |$)/; ++last) {}
      if (open[column] && indent(line[last + 1]) == column && line[last + 1] !~ /^ *([}]|$|namespace|#[^d])/)
        comment(i, last, "/** ")
      i = last
      continue
    }
    if (line[i] ~ /^ *[}]/) delete open[column + 2]
    if (line[i] ~ /^ *(template <.*> )?(struct|class|union|enum) [^;]*$/ && line[i] !~ /[}]$/ && open[column])
      pending = column
    if (pending >= 0 && line[i] ~ /[{]( *\/\/.*)?$/) { open[pending + 2] = 1; pending = -1 }
    if (line[i] ~ /;$/) pending = -1
    if (open[column] && column > 0 && match(line[i], /[;,}{]  +\/\/ /)) trailing(i, RSTART + RLENGTH - 3)
  }
  if (summary) describe_type()
  for (i = 1; i <= NR; ++i) print line[i]
}

function indent(s) { match(s, /^ */); return RLENGTH }

# Lines first … last, all of them comments, as one comment of Doxygen's.
function comment(first, last, opening,   i, s, kept, list, text) {
  ticks = 0
  for (i = first; i <= last; ++i) {
    s = line[i]
    sub(/^ *\/\/ ?/, "", s)
    if (s == "") { list = 0; ticks = 0 }
    if (s ~ /^  / && !list && !kept) { opening = opening "@verbatim "; kept = 1; text = 0 }
    if (kept && s ~ /^[^ ]/) { opening = opening "@endverbatim "; kept = 0 }
    if (!kept) {
      list = list || (s ~ /^[-+] / && !text)
      text = s != "" && s !~ /:$/
      s = escaped(s)
      if (!list) { sub(/^- /, "\\&minus; ", s); sub(/^[+] /, "\\&#43; ", s) }
    }
    # A drawing begins on a line of its own.
    if (opening ~ /@verbatim $/) { line[i - 1] = line[i - 1] (i > first ? " @verbatim" : ""); sub(/@verbatim $/, "", opening) }
    line[i] = opening s
    opening = ""
  }
  line[last] = line[last] (kept ? " @endverbatim" : "") " */"
}

function escaped(s,   n, part, i, out) {
  n = split(s, part, "`")
  for (i = 1; i <= n; ++i) {
    if (i > 1) { out = out "`"; ticks = !ticks }
    if (!ticks) gsub(/[\\@<>#%&*]/, "\\\\&", part[i])
    out = out part[i]
  }
  return out
}

# `code;  // text`, and lines of text that go on below it
function trailing(i, at,   n) {
  ticks = 0
  line[i] = substr(line[i], 1, at - 1) "/**< " escaped(substr(line[i], at + 3))
  for (n = i; line[n + 1] ~ /^ *\/\/ / && indent(line[n + 1]) == at - 1; ++n) {
    sub(/^ *\/\/ /, "", line[n + 1])
    line[n + 1] = escaped(line[n + 1])
  }
  line[n] = line[n] " */"
}

# The first type that has no comment gets the first words of the file's.
function describe_type(   i, n) {
  for (i = 1; i <= NR; ++i) {
    for (n = i; n < i + 4 && line[n] ~ /^(template <|  )/; ++n) {}
    if (line[n] ~ /^(template <.*> )?(struct|class) [a-z_0-9]+( |$)/ && line[n] !~ /;$/) {
      if (line[i - 1] !~ /\*\/$/) line[i] = "/**" summary " @see @ref " name " */ " line[i]
      return
    }
  }
}
