# shellcheck shell=bash disable=SC2004,SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfs as a service of tests/tools/fakemanager; source it after functions.sh.

requires python3
manager_options=() # for fakemanager, before begin_service

# service REQUEST...: to the manager.  service_get JQ-EXPRESSION: of its state.
service () { python3 -I -S "$top_srcdir/tests/tools/fakemanager" --ask "$scratch/manager" "$@"; }
service_get () { service state | jq -r "$1"; }
service_ready () { wait_for "[ \"\$(service_get .ready)\" = true ]" 20 || fail "not ready: $(service state)"; }
service_ended () { wait_for "[ \"\$(service_get .main)\" = 0 ]" "${1:-20}"; }
# service_arguments ARGUMENT...: what lunfs is started with from now on, log and pid file besides.
service_arguments () { service arguments "${lunfs_cmd[@]}" "${service_options[@]}" "$@"; }

# begin_service ARGUMENT...: the manager, and lunfs started by it; the last argument is the mount point.
begin_service () {
  local mnt=${*: -1}
  service_options=(-f -o "log=$scratch/lunfs.log" -o "pidfile=$scratch/lunfs.pid" -o "initiator_name=$initiator")
  lunfs_logs[$mnt]=$scratch/lunfs.log
  lunfs_pids[$mnt]=$scratch/lunfs.pid
  set_lunfs_cmd
  rm -f "$scratch/manager" "$scratch/manager.notify"
  python3 -I -S "$top_srcdir/tests/tools/fakemanager" --control "$scratch/manager" "${manager_options[@]}" -- \
    "${lunfs_cmd[@]}" "${service_options[@]}" "$@" </dev/null >"$scratch/manager.log" 2>&1 &
  manager_pid=$!
  disown
  cleanup_fn kill_lunfs "$mnt"
  cleanup_fn kill_quietly "$manager_pid" # first: what it keeps keeps the mount, and umount would wait for an answer
  wait_for "service state || ! alive $manager_pid" 10
  service start >/dev/null
}
