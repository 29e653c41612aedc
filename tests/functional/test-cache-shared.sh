#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two mounts of one LUN, by two portals.  With cache=none a reader sees what the other has written as soon as that is
# answered.  With a cache it may not, until a unit attention or a new login: then nothing older is served.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3
a=$scratch/a b=$scratch/b
at_once () { # LUN: each writes what the other reads
  python3 - "$a/lun$1" "$b/lun$1" <<'PY'
import mmap, os, random, sys
sides = [[os.open(path, os.O_RDWR | flag) for flag in (0, os.O_DIRECT)] for path in sys.argv[1:3]]
random.seed(2)
page = mmap.mmap(-1, 8192)
for n in range(1500):
    writer = random.randrange(2)
    offset = random.randrange(64) * 512
    length = random.choice((512, 4096, 8192))
    how = random.randrange(2)
    page[:length] = data = os.urandom(length)
    os.pwritev(sides[writer][how], [memoryview(page)[:length]], offset)
    odd = 0 if random.random() < 0.5 else random.randrange(500)
    got = os.pread(sides[1 - writer][0], length - odd, offset + odd)
    assert got == data[odd:], f"turn {n}: stale bytes at {offset}"
PY
}
counter () { lun_get "$1" "$lun" "(.counters.$2 | tostring)"; }

say "none: tgtd"
start_target
add_target shared
add_lun "$(backing disk 16M)" 512 thin_provisioning=1
tgt_other () { tgt --mode portal --op new --param "portal=127.0.0.1:$other"; }
for ((try = 0; try < 50; try++)); do
  other=$((10240 + (RANDOM * 7 + $$) % 22000))
  if tgt_other 2>/dev/null; then break; fi
done
start_lunfs "iscsi://$portal/$iqn" "$a" -o cache=none
start_lunfs "iscsi://127.0.0.1:$other/$iqn" "$b" -o cache=none
lun_up "$a" 1
lun_up "$b" 1
at_once 1
stop_lunfs "$b"

# What lun N of mount $b, which has a cache, must not serve any more when COMMAND has been done.
known () { dd if="$b/lun$lun" bs=64k count=4 status=none; }
old () { known | cmp -s - "$scratch/first"; }
begin_stale () { # READER'S-OPTIONS
  start_lunfs "iscsi://$2/$iqn" "$b" -o "$1"
  lun_up "$b" "$lun"
}
elsewhere=100
outdated () { # WHAT COMMAND...
  local what=$1
  shift
  say "$what"
  dd if=/dev/urandom of="$a/lun$lun" bs=64k count=4 conv=notrunc,fsync status=none
  # With a block of its own in each page that is read: what lies beside it is out of date, too.
  python3 -c "
import os
f = os.open ('$b/lun$lun', os.O_RDWR)
for page in range (0, 64, 3): os.pread (f, 4096, page * 4096)
for page in range (0, 64, 2): os.pwrite (f, os.urandom (512), page * 4096 + 1024)"
  known >"$scratch/first"
  python3 -c "
import os
a = os.open ('$a/lun$lun', os.O_RDWR)
for page in range (64): os.pwrite (a, os.urandom (1024), page * 4096 + 2048)"
  old || fail "it reads what is new already: nothing was cached, the test is not one"
  "$@"
  sync "$b/lun$lun"
  known >"$scratch/now"
  dd if="$a/lun$lun" bs=64k count=4 status=none | cmp - "$scratch/now" || fail "$what: it serves what is out of date"
  ! cmp -s "$scratch/first" "$scratch/now" || fail "nothing has changed"
}
attention () { # COMMAND...: raises a unit attention, which a read of something else meets
  local before
  before=$(counter "$b" unit_attentions)
  "$@"
  dd if="$b/lun$lun" bs=4k count=1 skip=$((elsewhere += 300)) status=none >"$scratch/else"
  [ "$(counter "$b" unit_attentions)" -gt "$before" ] || fail "no unit attention came"
  lun_up "$b" "$lun"
}
new_login () { # COMMAND...
  local before
  before=$(counter "$b" logins)
  "$@"
  wait_for "[ \"\$(counter '$b' logins)\" -gt $before ]" 15
  lun_up "$b" "$lun"
}
another_lun () {
  add_lun "$(backing disk2 1M)"
  lun=1
}
new_worker () {
  kill -KILL "$(worker "$b")"
  wait_for "[ \"\$(status_get '$b' .lunfs.workers_started)\" = 2 ]" 15
  lun_up "$b" "$lun" 20
}
begin_stale read_ahead=0,cache_write_delay=60000 "127.0.0.1:$other"
outdated "tgtd: another LUN is added" attention another_lun
outdated "tgtd: the connections are cut" new_login cut_connections
outdated "the worker dies" new_worker
stop_lunfs "$a"
stop_lunfs "$b"

lun=0
start_fake --portal 127.0.0.1 --portal 127.0.0.2 --lun "16M,file=$scratch/disk0" --wce
start_lunfs "iscsi://${portals[0]}/$iqn" "$a" -o cache=none
lun_up "$a" 0
begin_stale read_ahead=0 "${portals[1]}"
for ua in 29/00 29/03 2a/01 2a/09 3f/03 3f/0e; do
  outdated "unit attention $ua" attention fake ua 0 $ua
done
outdated "the connections are cut" new_login fake drop
fake_no_violations
stop_lunfs "$b"
begin_stale cache=writethrough,read_ahead=0 "${portals[1]}"
outdated "writethrough, unit attention 29/00" attention fake ua 0 29/00
outdated "writethrough, the connections are cut" new_login fake drop
expect_equal "$(counter "$b" errors)" 0 "errors"
stop_lunfs "$a"
stop_lunfs "$b"
