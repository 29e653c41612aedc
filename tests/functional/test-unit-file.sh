#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The units are ones that systemd accepts without a warning; what it makes of them and of the example fstab has the order that
# takes file systems, loop devices and lunfs down in turn.  No systemd need run.
# shellcheck disable=SC2034
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires systemd-analyze systemd-escape setpriv
requires_root
contrib=$top_srcdir/contrib/systemd
generator=/lib/systemd/system-generators/systemd-fstab-generator
for program in $generator /lib/systemd/systemd; do [ -x "$program" ] || skip "no systemd"; done
share_programs # a user will look at them
units=$scratch/units
mkdir -p "$units/lunfs-loop@srv-t1-lun3.service.d" "$scratch/user"

# Neither the program nor its manual page is installed.
install_unit () { sed "s#^ExecStart=lunfs #ExecStart=$scratch/bin/lunfs #; /^Documentation=/d" "$1" >"$2"; }
accepted () { # SYSTEMD-ANALYZE-OPTION... UNIT
  SYSTEMD_UNIT_PATH=$units: systemd-analyze "${@:1:$#-1}" verify "${*: -1}" >"$scratch/message" 2>&1 || fail "$(cat "$scratch/message")"
  [ ! -s "$scratch/message" ] || fail "$(cat "$scratch/message")"
}
for unit in lunfs@.service lunfs-loop@.service examples/srv-data.mount; do install_unit "$contrib/$unit" "$units/${unit#*/}"; done
install_unit "$contrib/user/lunfs@.service" "$scratch/user/lunfs@.service"
say "accepted"
accepted "$units/lunfs@.service"
accepted "$units/lunfs-loop@.service"
accepted "$units/srv-data.mount"
XDG_RUNTIME_DIR=$scratch accepted --user "$scratch/user/lunfs@.service"

say "a word that it does not know would be seen"
{ cat "$units/lunfs@.service" && echo Nonsense=1; } >"$scratch/lunfs@.service"
systemd-analyze verify "$scratch/lunfs@.service" >"$scratch/message" 2>&1 || :
expect_message "unknown key"

say "nothing gives lunfs a mount namespace, nor a user's fusermount3 no_new_privs"
! grep -E '^(Protect(System|Home|Kernel.*|ControlGroups|Proc)|Private.*|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|DynamicUser|Root.*|MountFlags|ProcSubset)=' \
  "$contrib/lunfs@.service" || fail "lunfs@.service: its mount would be seen by nobody"
! grep -E '^(NoNewPrivileges|SystemCall.*|Restrict[A-Z].*|LockPersonality|MemoryDeny.*|ProtectHostname|Private.*)=' \
  "$contrib/user/lunfs@.service" || fail "user/lunfs@.service: fusermount3 could not mount"

# What systemd would do, for units and fstab together.
rm "$units/srv-data.mount"
SYSTEMD_FSTAB=$contrib/examples/fstab $generator "$units" "$units" "$units"
sed -n 's/^# *\(\[Unit\]\|Requires=lunfs@.*\|After=lunfs@.*\)$/\1/p' "$contrib/lunfs-loop@.service" \
  >"$units/lunfs-loop@srv-t1-lun3.service.d/lunfs.conf"
dump () { # UNIT: its lines
  as_user env SYSTEMD_UNIT_PATH="$units:/lib/systemd/system" XDG_RUNTIME_DIR="$scratch" SYSTEMD_LOG_LEVEL=crit \
    /lib/systemd/systemd --test --system --unit="$1" >"$scratch/dump" 2>&1 || fail "$(tail -n 5 "$scratch/dump")"
  awk -v unit="-> Unit $1:" 'index($0, "-> Unit ") {ours = index($0, unit)} ours' "$scratch/dump" >"$scratch/unit"
  [ -s "$scratch/unit" ] || fail "systemd says nothing of $1: $(head -n 5 "$scratch/dump")"
}
needs () { # UNIT OTHER: pulled in, started after it, and so stopped before it
  dump "$1"
  grep -qF "Requires: $2 " "$scratch/unit" || fail "$1 does not require $2: $(cat "$scratch/unit")"
  grep -qF "After: $2 " "$scratch/unit" || fail "$1 is not after $2"
}
say "order"
needs srv-archive.mount srv-t1.mount
needs lunfs-loop@srv-t1-lun1.service srv-t1.mount
needs srv-data.mount lunfs-loop@srv-t1-lun1.service
needs lunfs-loop@srv-t1-lun3.service lunfs@t1.service
dump srv-t1.mount
grep -q 'After: network-online.target' "$scratch/unit" || fail "the mount does not wait for the network"
grep -q 'WantedBy: remote-fs.target' "$scratch/unit" || fail "the mount is not made at boot"
! grep -q 'RequiredBy: remote-fs.target' "$scratch/unit" || fail "a boot would fail with the mount"
dump lunfs@t1.service
grep -q 'After: network-online.target' "$scratch/unit" || fail "the service does not wait for the network"
expect_equal "$(systemd-escape --path --template=lunfs-loop@.service /srv/t1/lun1)" lunfs-loop@srv-t1-lun1.service "the instance"
