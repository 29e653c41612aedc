#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# state_dir: supervisor and worker die together, and what they had acknowledged reaches the target with the next mount; unless
# somebody else may have written to the LUN, or nobody can tell: then the administrator decides.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 240
requires jq python3

seed=${LUNFS_STRESS_SEED:-$RANDOM}
RANDOM=$seed
say "seed $seed"
start_target
add_target state
disk=$(backing disk 32M)
other_disk=$(backing other 32M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
state=$scratch/state
mkdir -m 700 "$state"
source=iscsi://$portal/$iqn
small=buffer_size=8M,cache_size=16M

# mount_it [OPTION,...]; data stays dirty until something flushes.
mount_it () {
  start_lunfs "$source" "$mnt" -o "state_dir=$state,$small,cmd_timeout=10,cache_write_delay=60000${1:+,$1}"
}
mount_up () {
  mount_it "$@"
  lun_up "$mnt" 1 20
}
# write_blocks FILE-WITH-DATA COUNT SEEK: 4 KiB blocks, acknowledged and not flushed.
write_blocks () { dd if="$1" of="$file" bs=4k count="$2" seek="$3" oflag=direct conv=notrunc status=none; }
# Something the target has answered for: a write that was flushed, and is a witness then.
witness () { dd if=/dev/urandom of="$file" bs=4k count=4 seek="${1:-2000}" oflag=direct conv=notrunc,fsync status=none; }
files () { find "$state" -name '*.saved' -o -name '*.arena' | wc -l; }
saved () { lunfsctl saved "$1" --state-dir "$state" "${@:2}"; }
the_name () { saved list --json | jq -er '.[0].name'; }
saved_get () { saved inspect --json "$(the_name)" | jq -er "$1"; }
at_disk () { # FILE COUNT SEEK: the target's side has it
  cmp -s -n $(($2 * 4096)) "$1" <(dd if="$disk" bs=4k count="$2" skip="$3" status=none)
}
new_data () { head -c $((${1:-256} * 4096)) /dev/urandom >"$scratch/new"; }

# left_behind: dirty data (blocks 0 to 255 are $scratch/new) that a dead mount has left, with witnesses.
left_behind () {
  mount_up "$@"
  witness
  new_data
  write_blocks "$scratch/new" 256 0
  [ "$(lun_get "$mnt" 1 .counters.dirty_bytes)" = 1048576 ] || fail "not dirty: the test is not one"
  kill_both
  at_disk "$scratch/new" 256 0 && fail "it is on the disk already"
  expect_equal "$(files)" 1 "files in state_dir"
}
refused () { # REGEX: mounted, the LUN answers EIO, and it says why
  wait_for "lun_get '$mnt' 1 .error | grep -qE '$1'" 20
  expect_equal "$(lun_get "$mnt" 1 .saved_bytes)" 1048576 "saved_bytes"
  [ -f "$file" ] || fail "the file is not there"
  expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct
  expect_message 'Input/output error'
  expect_fail dd if=/dev/zero of="$file" bs=4k count=1 conv=notrunc,fsync
  expect_message 'Input/output error'
  saved inspect "$(the_name)" | grep -qE "$1" || fail "inspect does not say so: $(saved inspect "$(the_name)")"
}

say "nothing left: nothing stays"
mount_up
expect_equal "$(files)" 1 "files in state_dir"
f=$(echo "$state"/*.arena)
expect_equal "$(stat -c %a "$f")" 600 "mode"
[ $(($(stat -c %b "$f") * 512)) -ge "$(stat -c %s "$f")" ] || fail "not allocated: a full disk would kill"
expect_equal "$(saved list)" "" "a living mount's data"
expect_fail lunfs -o "state_dir=$state,$small,initiator_name=$initiator,log=$scratch/lunfs9.log" "$source" "$mnt"
witness
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "both die: the next mount writes it back before it serves"
left_behind
expect_equal "$(saved_get '.luns[0].bytes')" 1048576 "bytes"
expect_equal "$(saved_get '.luns[0].ranges | length')" 1 "ranges"
[ "$(saved_get '.luns[0].witnesses')" -ge 1 ] || fail "no witness"
mount_up
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
cmp -n 1048576 "$scratch/new" "$file"
logged "$mnt" 'written back from' || fail "nobody said so"
expect_equal "$(files)" 1 "files in state_dir"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "the ledger: each acknowledged write, of a writer that is cut off by a target that freezes, and then by the death of both"
for round in 1 2 3; do
  mount_up cache_write_delay=5
  witness
  python3 - "$file" "$scratch/ledger" $((seed + round)) <<'PY' &
import mmap, os, random, struct, sys
path, ledger, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
fd = os.open(path, os.O_RDWR | os.O_DIRECT)
out = open(ledger, "wb", buffering=0)
buf = mmap.mmap(-1, 65536)
n = 0
while True:
    blocks = rng.choice([1, 1, 2, 8, 8, 16, 128])
    at = rng.randrange(0, 16384 - blocks)
    n += 1
    for b in range(blocks):
        buf[b * 512:b * 512 + 512] = struct.pack("<QQ", n, at + b) * 32
    # begun, done: a write that was begun may be there or not
    out.write(struct.pack("<QQQQ", 0, n, at, blocks))
    try:
        os.pwrite(fd, memoryview(buf)[:blocks * 512], at * 512)
    except OSError:
        break
    out.write(struct.pack("<QQQQ", 1, n, at, blocks))
PY
  writer=$!
  cleanup_fn kill_quietly $writer
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 500 ]" 30
  stop_answering
  sleep "0.$(printf %03d $((RANDOM % 300)))"
  kill_both
  wait $writer || :
  answer_again
  mount_up cache_write_delay=5
  sync "$file"
  taken=$(grep -c 'written back from' "${lunfs_logs[$mnt]}") || :
  stop_lunfs "$mnt"
  python3 - "$disk" "$scratch/ledger" <<'PY' || fail "seed $((seed + round)): an acknowledged write is lost"
import struct, sys
disk, ledger = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
last, may = {}, {}
for i in range(0, len(ledger) // 32 * 32, 32):
    done, n, at, blocks = struct.unpack_from("<QQQQ", ledger, i)
    for b in range(at, at + blocks):
        if done:
            last[b] = n
        may.setdefault(b, set()).add(n)
bad = 0
for b, n in last.items():
    got, where = struct.unpack_from("<QQ", disk, b * 512)
    if disk[b * 512:b * 512 + 512] != struct.pack("<QQ", got, b) * 32 or got < n or got not in may[b]:
        bad += 1
        print("block", b, "has", got, where, "acknowledged", n)
print("#", len(last), "blocks,", max(last.values()), "writes acknowledged")
sys.exit(bad > 0)
PY
  say "round $round: taken over $taken"
done

say "somebody wrote to a place that we know: refused until the administrator decides"
left_behind
dd if=/dev/urandom of="$disk" bs=4k count=4 seek=2000 conv=notrunc status=none # the witness
mount_it
refused 'another initiator has written'
grep -q 'lunfsctl saved inspect' "${lunfs_logs[$mnt]}" || fail "the message does not name the command"
stop_lunfs "$mnt"
expect_equal "$(files)" 1 "files in state_dir"
at_disk "$scratch/new" 256 0 && fail "it was written back all the same"
saved list | grep -q refused || fail "list: $(saved list)"

say "... replay, while nobody is mounted"
saved replay "$(the_name)"
mount_up
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "... replay, while it is mounted"
left_behind
dd if=/dev/urandom of="$disk" bs=4k count=4 seek=2000 conv=notrunc status=none
mount_it
refused 'another initiator has written'
saved replay "$state/$(the_name).saved"
lun_up "$mnt" 1 20
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
cmp -n 1048576 "$scratch/new" "$file"
expect_equal "$(lun_get "$mnt" 1 .saved_bytes)" 0 "saved_bytes"
stop_lunfs "$mnt"

say "... discard, while it is mounted; not without --yes"
left_behind
dd if=/dev/urandom of="$disk" bs=4k count=4 seek=2000 conv=notrunc status=none
cp "$disk" "$scratch/before"
mount_it
refused 'another initiator has written'
expect_fail saved discard "$(the_name)"
expect_status 7
saved discard --yes "$(the_name)"
lun_up "$mnt" 1 20
stop_lunfs "$mnt"
same_data "$disk" "$scratch/before"
expect_equal "$(files)" 0 "files in state_dir"

say "... discard, while nobody is mounted, before anybody judged it"
left_behind
cp "$disk" "$scratch/before"
saved discard --yes "$(the_name)"
expect_equal "$(files)" 0 "files in state_dir"
mount_up
stop_lunfs "$mnt"
same_data "$disk" "$scratch/before"

say "no witness: nothing is shown"
mount_up
new_data
write_blocks "$scratch/new" 256 0
kill_both
mount_it
refused 'nothing shows'
stop_lunfs "$mnt"
saved discard --yes "$(the_name)"

say "another LUN under the number gets nothing, not even by replay"
left_behind
tgt --mode logicalunit --op delete --tid "$tid" --lun 1
tgt --mode logicalunit --op new --tid "$tid" --lun 1 --backing-store "$other_disk"
tgt --mode logicalunit --op update --tid "$tid" --lun 1 --params "scsi_id=id-other,scsi_sn=snother"
mount_it
wait_for "lun_get '$mnt' 1 .error | grep -q 'another LUN answers'" 20
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct
stop_lunfs "$mnt"
saved replay "$(the_name)"
mount_it
wait_for "lun_get '$mnt' 1 .error | grep -q 'another LUN answers'" 20
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct
stop_lunfs "$mnt"
cmp -s "$other_disk" <(head -c 32M /dev/zero) || fail "something was written to the other LUN"
tgt --mode logicalunit --op delete --tid "$tid" --lun 1
tgt --mode logicalunit --op new --tid "$tid" --lun 1 --backing-store "$disk"
tgt --mode logicalunit --op update --tid "$tid" --lun 1 --params "scsi_id=id-$tid-1,scsi_sn=sn${tid}1"
mount_up
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
stop_lunfs "$mnt"

say "the host was restarted: refused"
restart_host () { # what the file says of the kernel that wrote it
  python3 - "$state"/* <<'PY'
import sys
boot = open("/proc/sys/kernel/random/boot_id", "rb").read().strip()
for path in sys.argv[1:]:
    with open(path, "r+b") as f:
        at = f.read(1 << 20).index(boot)
        f.seek(at)
        f.write(b"00000000-0000")
PY
}
left_behind
restart_host
mount_it
refused 'restarted before the file was sealed'
expect_equal "$(saved inspect --json "$(the_name)" | jq .whole)" false "whole"
stop_lunfs "$mnt"
saved discard --yes "$(the_name)"

say "the target is down when we are told to stop, and the host restarts: sealed, and written back"
mount_up stop_timeout=2
witness
new_data
write_blocks "$scratch/new" 256 0
stop_answering
sup=$(supervisor "$mnt")
kill -TERM "$sup"
wait_for "! alive $sup" 30
answer_again
! mounted "$mnt" || fail "still mounted"
logged "$mnt" 'kept for the next mount' || fail "nobody said where it is"
expect_equal "$(saved_get .sealed)" true "sealed"
at_disk "$scratch/new" 256 0 && fail "it is on the disk already"
restart_host
mount_up
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
cmp -n 1048576 "$scratch/new" "$file"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "killed, mounted again while the target is down, told to stop, restarted: it has waited all the while, and is sealed now"
left_behind
stop_answering
mount_it stop_timeout=2,login_wait=0
sup=$(supervisor "$mnt")
wait_for "logged '$mnt' 'data of an earlier mount'" 10
kill -TERM "$sup"
wait_for "! alive $sup" 30
answer_again
expect_equal "$(saved_get .sealed)" true "sealed"
restart_host
mount_up
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "the supervisor alone is killed: the worker flushes, and leaves nothing"
mount_up
witness
new_data
write_blocks "$scratch/new" 256 0
wrk=$(worker "$mnt")
kill -KILL "$(supervisor "$mnt")"
wait_for "! alive $wrk" 30
at_disk "$scratch/new" 256 0 || fail "it is not at the target"
expect_equal "$(files)" 0 "files in state_dir"
if mounted "$mnt"; then umount -l "$mnt"; fi

say "another version's file, or a damaged one: no mount, and why"
left_behind
f=$(echo "$state"/*.arena)
cp "$f" "$scratch/arena"
damage () { # OFFSET BYTES(printf)
  rm -f "$state"/*
  cp "$scratch/arena" "$f"
  # shellcheck disable=SC2059
  printf "$2" | dd of="$f" bs=1 seek="$1" conv=notrunc status=none
}
fails_to_mount () {
  expect_fail lunfs -o "state_dir=$state,$small,initiator_name=$initiator,log=$scratch/lunfs9.log" "$source" "$mnt"
  expect_status 1
  expect_message "$1"
  expect_message 'lunfsctl saved discard'
}
damage 8 '\x77\x00\x00\x00'
fails_to_mount 'another version of lunfs'
damage 0 'nonsense'
fails_to_mount 'no arena'
damage 24 '\xff\xff\xff\x7f'
fails_to_mount 'sizes'
: >"$f"
fails_to_mount 'no arena'
expect_fail saved list
saved discard --yes "$(basename "$f" .arena)"
expect_equal "$(files)" 0 "files in state_dir"
mount_up
stop_lunfs "$mnt"

say "a directory that is not good enough"
mkdir -m 777 "$scratch/open"
expect_fail lunfs -o "state_dir=$scratch/open,$small,initiator_name=$initiator,log=$scratch/lunfs9.log" "$source" "$mnt"
expect_status 13
expect_message 'go-w'
expect_fail lunfs -o "state_dir=$mnt/x,$small,initiator_name=$initiator,log=$scratch/lunfs9.log" "$source" "$mnt"
expect_status 7
expect_message 'FUSE|in the mount itself'
expect_fail lunfs -o "state_dir=$state,buffer_size=64G,cache_size=64G,initiator_name=$initiator,log=$scratch/lunfs9.log" \
  "$source" "$mnt"
expect_message 'cannot allocate'
expect_equal "$(find "$state" -type f | wc -l)" 0 "files in state_dir"
