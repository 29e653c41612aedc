# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers for the functional tests; source it first.  See tests/README for how a test is written.
#
# What a test gets: bash with "set -euo pipefail", its own directory $scratch (removed at the end, kept with
# LUNFS_KEEP=1), a watchdog, clean-up in reverse order, and at the end a scan of everything lunfs logged.
set -Eeuo pipefail

: "${top_srcdir:?run me through tests/run}" "${top_builddir:?run me through tests/run}"
test_name=$(basename "$0" .sh)
srcdir=$top_srcdir/tests/functional
sanitizers=${LUNFS_SANITIZERS:-no}
valgrind=${LUNFS_VALGRIND:-0}

# How much longer things take: every limit below and in wait_for is multiplied by it.
slow=${LUNFS_SLOW:-}
if [ -z "$slow" ]; then
  slow=1
  [ "$sanitizers" = no ] || slow=3
  [ "$valgrind" = 0 ] || slow=8
fi

say () { echo "# $*"; }
fail () {
  echo "FAILED: $*" >&2
  exit 1
}
# The environment lacks something.  Where tests must run (CI, contrib/check.sh) that is a failure,
# except for a test that says "optional=1".
optional=${optional:-0}
skip () {
  echo "SKIPPED: $*" >&2
  if [ "$optional" = 0 ] && { [ "${LUNFS_CI:-}" = 1 ] || [ "${CI:-}" = true ]; }; then
    echo "a skipped test is a failure here (LUNFS_CI or CI is set)" >&2
    exit 1
  fi
  exit 77
}
# The test makes no sense in this kind of run (too slow under valgrind, say).
not_under_valgrind () {
  [ "$valgrind" = 0 ] || { echo "SKIPPED: not under valgrind: $*" >&2; exit 77; }
}
requires () {
  local cmd
  for cmd; do command -v "$cmd" >/dev/null || skip "$cmd is not installed"; done
}
requires_root () { [ "$(id -u)" = 0 ] || skip "needs root"; }

# -- ends -------------------------------------------------------------------------------------------------------

PATH=$PATH:/usr/sbin:/sbin
scratch=$(mktemp -d "${TMPDIR:-/tmp}/lunfs-test.XXXXXX")
chmod 755 "$scratch"
test_file=$(realpath "$0")
cd "$scratch" # fio and others leave files where they are
mkdir -m 1777 "$scratch/reports" # of sanitizers and valgrind, in files: a daemon's stderr is /dev/null
chmod 1777 "$scratch/reports"
cleanups=()
cleanup_fn () { cleanups+=("$(printf '%q ' "$@")"); }

# The last is the first line of a stack trace of valgrind's, which with --quiet writes no summary.
bad_words='CRITICAL|[Aa]ssert|Sanitizer|runtime error|^==[0-9]+== +at 0x'
scan_logs () {
  local f found=0
  for f in "$scratch"/lunfs*.log "$scratch"/lunfs*.err "$scratch"/reports/*; do
    [ -e "$f" ] || continue
    if grep -anE "$bad_words" "$f" >"$scratch/bad"; then
      echo "FAILED: $(basename "$f") has:" >&2
      head -n 60 "$scratch/bad" >&2
      found=1
    fi
  done
  return $found
}

finish () {
  local status=$? i f
  [ "$BASHPID" = $$ ] || return # a subshell, ended early
  trap '' HUP INT TERM
  trap - ERR
  set +e
  for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do eval "${cleanups[i]}"; done
  kill "$watchdog" 2>/dev/null
  if [ -e "$scratch/timed-out" ]; then
    echo "FAILED: took longer than $limit s" >&2
    status=1
  fi
  if [ "$status" != 77 ]; then scan_logs || status=1; fi
  if [ "$status" != 0 ] && [ "$status" != 77 ]; then
    status=1
    for f in "$scratch"/*.log "$scratch"/*.err "$scratch"/*.tgtd "$scratch"/reports/*; do
      [ -s "$f" ] && echo "--- $(basename "$f")" && tail -n 40 "$f"
    done
  fi
  cd /
  if [ "${LUNFS_KEEP:-0}" = 1 ]; then
    echo "# kept: $scratch"
  else
    rm -rf --one-file-system "$scratch"
  fi
  exit "$status"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
trap 'echo "FAILED: $0:$LINENO: $BASH_COMMAND" >&2' ERR

# A hung mount must not hang the whole run: after the limit lunfs is killed, which wakes whoever waits for it.
# test_limit SECONDS: for a test that is known to take longer than others.
test_limit () {
  limit=$(($1 * slow))
  echo "$limit" >"$scratch/limit.new"
  mv "$scratch/limit.new" "$scratch/limit" # at once: the watchdog must not find it empty
}
test_limit "${LUNFS_TEST_TIMEOUT:-120}"
# shellcheck disable=SC2016 # expanded there
bash -c 'n=0
  while kill -0 "$2" 2>/dev/null && read -r limit <"$1/limit" && [ "$n" -lt "$limit" ]; do
    sleep 1
    n=$((n + 1))
  done
  [ -e "$1/limit" ] && kill -0 "$2" || exit 0
  : >"$1/timed-out"
  for f in "$1"/lunfs*.pid; do
    sup=$(cat "$f") && grep -qaF "$1" "/proc/$sup/cmdline" && kill -KILL "$sup" $(cat "/proc/$sup/task/$sup/children")
  done
  kill -TERM "$2"' watchdog "$scratch" $$ </dev/null >/dev/null 2>&1 &
watchdog=$!
disown

# -- waiting ----------------------------------------------------------------------------------------------------

# wait_for 'CONDITION' SECONDS: poll until the shell condition holds.
wait_for () {
  local end=$((SECONDS + $2 * slow + 1))
  until eval "$1" >/dev/null 2>&1; do
    if [ "$SECONDS" -gt "$end" ]; then
      echo "FAILED: waited $(($2 * slow)) s for: $1" >&2
      return 1
    fi
    sleep 0.05
  done
}
# Runs and is not a zombie.
alive () {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  case ${stat##*) } in Z* | X*) return 1 ;; esac
}
# Runs, and was started by this test: process numbers are used again, within minutes on a busy machine.
ours () {
  alive "$1" || return 1
  [ "$(readlink "/proc/$1/cwd")" = "$scratch" ] || grep -qaF "$scratch" "/proc/$1/cmdline"
} 2>/dev/null
# expect_fail COMMAND...: it must fail; its messages are in $scratch/message, its status in $status.
expect_fail () {
  status=0
  "$@" >"$scratch/message" 2>&1 || status=$?
  cat "$scratch/message"
  [ "$status" != 0 ] || fail "should have failed: $*"
}
expect_status () { [ "$status" = "$1" ] || fail "exit status $status, not $1"; }
expect_message () { grep -qiE -- "$1" "$scratch/message" || fail "the message does not say: $1"; }
expect_equal () { [ "$1" = "$2" ] || fail "${3:-value}: '$1' is not '$2'"; }
# The errno name is in the message of a failed command that prints strerror texts in English.
export LC_ALL=C

# -- ordinary users ---------------------------------------------------------------------------------------------

user_id=${LUNFS_TEST_UID:-20017}
# Run a command as a user without any privilege; its home is $scratch/home.
as_user () {
  mkdir -p "$scratch/home"
  chown "$user_id:$user_id" "$scratch/home"
  setpriv --reuid="$user_id" --regid="$user_id" --clear-groups --inh-caps=-all \
    env -u XDG_CONFIG_HOME -u XDG_RUNTIME_DIR HOME="$scratch/home" USER=lunfstest PATH="$scratch/bin:$PATH" "$@"
}
# The build tree may be closed to other users: give them copies.
share_programs () {
  mkdir -p "$scratch/bin"
  cp "$(command -v lunfs)" "$scratch/bin/"
  chmod 755 "$scratch/bin" "$scratch/bin/"*
}

# Run the rest of the test in a mount namespace of its own, where /dev/fuse is open to everybody (as on any
# normal system; some test machines have it 0600) and fuse.conf allows allow_other.  Call it before anything else.
private_mounts () {
  requires_root
  if [ "${LUNFS_PRIVATE_MOUNTS:-}" != "$test_name" ]; then
    trap - EXIT
    kill "$watchdog" 2>/dev/null || :
    cd /
    rm -rf "$scratch"
    LUNFS_PRIVATE_MOUNTS=$test_name exec unshare --mount --propagation private bash "$test_file" "$@"
  fi
  # Our copies of what other tests have mounted would keep it alive after they have unmounted it.
  local other
  while read -r other; do umount -l "$other" 2>/dev/null || :; done < <(awk '$3 ~ /^fuse\.lunfs/ || $2 ~ /lunfs-test\./ {print $2}' /proc/self/mounts)
  mkdir "$scratch/dev"
  mount -t tmpfs -o mode=755 tmpfs "$scratch/dev"
  cleanup_fn umount -l "$scratch/dev"
  mknod -m 666 "$scratch/dev/fuse" c 10 229
  chmod 666 "$scratch/dev/fuse"
  mount --bind "$scratch/dev/fuse" /dev/fuse
  echo user_allow_other >"$scratch/dev/fuse.conf"
  chmod 644 "$scratch/dev/fuse.conf"
  # fusermount3 and mount want to know the user's name.
  { cat /etc/passwd && echo "lunfstest:x:$user_id:$user_id::/nonexistent:/bin/sh"; } >"$scratch/dev/passwd"
  chmod 644 "$scratch/dev/passwd"
  mount --bind "$scratch/dev/passwd" /etc/passwd
  if [ -e /etc/fuse.conf ]; then mount --bind "$scratch/dev/fuse.conf" /etc/fuse.conf; fi
}

# -- targets ----------------------------------------------------------------------------------------------------

# tgtd listens for tgtadm on a socket whose path we choose, so instances never meet.  tgtadm must be uid 0 for
# tgtd; an ordinary user runs both in a user namespace of his own.
tgt=                 # name of the target daemon the functions below talk to
declare -A tgt_pids=() tgt_ports=() tgt_tids=()
tgt_host=127.0.0.1
tid=0 iqn='' lun=0 port=0

tgt () {
  if [ "$(id -u)" = 0 ]; then
    TGT_IPC_SOCKET=$scratch/$tgt.ctl tgtadm -C 0 --lld iscsi "$@"
  else
    TGT_IPC_SOCKET=$scratch/$tgt.ctl nsenter -U --preserve-credentials -t "${tgt_pids[$tgt]}" \
      tgtadm -C 0 --lld iscsi "$@"
  fi
}
# As tgt, and done again whenever the daemon is started anew.
tgt_set () {
  tgt "$@"
  printf 'tgt %s\n' "$(printf '%q ' "$@")" >>"$scratch/$tgt.setup"
}

run_tgtd () { # PORT [ADDRESS]: returns 1 if the port is taken
  local host=${2:-$tgt_host} userns=()
  [ "$(id -u)" = 0 ] || userns=(unshare --user --map-root-user)
  rm -f "$scratch/$tgt.ctl.0" "$scratch/$tgt.ctl.0.lock"
  : >"$scratch/$tgt.tgtd"
  TGT_IPC_SOCKET=$scratch/$tgt.ctl "${userns[@]}" tgtd -f -C 0 --iscsi "portal=$host:$1" \
    </dev/null >"$scratch/$tgt.tgtd" 2>&1 &
  tgt_pids[$tgt]=$!
  disown
  wait_for "grep -q 'unable to bind' \"\$scratch/\$tgt.tgtd\" || tgt --mode portal --op show | grep -q ':$1,' ||
    ! alive ${tgt_pids[$tgt]}" 10
  if grep -q 'unable to bind' "$scratch/$tgt.tgtd"; then
    kill -KILL "${tgt_pids[$tgt]}"
    return 1
  fi
  alive "${tgt_pids[$tgt]}" || fail "tgtd did not start: $(cat "$scratch/$tgt.tgtd")"
}
# start_target [NAME [PORT]]: a private tgtd on a free port of 127.0.0.1 (or $tgt_host); sets $port and $portal.
start_target () {
  requires tgtd tgtadm
  tgt=${1:-target}
  : >"$scratch/$tgt.setup"
  local try
  cleanup_fn kill_target "$tgt"
  for ((try = 0; try < 50; try++)); do
    port=${2:-$((10240 + (RANDOM * 7 + $$) % 22000))} # below the range the kernel gives out
    if run_tgtd "$port"; then break; fi
  done
  tgt_ports[$tgt]=$port
  tgt_tids[$tgt]=0
  portal=$tgt_host:$port
}
use_target () {
  tgt=$1
  port=${tgt_ports[$tgt]}
  portal=$tgt_host:$port
}
kill_target () { # as a crash: no good-bye to anybody
  local pid=${tgt_pids[${1:-$tgt}]}
  if ours "$pid"; then
    kill -KILL "$pid" # stopped or not
    wait_for "! alive $pid" 10
  fi
}
# Start it again on the same port with the same targets, LUNs and accounts, or with what COMMAND... sets up.  As a
# real target it listens only when everything is there; until then it does so on another loopback address.
restart_target () {
  local port=${tgt_ports[$tgt]}
  [ "$tgt_host" = 127.0.0.1 ] || fail "restart_target is for IPv4"
  wait_for "run_tgtd $port 127.0.0.2" 20
  # shellcheck disable=SC1090
  if [ "$#" = 0 ]; then . "$scratch/$tgt.setup"; else "$@"; fi
  wait_for "tgt --mode portal --op new --param portal=127.0.0.1:$port" 20
  tgt --mode portal --op delete --param "portal=127.0.0.2:$port"
}
stop_answering () { kill -STOP "${tgt_pids[$tgt]}"; }
answer_again () { kill -CONT "${tgt_pids[$tgt]}"; }

# add_target [SHORTNAME]: sets $tid and $iqn.
add_target () {
  tid=$((tgt_tids[$tgt] + 1))
  tgt_tids[$tgt]=$tid
  iqn=iqn.2026-01.org.example:${1:-t$tid}
  lun=0
  tgt_set --mode target --op new --tid "$tid" --targetname "$iqn"
  tgt_set --mode target --op bind --tid "$tid" --initiator-address ALL
}
# add_lun FILE [BLOCKSIZE [NAME=VALUE,...]]: sets $lun; parameters as thin_provisioning=1,readonly=1,scsi_sn=...
# Every LUN has an identity of its own.
add_lun () {
  lun=$((lun + 1))
  tgt_set --mode logicalunit --op new --tid "$tid" --lun "$lun" --backing-store "$1" --blocksize "${2:-512}"
  tgt_set --mode logicalunit --op update --tid "$tid" --lun "$lun" \
    --params "scsi_id=id-$tid-$lun,scsi_sn=sn$tid$lun${3:+,$3}"
}
lun_params () { tgt --mode logicalunit --op update --tid "$tid" --lun "$1" --params "$2"; } # not kept over a restart
# add_account USER PASSWORD [outgoing]: one-way CHAP, or what the target answers with.
add_account () {
  tgt_set --mode account --op new --user "$1" --password "$2"
  tgt_set --mode account --op bind --tid "$tid" --user "$1" ${3:+--outgoing}
}
# Cut every connection of the current target.
cut_connections () {
  local sid cid n=0
  while read -r sid cid; do
    tgt --mode conn --op delete --tid "$tid" --sid "$sid" --cid "$cid" && n=$((n + 1))
  done < <(tgt --mode conn --op show --tid "$tid" |
    awk '/^Session:/ {s = $2} /Connection:/ {print s, $2}')
  [ "$n" -gt 0 ] || fail "no connection to cut"
}
count_connections () { tgt --mode conn --op show --tid "$tid" | grep -c 'Connection:' || :; }

# start_ramtgt [OPTION...]: the project's own in-memory target; sets $port, $portal, $iqn.
start_ramtgt () {
  requires ramtgt
  iqn=iqn.2026-01.org.example:ram
  rm -f "$scratch/ramtgt.log" # of an earlier one
  ramtgt --port 0 --iqn "$iqn" "$@" </dev/null >"$scratch/ramtgt.log" 2>&1 &
  ramtgt_pid=$!
  disown
  cleanup_fn kill_quietly "$ramtgt_pid"
  wait_for "grep -q 'listening on' '$scratch/ramtgt.log'" 10
  port=$(sed -n 's/.*listening on .*:\([0-9]*\).*/\1/p' "$scratch/ramtgt.log" | head -n 1)
  portal=127.0.0.1:$port
}
kill_quietly () {
  local pid
  for pid; do
    if ours "$pid"; then kill -KILL "$pid" 2>/dev/null || :; fi
  done
}

# start_proxy [NAME [HOST:PORT]]: tests/tools/faultproxy in front of the target that was started last (or HOST:PORT);
# $port and $portal become the proxy's.  What it can break: faultproxy --help.
declare -A proxy_pids=() proxy_ports=()
start_proxy () {
  requires python3
  proxy=${1:-proxy}
  faultproxy --control "$scratch/$proxy.sock" "${2:-$portal}" </dev/null >"$scratch/$proxy.log" 2>&1 &
  proxy_pids[$proxy]=$!
  disown
  cleanup_fn kill_quietly "${proxy_pids[$proxy]}"
  wait_for "grep -q 'listening on' '$scratch/$proxy.log'" 10
  port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$scratch/$proxy.log")
  proxy_ports[$proxy]=$port
  portal=127.0.0.1:$port
}
# proxy VERB [ARGUMENT...]: a command to the proxy started last, or to the one that $proxy names.
proxy () { faultproxy --control "$scratch/$proxy.sock" --send "$@" || fail "proxy $*"; }
proxy_stat () { faultproxy --control "$scratch/$proxy.sock" --send stats | jq -r ".$1"; } # KEY
# start_fake [OPTION...]: the scripted target (tests/tools/faketgt) in $scratch/fake; sets $port, $portal, $iqn and
# the array $portals.  Stable data of LUN N is where --lun=SIZE,file=PATH says.
start_fake () {
  requires python3
  iqn=iqn.2026-01.org.example:fake
  fake_socket=$scratch/fake.ctl
  rm -f "$fake_socket"
  python3 "$top_srcdir/tests/tools/faketgt" --control "$fake_socket" "$@" </dev/null >"$scratch/fake.log" 2>&1 &
  fake_pid=$!
  disown
  cleanup_fn kill_quietly "$fake_pid"
  wait_for "fake stats || ! alive $fake_pid" 10
  alive "$fake_pid" || fail "faketgt did not start: $(cat "$scratch/fake.log")"
  mapfile -t portals < <(sed -n 's/^listening on //p' "$scratch/fake.log")
  portal=${portals[0]}
  port=${portal##*:}
}
# fake COMMAND...: tell it what to do; "fake help" lists the commands, tests/tools/faketgt.d/faults.py tells of rules.
fake () { python3 -I -S "$top_srcdir/tests/tools/faketgt" --ask "$fake_socket" "$@"; }
# fake_get JQ-EXPRESSION: of its counters.
fake_get () { fake stats | jq -r "$1"; }
# The initiator has kept to the protocol, and to what lunfs promises of it.
fake_no_violations () { expect_equal "$(fake_get '.violations | join ("; ")')" "" "violations"; }
# fake_lun SIZE [FAKETGT-OPTION...] -- [LUNFS-OPTION...]: the usual beginning with one LUN 0.  Sets $disk (what is
# stable), $mnt and $file.
fake_lun () {
  local size=$1 options=()
  shift
  while [ "$#" != 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  [ "$#" = 0 ] || shift
  disk=$scratch/disk
  start_fake --lun "$size,file=$disk" "${options[@]}"
  mnt=$scratch/mnt
  file=$mnt/lun0
  start_lunfs "iscsi://$portal/$iqn" "$mnt" "$@"
  lun_up "$mnt" 0
}

# fake_rule EVENT [FILTER=VALUE...] : ACTION...: "fake on" that; its number is in $rule.
fake_rule () { rule=$(fake on "$@"); }
# fake_hits [RULE]: how often the rule, or the last one given, has done its work.  fake_hit [RULE [TIMES]]: wait for it.
fake_hits () { fake rules | sed -n "s/^${1:-$rule} hits=\([0-9]*\).*/\1/p"; }
fake_hit () { wait_for "[ \$(fake_hits ${1:-$rule}) -ge ${2:-1} ]" 20; }

# fresh_read [DD-OPERAND...]: 4 KiB of $file that lunfs cannot have in memory, so that a READ is sent: each time at another
# place, from the end of the LUN backwards, which nobody else reads.  $fresh_page is where.
fresh_page=
fresh_read () {
  fresh_page=$((${fresh_page:-$(stat -c %s "$file") / 4096} - 61))
  dd if="$file" of=/dev/null bs=4k skip=$fresh_page count=1 iflag=direct status=none "$@"
}

# -- load: overlapping verified I/O on $file while something happens to the target --------------------------------

# begin_load [STRESS-OPTION...]: until end_load
begin_load () {
  requires stress
  load_seed=${LUNFS_STRESS_SEED:-$RANDOM}
  say "load: seed $load_seed"
  stress --threads 4 --seconds 36000 --seed "$load_seed" --direct "$@" "$file" >"$scratch/load.log" 2>&1 &
  load=$!
  cleanup_fn kill_quietly "$load"
  wait_for "grep -q running '$scratch/load.log' || ! alive $load" 30
  load_works
}
# Wait until it has done some more.
load_works () {
  local writes
  writes=$(lun_get "$mnt" "$(load_lun)" .counters.writes)
  wait_for "[ \"\$(lun_get '$mnt' '$(load_lun)' .counters.writes)\" -gt $((writes + 50)) ] || ! alive $load" 30
}
# It went on to its end and every byte it read was right.
halt_load () {
  load_works
  kill -TERM "$load" 2>/dev/null || :
  wait "$load" || fail "the load saw an error or wrong data: $(cat "$scratch/load.log")"
}
# The same, nobody else saw an error, and what it wrote is on the target's disk.
end_load () {
  halt_load
  sync "$file"
  same_data "$file" "$disk"
  expect_equal "$(lun_get "$mnt" "$(load_lun)" .counters.errors)" 0 "errors"
}
load_lun () { echo "${file##*lun}"; }

# backing NAME SIZE: a sparse file for a LUN; prints its path.
backing () {
  truncate -s "$2" "$scratch/$1"
  echo "$scratch/$1"
}
# random_file NAME SIZE: prints its path.
random_file () {
  head -c "$(numfmt --from=iec "$2")" /dev/urandom >"$scratch/$1"
  echo "$scratch/$1"
}

# -- lunfs ------------------------------------------------------------------------------------------------------

initiator=iqn.2026-01.org.example:initiator
mounts=0
declare -A lunfs_logs=() lunfs_pids=()
lunfs_as=() # prefix: lunfs_as=(as_user) starts lunfs as an ordinary user

export ASAN_OPTIONS="log_path=$scratch/reports/asan:detect_leaks=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-}:log_path=$scratch/reports/ubsan:halt_on_error=0"
export TSAN_OPTIONS="log_path=$scratch/reports/tsan:${TSAN_OPTIONS:-}"
export G_DEBUG=${G_DEBUG:-fatal-criticals} MALLOC_PERTURB_=${MALLOC_PERTURB_:-165}

# Sets $lunfs_cmd: the command, under valgrind if asked for.
set_lunfs_cmd () {
  lunfs_cmd=("${lunfs_as[@]}")
  if [ "$valgrind" != 0 ]; then
    lunfs_cmd+=(valgrind --quiet --error-exitcode=99 --trace-children=yes --child-silent-after-fork=no
      --trace-children-skip='*/fusermount3' # which is setuid
      --suppressions="$top_srcdir/tests/valgrind.supp" --log-file="$scratch/reports/vg.%p")
  fi
  if [ -x "$scratch/bin/lunfs" ]; then lunfs_cmd+=("$scratch/bin/lunfs"); else lunfs_cmd+=("$(command -v lunfs)"); fi
}
# start_lunfs SOURCE MOUNTPOINT [OPTION...]: as a user does; returns when the command does.
start_lunfs () {
  local source=$1 mnt=$2 n
  shift 2
  mounts=$((mounts + 1))
  n=$mounts
  [ -e "$mnt" ] || mkdir -p "$mnt"
  if [ "${#lunfs_as[@]}" != 0 ]; then
    mkdir -p "$scratch/home"
    chown "$user_id:$user_id" "$mnt" "$scratch/home"
    lunfs_logs[$mnt]=$scratch/lunfs$n.log
    : >"$scratch/lunfs$n.log"
    : >"$scratch/lunfs$n.pid"
    chown "$user_id:$user_id" "$scratch/lunfs$n.log" "$scratch/lunfs$n.pid"
  fi
  lunfs_logs[$mnt]=$scratch/lunfs$n.log
  lunfs_pids[$mnt]=$scratch/lunfs$n.pid
  cleanup_fn kill_lunfs "$mnt"
  local name=(-o "initiator_name=$initiator")
  [ "${initiator_option:-}" != none ] || name=()
  set_lunfs_cmd
  "${lunfs_cmd[@]}" -o "log=$scratch/lunfs$n.log" -o "pidfile=$scratch/lunfs$n.pid" "${name[@]}" \
    "$@" "$source" "$mnt" <"${lunfs_stdin:-/dev/null}" 2>"$scratch/lunfs$n.err" || {
    local status=$?
    cat "$scratch/lunfs$n.err" >&2
    return "$status"
  }
  cat "$scratch/lunfs$n.err" >&2
}
# The same with -f: $lunfs_pid is ours to wait for, so that its exit status can be seen (stop_lunfs does).
start_lunfs_foreground () {
  local source=$1 mnt=$2 n
  shift 2
  mounts=$((mounts + 1))
  n=$mounts
  [ -e "$mnt" ] || mkdir -p "$mnt"
  lunfs_logs[$mnt]=$scratch/lunfs$n.log
  lunfs_pids[$mnt]=$scratch/lunfs$n.pid
  cleanup_fn kill_lunfs "$mnt"
  set_lunfs_cmd
  "${lunfs_cmd[@]}" -f -o "log=$scratch/lunfs$n.log" -o "pidfile=$scratch/lunfs$n.pid" -o "initiator_name=$initiator" \
    "$@" "$source" "$mnt" </dev/null >"$scratch/lunfs$n.err" 2>&1 &
  lunfs_pid=$!
  wait_for "mounted '$mnt' && [ -s '$scratch/lunfs$n.pid' ] || ! alive $lunfs_pid" 15
  alive "$lunfs_pid" || fail "lunfs -f ended: $(cat "$scratch/lunfs$n.err")"
}
mounted () { awk -v m="$1" '$2 == m {found = 1} END {exit !found}' /proc/self/mounts; }
# take_number DEVICE: the kernel gives the number of a mount that has gone to one of ours, $scratch/other$others, unless somebody
# else is faster.
take_number () {
  others=0
  until [ "$others" = 50 ] || { [ "$others" != 0 ] && [ "$(mountpoint -d "$scratch/other$others")" = "$1" ]; }; do
    others=$((others + 1))
    mkdir "$scratch/other$others"
    mount -t tmpfs tmpfs "$scratch/other$others"
  done
  [ "$others" != 50 ] || say "somebody else was faster"
}
supervisor () { cat "${lunfs_pids[$1]}"; }
worker () { # of a mount: the pid of the worker process
  local sup
  sup=$(supervisor "$1")
  tr -d ' ' <"/proc/$sup/task/$sup/children" # it has one child
}
# kill_both [MOUNTPOINT]: as the out-of-memory killer at its worst: nobody flushes, nobody unmounts.
kill_both () {
  local at=${1:-$mnt} sup wrk
  sup=$(supervisor "$at")
  wrk=$(worker "$at")
  kill -STOP "$sup" # neither may see the other's death: a worker unmounts when nobody happens to use it
  kill -KILL "$wrk"
  kill -KILL "$sup"
  # All its threads: each of them keeps the lock on the arena.
  wait_for "! alive $sup && ! alive $wrk && [ \$(ls /proc/$wrk/task | wc -l) -le 1 ]" 10
  umount -l "$at"
}
# stop_lunfs MOUNTPOINT [SECONDS]: unmount and wait for the supervisor to be gone; then it must have said
# nothing of an error, and, when it is our own child (start_lunfs_foreground), have ended with status 0.
stop_lunfs () {
  local mnt=$1 pid
  pid=$(supervisor "$mnt")
  if [ "$(id -u)" = 0 ] && [ "${#lunfs_as[@]}" = 0 ]; then umount "$mnt"; else "${lunfs_as[@]}" fusermount3 -u "$mnt"; fi
  wait_for "! alive $pid" "${2:-15}"
  ! mounted "$mnt" || fail "$mnt is still mounted"
  if [ "${lunfs_pid:-}" = "$pid" ]; then
    wait "$pid" || fail "lunfs ended with status $?"
  fi
}
# Clean-up only: whatever is left.
kill_lunfs () {
  local mnt=$1 pid workers
  pid=$(cat "${lunfs_pids[$mnt]}" 2>/dev/null) || pid=
  if mounted "$mnt"; then
    umount "$mnt" 2>/dev/null || fusermount3 -u "$mnt" 2>/dev/null || :
  fi
  if [ -n "$pid" ]; then
    ( wait_for "! ours $pid" 3 ) 2>/dev/null || {
      echo "# $mnt: lunfs had to be killed" >&2
      workers=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
      # shellcheck disable=SC2086 # a list
      kill -KILL "$pid" $workers 2>/dev/null
    }
  fi
  if mounted "$mnt"; then umount -l "$mnt"; fi
}

# status_get MOUNTPOINT JQ-EXPRESSION: from MNT/.lunfs/status.json; fails when it gives null or false.
status_get () {
  local mnt=$1
  shift
  jq -er "$@" "$mnt/.lunfs/status.json"
}
# lun_get MOUNTPOINT LUN JQ-EXPRESSION: of the record of that LUN (of the first target that has it).
lun_get () { status_get "$1" "[.targets[].luns[] | select (.lun == $2)][0] | $3"; }
lun_up () { wait_for "[ \"\$(lun_get '$1' $2 .state)\" = up ]" "${3:-15}"; }
logged () { grep -qiE -- "$2" "${lunfs_logs[$1]}"; } # MOUNTPOINT REGEX

# one_lun SIZE [BLOCKSIZE [PARAMETERS [LUNFS-OPTION...]]]: the usual beginning.  Sets $disk (what the target has on
# its side), $mnt and $file (the LUN as lunfs shows it).
one_lun () {
  local size=$1 block_size=${2:-512} params=${3:-}
  shift $(($# < 3 ? $# : 3))
  start_target
  add_target disk
  disk=$(backing disk "$size")
  add_lun "$disk" "$block_size" "$params"
  mnt=$scratch/mnt
  file=$mnt/lun1
  start_lunfs "iscsi://$portal/$iqn" "$mnt" "$@"
  lun_up "$mnt" 1
  [ -f "$file" ] || fail "$file is not there"
}

# same_data FILE FILE [BYTES]
same_data () { cmp ${3:+-n "$3"} "$1" "$2" || fail "$1 and $2 differ"; }

# -- loop devices -----------------------------------------------------------------------------------------------

# attach_loop FILE [OPTION...]: sets $loop.  detach_loop DEVICE: only as long as it is ours, since others take it next.
declare -A loops=()
attach_loop () {
  requires losetup
  requires_root
  [ -e /dev/loop-control ] || modprobe loop 2>/dev/null || skip "no loop devices"
  local file=$1
  shift
  loop=$(losetup --find --show "$@" "$file")
  loops[$loop]=attached
  cleanup_fn detach_loop "$loop"
}
detach_loop () {
  [ "${loops[$1]:-}" = attached ] || return 0
  loops[$1]=
  losetup --detach "$1" 2>/dev/null || :
  wait_for "! losetup -n -O BACK-FILE '$1' | grep -qF '$scratch'" 10
}
