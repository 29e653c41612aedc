#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The stress program must notice each way in which a file can lie, and nothing else.  TAP.
# Uses: stress in PATH or $STRESS, a compiler for the lying library.
set -u
here=$(cd "$(dirname "$0")" && pwd)
stress=${STRESS:-stress}
command -v "$stress" >/dev/null || { echo "1..0 # SKIP no stress program"; exit 77; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/teeth.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
n=0
bad=0

# result NAME EXPECTED GOT: one TAP line
result ()
{
  n=$((n + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $n - $1"
  else
    echo "not ok $n - $1: status $3 instead of $2"
    sed 's/^/# /' "$tmp/log"
    bad=1
  fi
}

# attempt NAME EXPECTED OPTION...: an honest run, or with $LIE and LD_PRELOAD a lying one
attempt ()
{
  name=$1 expected=$2
  shift 2
  truncate -s 0 "$tmp/file" && truncate -s 4M "$tmp/file"
  "$stress" --seed 1 "$@" "$tmp/file" >"$tmp/log" 2>&1
  result "$name" "$expected" $?
}

attempt "an honest file" 0 --seconds 2 --punch --zero
attempt "an honest file, unaligned" 0 --seconds 2 --punch --zero --unaligned

truncate -s 4M "$tmp/file"
"$stress" --seed 1 --seconds 2 "$tmp/file" >"$tmp/log" 2>&1 &
pid=$!
sleep 1
i=0
while [ $i -lt 200 ]; do # one byte of every 20 KiB: some will not be overwritten
  printf 'x' | dd of="$tmp/file" bs=1 seek=$((i * 20480)) conv=notrunc status=none
  i=$((i + 1))
done
wait $pid
result "bytes changed by another process" 1 $?

"$stress" --seconds 1 "$tmp/no-such-file" >"$tmp/log" 2>&1
result "a file that is not there" 2 $?
"$stress" --threads 0 "$tmp/file" >"$tmp/log" 2>&1
result "wrong usage" 3 $?

case ${LUNFS_SANITIZERS:-no} in
no) ;;
*) echo "1..$n"; exit $bad ;; # a preloaded library and a sanitizer don't mix
esac
if ${CC:-cc} -shared -fPIC -o "$tmp/liar.so" "$here/liar.c" 2>"$tmp/log"; then
  for LIE in drop tear late stale short punch; do
    export LIE
    LD_PRELOAD="$tmp/liar.so" attempt "a file that lies: $LIE" 1 --seconds 10 --punch --max-bytes 1m
  done
fi
echo "1..$n"
exit $bad
