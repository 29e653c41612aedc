#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl import: a database of open-iscsi's becomes a lunfs.conf by which its targets are mounted; root and user.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires setpriv fusermount3
share_programs
cp "$(command -v lunfsctl)" "$scratch/bin/"

start_target
add_target plain
add_lun "$(random_file a 1M)"
plain=$iqn
add_target chap
add_lun "$(random_file b 1M)"
add_account joe one-way-secret
chap=$iqn

db=$scratch/iscsi
record () { # TARGET ADDRESS PORT [LINE...]: as iscsiadm writes it
  local dir="$db/nodes/$1/$2,$3,1" target=$1 address=$2 port=$3
  shift 3
  mkdir -p "$dir"
  {
    echo "# BEGIN RECORD 2.1.8"
    printf '%s\n' "node.name = $target" "node.tpgt = 1" "node.startup = automatic" "iface.iscsi_ifacename = default" \
      "iface.transport_name = tcp" "node.session.timeo.replacement_timeout = 120" "node.session.queue_depth = 32" \
      "node.conn[0].address = $address" "node.conn[0].port = $port" "node.conn[0].timeo.noop_out_interval = 6" \
      "node.conn[0].iscsi.HeaderDigest = CRC32C" "$@"
    echo "# END RECORD"
  } >"$dir/default"
  chmod 600 "$dir/default"
}
record "$plain" 127.0.0.1 9
record "$plain" 127.0.0.1 "$port" 'iface.net_ifacename = eth1'
record "$chap" 127.0.0.1 "$port" 'node.session.auth.authmethod = CHAP' 'node.session.auth.username = joe' \
  'node.session.auth.password = one-way-secret'
mkdir -p "$db/send_targets/127.0.0.1,$port"
printf 'discovery.type = sendtargets\ndiscovery.sendtargets.address = 127.0.0.1\ndiscovery.sendtargets.port = %s\n' "$port" \
  >"$db/send_targets/127.0.0.1,$port/st_config"
printf '# defaults\nnode.startup = automatic\nnode.session.timeo.replacement_timeout = 33\n' >"$db/iscsid.conf"
conf=$scratch/lunfs.conf

say "to standard output: no secrets, and what cannot be said is there"
lunfsctl import "$db" >"$scratch/out" 2>"$scratch/err"
! grep -q one-way-secret "$scratch/out" "$scratch/err" || fail "a secret"
grep -q '^# warning: .*bound to an interface' "$scratch/out" || fail "no word of the interface"
grep -q '^# warning: .*--credentials-dir' "$scratch/out" || fail "no word of CHAP"
grep -q "see the comments" "$scratch/err" || fail "not told"

say "to files, which are not overwritten"
mkdir "$scratch/creds" "$scratch/srv" "$scratch/srv/plain" "$scratch/srv/chap"
lunfsctl import "$db" --output "$conf" --credentials-dir "$scratch/creds" --mountpoint-dir="$scratch/srv" 2>/dev/null
expect_equal "$(stat -c %a "$scratch/creds/chap.cred") $(stat -c %a "$conf")" "600 644" "modes"
! grep -q one-way-secret "$conf" || fail "a secret"
expect_fail lunfsctl import "$db" --output "$conf"
expect_status 15
expect_message 'never overwrites'
expect_fail lunfsctl import "$db" --output "$scratch/other" --credentials-dir "$scratch/creds"
expect_status 15
[ ! -e "$scratch/other" ] || fail "written all the same"
expect_fail lunfsctl import "$scratch/nothing"
expect_status 7
expect_fail lunfsctl import "$db" --what
expect_status 7

say "it is good, and mounts"
for m in plain chap; do
  lunfsctl check "$m" --config "$conf" --initiator-name "$initiator" | tee "$scratch/checked"
  grep -q 'lun 1: write cache on' "$scratch/checked" || fail "$m was not tried to the end"
done
for m in plain chap; do
  lunfs_logs[$scratch/srv/$m]=$scratch/lunfs-$m.log
  lunfs_pids[$scratch/srv/$m]=$scratch/lunfs-$m.pid
  cleanup_fn kill_lunfs "$scratch/srv/$m"
done
set_lunfs_cmd
for m in plain chap; do
  "${lunfs_cmd[@]}" --config "$conf" "$m" -o "initiator_name=$initiator,log=$scratch/lunfs-$m.log,pidfile=$scratch/lunfs-$m.pid"
  lun_up "$scratch/srv/$m" 1
done
same_data "$scratch/srv/plain/lun1" "$scratch/a"
same_data "$scratch/srv/chap/lun1" "$scratch/b"
expect_equal "$(lun_get "$scratch/srv/plain" 1 .replacement_timeout)" 120 "replacement_timeout"
stop_lunfs "$scratch/srv/plain"
stop_lunfs "$scratch/srv/chap"

say "an ordinary user imports what he may read"
mkdir -p "$scratch/home/.config/lunfs" "$scratch/home/mnt/chap"
cp -r "$db" "$scratch/home/db"
chown -R "$user_id:$user_id" "$scratch/home"
as_user lunfsctl import "$scratch/home/db" --output "$scratch/home/.config/lunfs/lunfs.conf" \
  --credentials-dir "$scratch/home" --mountpoint-dir "$scratch/home/mnt" 2>/dev/null
mnt=$scratch/home/mnt/chap
lunfs_as=(as_user)
lunfs_logs[$mnt]=$scratch/home/log
lunfs_pids[$mnt]=$scratch/home/pid
cleanup_fn kill_lunfs "$mnt"
set_lunfs_cmd
"${lunfs_cmd[@]}" chap -o "log=$scratch/home/log,pidfile=$scratch/home/pid"
wait_for "as_user jq -e '.targets[0].luns[0].state == \"up\"' '$mnt/.lunfs/status.json'" 15
as_user cmp "$mnt/lun1" "$scratch/b"
stop_lunfs "$mnt"
as_user lunfsctl import "$db" >"$scratch/out"
grep -q '^# warning: nodes.* cannot be read: Permission denied' "$scratch/out" || fail "$(cat "$scratch/out")"
