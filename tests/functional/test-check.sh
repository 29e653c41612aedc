#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl check: one line and status a step, up to the first that fails; nothing is written and no mount is disturbed.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target open
disk=$(random_file a 1M)
add_lun "$disk"
add_lun "$(random_file b 2M)" 4096
open=$iqn
add_target closed
add_lun "$(random_file c 1M)"
add_account joe one-way-secret
closed=$iqn
(umask 077
  printf 'user=joe\npassword=one-way-secret\n' >"$scratch/good.cred"
  printf 'user=joe\npassword=another-secret\n' >"$scratch/wrong.cred")
conf=$scratch/lunfs.conf
cat >"$conf" <<END
[defaults]
portal=$portal
initiator_name=$initiator
[open]
portal=127.0.0.1:9 $portal
target=$open
[good]
target=$closed
lun=1
credentials=$scratch/good.cred
[wrong]
target=$closed
credentials=$scratch/wrong.cred
[none]
target=iqn.2026-01.org.example:none
[no-lun]
target=$open
lun=77
[no-disk]
target=$open
lun=0
[dead]
portal=127.0.0.1:9
target=$open
[no-name]
portal=no-such-host.invalid
target=$open
[typo]
target=$open
lun=one
END
chmod 644 "$conf"
cp "$disk" "$scratch/before"
ctl () { lunfsctl "$@" </dev/null; }
steps () { sed -n 's/^[^:]*: \([a-z]*\): \([a-z]*\).*/\1=\2/p' "$1" | xargs; }

say "all is well"
ctl check open --config "$conf" | tee "$scratch/out"
expect_equal "$(steps "$scratch/out")" "configuration=ok resolve=ok connect=ok login=ok identify=ok \
identify=ok read=ok flush=ok identify=ok read=ok flush=ok" "steps"
grep -q "connect: ok: $portal; not to 127.0.0.1:9 (" "$scratch/out" || fail "the dead portal is not named"
grep -q "identify: ok: lun 0: not a disk, left out" "$scratch/out" || fail "LUN 0 is not named"
grep -q "identify: ok: lun 2: naa.* 2.0.*MiB, blocks of 4096 bytes" "$scratch/out" || fail "LUN 2 is not described"
ctl check good --config="$conf" >"$scratch/out"
expect_equal "$(steps "$scratch/out")" "configuration=ok resolve=ok connect=ok login=ok identify=ok read=ok flush=ok" "steps"
grep -q 'login: ok: .*, CHAP' "$scratch/out" || fail "no word of CHAP"

stops () { # NAME STATUS STEPS MESSAGE
  expect_fail ctl check "$1" --config "$conf"
  expect_status "$2"
  expect_equal "$(steps "$scratch/message")" "$3" "steps"
  expect_message "failed \($2\): .*$4"
  ! grep -q secret "$scratch/message" || fail "the message shows a secret"
}
say "each failure at its step"
stops typo 7 "configuration=failed" "lunfs.conf:[0-9]*: lun: 'one' is not a whole number"
stops no-name 4 "configuration=ok resolve=failed" 'no-such-host.invalid'
stops dead 4 "configuration=ok resolve=ok connect=failed" '127.0.0.1:9 .*refused'
stops wrong 24 "configuration=ok resolve=ok connect=ok login=failed" 'authentication'
stops none 2 "configuration=ok resolve=ok connect=ok login=failed" 'no such target'
stops no-lun 2 "configuration=ok resolve=ok connect=ok login=ok identify=failed" 'lun 77'
stops no-disk 2 "configuration=ok resolve=ok connect=ok login=ok identify=failed" 'not a disk'

say "a URL, with options; discovery"
ctl check "iscsi://$portal" -o "credentials=$scratch/good.cred" --initiator-name="$initiator" >"$scratch/out"
grep -q 'discover: ok: 2 targets' "$scratch/out" || fail "$(cat "$scratch/out")"
expect_equal "$(grep -c 'flush: ok' "$scratch/out")" 3 "LUNs"

say "all names, as JSON: the first failure is the status"
expect_fail ctl check --json --config "$conf"
expect_status 24
expect_equal "$(jq -r '[.steps[] | select (.status != 0) | "\(.name) \(.step) \(.status)"] | join (", ")' "$scratch/message")" \
  "wrong login 24, none login 2, no-lun identify 2, no-disk identify 2, dead connect 4, no-name resolve 4, typo configuration 7" \
  "failures"
expect_equal "$(jq -r .status "$scratch/message")" 24 "status"

say "an ordinary user's own file"
requires setpriv
mkdir -p "$scratch/bin" "$scratch/home/.config/lunfs"
cp "$(command -v lunfsctl)" "$scratch/bin/"
sed "s,$scratch/good.cred,~/cred," "$conf" >"$scratch/home/.config/lunfs/lunfs.conf"
cp "$scratch/good.cred" "$scratch/home/cred"
as_user lunfsctl check open </dev/null >"$scratch/out"
expect_equal "$(grep -c 'flush: ok' "$scratch/out")" 2 "LUNs"

say "beside a mount, whose sessions stay; and nothing was written"
start_lunfs "iscsi://$portal/$open" "$scratch/mnt"
lun_up "$scratch/mnt" 1
ctl check open --config "$conf" >/dev/null
expect_equal "$(lun_get "$scratch/mnt" 1 .counters.relogins)" 0 "logins after the first"
stop_lunfs "$scratch/mnt"
same_data "$disk" "$scratch/before"
