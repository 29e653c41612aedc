#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual pages against the programs: every option and command is described, and nothing that does not exist; and groff and man
# have nothing to complain about.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root

page () { # NAME: its file, whatever its section is
  find "$top_srcdir/src" -maxdepth 1 -name "$1.[1-9]"
}
same_words () { # WHAT PROGRAM TEXT MINIMUM: two lists, one word a line
  diff <(sort -u "$2") <(sort -u "$3") >"$scratch/differ" ||
    fail "$1: <: only in the program, >: only in the text: $(grep '^[<>]' "$scratch/differ")"
  [ "$(wc -l <"$2")" -ge "$4" ] || fail "$1: too few were found"
}

say "options of lunfs"
lunfs --help | sed -n 's/^  ...\{0,3\} *--\([a-z-]*\).*/\1/p' | tr - _ >"$scratch/help"
# The tags of the lists in OPTIONS; the last part names what is not lunfs's own.
sed -n '/^\.SH OPTIONS/,/^\.SS "Mount options"/p' "$(page lunfs)" | sed -n '/^\.TP/{n;p}' |
  sed -e 's/\\-/-/g' -e 's/^\.B[RI]* //' -e 's/= .*/=/' -e 's/"[^"]*"/ /g' | tr -s ' ' '\n' |
  sed -n 's/^\([a-z][a-z_]\{1,\}\)=\{0,1\}$/\1/p' >"$scratch/manual"
same_words "options" "$scratch/help" "$scratch/manual" 40
lunfs --help | sed -n 's/^  -\([a-zA-Z]\),.*/\1/p' >"$scratch/help"
sed -n '/^\.SH OPTIONS/,/^\.SS "Mount options"/p' "$(page lunfs)" | sed -n 's/^\.BR \\-\([a-zA-Z]\) .*/\1/p' >"$scratch/manual"
same_words "letters" "$scratch/help" "$scratch/manual" 6

say "commands of lunfsctl"
lunfsctl --help | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p' >"$scratch/help"
sed -n '/^\.SH DESCRIPTION/,/^\.SH "*EXIT/p' "$(page lunfsctl)" | sed -n '/^\.T[PQ]/{n;p}' |
  sed -nE 's/^\.B[RI]* "?([a-z]+).*/\1/p' >"$scratch/manual"
same_words "commands" "$scratch/help" "$scratch/manual" 4
sed -n '/^\.SH SYNOPSIS/,/^\.SH DESCRIPTION/p' "$(page lunfsctl)" | sed -nE 's/^\.B[RI]* "?lunfsctl ([a-z]+).*/\1/p' >"$scratch/manual"
same_words "commands in SYNOPSIS" "$scratch/help" "$scratch/manual" 4

say "what lunfsctl set changes"
start_ramtgt
start_lunfs "iscsi://$portal/$iqn" "$scratch/mnt"
lunfs --help | sed -n 's/^  ...\{0,3\} *--\([a-z-]*\)=.*/\1/p' | tr - _ >"$scratch/options"
while read -r name; do # "%" is no value of any that may be changed
  expect_fail lunfsctl set "$scratch/mnt" "$name=%" >/dev/null
  grep -q 'cannot be changed' "$scratch/message" || echo "$name"
done <"$scratch/options" | sort >"$scratch/help"
stop_lunfs "$scratch/mnt"
# All other options have names that these files have no reason to hold.
for file in "$top_srcdir/contrib/completion/lunfsctl" "$top_srcdir/contrib/completion/_lunfsctl"; do
  grep -oE '\b[a-z]+_[a-z_]+\b' "$file" | grep -xFf "$scratch/options" >"$scratch/manual" || :
  grep '_' "$scratch/help" >"$scratch/with_underscore"
  same_words "what set changes, in $file" "$scratch/with_underscore" "$scratch/manual" 5
done
sed -n '/^\.B.* set$/,/^\.TP/p' "$(page lunfsctl)" | grep '^\.B' | grep -owFf "$scratch/options" >"$scratch/manual" || :
same_words "what set changes" "$scratch/help" "$scratch/manual" 5

say "pages that are referred to exist"
find "$top_srcdir/src" -maxdepth 1 -name '*.[1-9]' | sort >"$scratch/pages"
[ -s "$scratch/pages" ] || fail "no pages"
while read -r file; do
  sed 's/\\-/-/g' "$file" | grep -oE '\b(lunfs[a-z.-]*|mount\.fuse\.lunfs) ?"?\(([1-9])\)' | tr -d '" ' | sort -u >"$scratch/references" || :
  while IFS='()' read -r name section; do
    [ -n "$(find "$top_srcdir/src" -maxdepth 1 -name "$name.$section")" ] || fail "$(basename "$file"): there is no $name($section)"
  done <"$scratch/references"
done <"$scratch/pages"

say "groff and man"
for program in groff man; do command -v $program >/dev/null || say "$program is not installed"; done
while read -r file; do
  if grep -q "^\.so " "$file"; then continue; fi # a link
  if command -v groff >/dev/null; then groff -ww -mandoc -Tutf8 "$file" >/dev/null; fi
  if command -v man >/dev/null; then
    (cd "$top_srcdir" && MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" >/dev/null)
  fi
done <"$scratch/pages" 2>"$scratch/message"
[ ! -s "$scratch/message" ] || fail "$(cat "$scratch/message")"
