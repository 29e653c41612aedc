#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every cache mode: fio with checksums, the stress program, every call of semantics.py, two processes with one file; and what
# was written is what the target has, after fsync and after the unmount.  Once more as an ordinary user.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
test_limit 200

requires fio stress python3
share_programs
seed=${LUNFS_STRESS_SEED:-$RANDOM}
say "seed $seed"
start_target
add_target modes
add_lun "$(backing d1 16M)" 512 thin_provisioning=1
add_lun "$(backing d2 32M)"
add_lun "$(backing d3 32M)" 4096
bad=0
# As the one who has mounted it.
me () { "${lunfs_as[@]}" env PATH="$PATH" "$@"; }

verify () { # LUN BLOCK FIO-OPTION...
  local n=$1 block=$2
  shift 2
  me fio --name=v --filename="$mnt/lun$n" --allow_file_create=0 --bsrange="$block-64k" --blockalign="$block" --size=32m \
    --io_size=8m --randseed="$seed" --verify=crc32c --verify_fatal=1 --do_verify=1 "$@" >"$scratch/fio.out" 2>&1 || {
    cat "$scratch/fio.out"
    fail "$mode: fio $*"
  }
  same_disk "$n" # fio ends with fsync
}
same_disk () {
  me sync "$mnt/lun$1"
  me dd if="$mnt/lun$1" bs=1M status=none | cmp - "$scratch/d$1" || fail "$mode: LUN $1 and the target's file differ"
}
two_processes () {
  me timeout $((60 * slow)) python3 - "$mnt/lun2" <<'PY'
import mmap, os, random, sys
path, MIB = sys.argv[1], 1 << 20
a, b = os.pipe(), os.pipe()  # the child writes what the parent reads, in turns
random.seed(1)
if os.fork() == 0:
    os.close(a[1])
    fds = [os.open(path, os.O_RDWR | flag) for flag in (0, os.O_DIRECT, os.O_DSYNC)]
    m = mmap.mmap(fds[0], MIB)
    try:
        while len(turn := os.read(a[0], 24)) == 24:
            how, offset, value = (int.from_bytes(turn[k:k + 8], "big") for k in (0, 8, 16))
            page = mmap.mmap(-1, 4096)
            page[:] = bytes([value]) * 4096
            if how < 3:
                os.pwrite(fds[how], page, offset)
            else:
                m[offset:offset + 4096] = page[:]
                m.flush()
            os.write(b[1], b"x")
    finally:
        os._exit(0)
fds = [os.open(path, os.O_RDONLY | flag) for flag in (0, os.O_DIRECT)]
page = mmap.mmap(-1, 4096)
m = mmap.mmap(fds[0], MIB, prot=mmap.PROT_READ)
for n in range(300):
    how, offset, value = random.randrange(4), random.randrange(64) * 4096, random.randrange(256)
    os.write(a[1], b"".join(x.to_bytes(8, "big") for x in (how, offset, value)))
    assert os.read(b[0], 1) == b"x", "the writer has failed"
    os.preadv(fds[n % 2], [page], offset)
    assert page[:] == bytes([value]) * 4096, f"turn {n}: written by way {how}, read with fd {n % 2}"
    if n % 7 == 0:
        assert m[offset:offset + 4096] == bytes([value]) * 4096, f"turn {n}: written by way {how}, read through a mapping"
os.close(a[1])
assert os.wait()[1] == 0
PY
}
try_mode () { # MODE-AND-OPTIONS
  local n
  mode=$1
  say "$mode"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "cache=$mode"
  for n in 1 2 3; do lun_up_me $n; done
  me python3 "$scratch/semantics.py" "$mnt" 1 "$scratch/d1" 1 >"$scratch/semantics.out" 2>&1 ||
    { echo "FAILED: $mode: semantics: $(grep -v '^ok' "$scratch/semantics.out")"; bad=1; }
  verify 2 512 --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite
  verify 3 4096 --direct=1 --ioengine=io_uring --iodepth=8 --rw=randrw
  verify 2 512 --direct=0 --ioengine=psync --rw=randrw --io_size=2m
  verify 2 512 --direct=0 --ioengine=mmap --rw=randwrite --size=4m --io_size=4m --bsrange=4k-64k --blockalign=4k
  two_processes || { echo "FAILED: $mode: two processes"; bad=1; }
  me stress --threads 4 --seconds 1 --seed "$seed" --unaligned --punch --zero "$mnt/lun1" >"$scratch/stress.log" 2>&1 || { cat "$scratch/stress.log"; fail "$mode: stress"; }
  me stress --threads 4 --seconds 1 --seed "$seed" --block 4096 --direct "$mnt/lun3" >"$scratch/stress.log" 2>&1 || { cat "$scratch/stress.log"; fail "$mode: stress"; }
  for n in 1 2 3; do same_disk $n; done
  me dd if=/dev/urandom of="$mnt/lun2" bs=1000 count=2000 conv=notrunc status=none
  me cat "$mnt/lun2" >"$scratch/last"
  stop_lunfs "$mnt"
  same_data "$scratch/last" "$scratch/d2" # without any fsync
  seed=$((seed + 1))
}
lun_up_me () {
  # shellcheck disable=SC2317
  state () { me jq -er "[.targets[].luns[] | select (.lun == $1)][0].state" "$mnt/.lunfs/status.json"; }
  wait_for "[ \"\$(state $1)\" = up ]" 15
}
cp "$srcdir/semantics.py" "$scratch/"
chmod 644 "$scratch/semantics.py" "$scratch"/d?
mnt=$scratch/mnt
try_mode writeback
try_mode writethrough
try_mode none
lunfs_as=(as_user)
mnt=$scratch/mnt-of-user
try_mode writeback,cache_size=8M,read_ahead=1M
exit $bad
