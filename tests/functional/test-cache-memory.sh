#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The worker's memory under load on four LUNs: the cache within cache_size, what is kept within cache_max_dirty, all of it
# within these, the request buffers and a fixed part.  Then one LUN's target is gone, with a writer waiting for it: it
# takes no more than its part, and the others go on as before.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
not_under_valgrind "it has much memory of its own"
[ "$sanitizers" = no ] || { echo "SKIPPED: sanitizers have much memory of their own" >&2; exit 77; }
test_limit 150

requires fio jq
MIB=1048576
cache=32 dirty=16 buffers=32 # MiB
fixed=16                     # the program, its threads and tables
start_target
for n in 1 2 3 4; do
  add_target "mem$n"
  add_lun "$(backing "d$n" 64M)"
  file[n]=$scratch/mnt/$iqn/lun1
done
mnt=$scratch/mnt
start_lunfs "iscsi://$portal" "$mnt" -o "cache_size=${cache}M,cache_max_dirty=${dirty}M,read_ahead=4M,buffer_size=${buffers}M,cmd_timeout=10"
for n in 1 2 3 4; do wait_for "[ -e '${file[n]}' ]" 15; done
# of LUN N (its target's, by name): get N JQ-EXPRESSION; and of all
get () { status_get "$mnt" ".targets[] | select (.name | endswith (\":mem$1\")) | .luns[0] | $2 | tostring"; }
sum () { status_get "$mnt" "[.targets[].luns[].counters.$1] | add | tostring"; }
memory () { awk -v what="$1:" '$1 == what {print $2}' "/proc/$(worker "$mnt")/status"; } # KiB

declare -A most=()
note () { # NAME VALUE
  [ "${most[$1]:-0}" -ge "$2" ] || most[$1]=$2
}
watch () { # SECONDS
  local end=$((SECONDS + $1))
  while [ "$SECONDS" -lt "$end" ]; do
    note rss "$(memory VmRSS)"
    note anon "$(memory RssAnon)"
    note cached "$(sum cached_bytes)"
    note kept "$(sum unstable_bytes)"
    sleep 0.1
  done
}
within () { # WHAT VALUE LIMIT, in MiB
  say "$1: at most $2 MiB of $3"
  [ "$2" -le "$3" ] || fail "$1: $2 MiB, and $3 are promised"
}
judge () {
  within "$1, the cache" $((most[cached] / MIB)) $cache
  # each LUN may have one WRITE of 1 MiB more: what is counted is what is there
  within "$1, written and not stable" $((most[kept] / MIB)) $((dirty + 4))
  within "$1, private memory" $((most[anon] / 1024)) $fixed
  within "$1, all" $((most[rss] / 1024)) $((cache + buffers + fixed))
  most=()
}
load () { # N: until the end
  local lun_file=${file[$1]//:/\\:}
  fio --name="load$1" --filename="$lun_file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=8 --rw=randrw \
    --bsrange=4k-64k --size=64m --io_size=100g --time_based --runtime=100 --fsync=200 >"$scratch/fio$1.out" 2>&1 &
  loads[$1]=$!
  cleanup_fn kill_quietly "${loads[$1]}"
}
rate () { # of LUNs 1 to 3: requests in two seconds
  local before n total=0
  for n in 1 2 3; do total=$((total - $(get $n '.counters | .reads + .writes'))); done
  sleep 2
  for n in 1 2 3; do total=$((total + $(get $n '.counters | .reads + .writes'))); done
  echo $total
}

say "idle: $(($(memory VmRSS) / 1024)) MiB, of these $(($(memory RssAnon) / 1024)) private"
for n in 1 2 3 4; do load $n; done
watch 3
judge "four LUNs"
kill -INT "${loads[4]}"
wait "${loads[4]}" || : # of a signal
before=$(rate)

say "the target of the fourth is gone, and somebody writes to it"
tgt --mode target --op unbind --tid 4 --initiator-address ALL
(tid=4 && cut_connections)
wait_for "[ \"\$(get 4 .state)\" != up ]" 10
head -c $((48 * MIB)) /dev/urandom >"$scratch/new"
dd if="$scratch/new" of="${file[4]}" bs=256k conv=notrunc,fsync status=none &
writer=$!
cleanup_fn kill_quietly $writer
watch 3
alive $writer || fail "the writer has ended"
judge "one is gone"
within "the dead one, written and not stable" $(($(get 4 .counters.unstable_bytes) / MIB)) $((dirty / 2 + 1))
[ "$(get 4 .counters.unstable_bytes)" -gt 0 ] || fail "nothing is waiting: the test is not one"
for ((try = 1; try <= 3; try++)); do # this machine may be busy with something else
  during=$(rate)
  say "requests of the others in 2 s: $before before, $during now"
  [ "$during" -lt $((before / 2)) ] || break
done
[ "$try" -le 3 ] || fail "the others are slow"

say "it comes back"
tgt --mode target --op bind --tid 4 --initiator-address ALL
wait $writer || fail "the writer"
cmp -n $((48 * MIB)) "$scratch/new" "$scratch/d4"
for n in 1 2 3; do
  kill -INT "${loads[n]}"
  wait "${loads[n]}" || :
  grep -q 'err= 0' "$scratch/fio$n.out" || fail "fio: $(cat "$scratch/fio$n.out")"
  sync "${file[n]}"
  dd if="${file[n]}" bs=1M status=none | cmp - "$scratch/d$n"
done
expect_equal "$(sum errors)" 0 "errors"
stop_lunfs "$mnt"
