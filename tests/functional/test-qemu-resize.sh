#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A virtual machine on a LUN that grows: block_resize tells it.  And qemu's locks keep a second machine away from the file.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
not_under_valgrind "a whole machine"
requires qemu-system-x86_64 qemu-io python3
fake_lun 16M
mib=1048576

# qmp COMMAND [ARGUMENTS]: prints what it returns.
qmp () {
  python3 - "$scratch/qmp" "$@" <<'PY'
import json, socket, sys
path, command, *arguments = sys.argv[1:]
sock = socket.socket(socket.AF_UNIX)
sock.connect(path)
lines = sock.makefile()
lines.readline()
for request in {"execute": "qmp_capabilities"}, {"execute": command, "arguments": json.loads(*arguments or ["{}"])}:
    sock.sendall(json.dumps(request).encode())
    answer = {}
    while not {"return", "error"} & set(answer):
        answer = json.loads(lines.readline())
print(json.dumps(answer.get("return")))
sys.exit("error" in answer and str(answer["error"]))
PY
}
size_seen () { qmp query-named-block-nodes | jq -r '[.[] | select (.drv == "raw")][0].image."virtual-size"'; }
disk_options=format=raw,cache=none,discard=unmap # as in README

qemu-system-x86_64 -accel tcg -m 64 -nodefaults -no-user-config -display none -S \
  -drive "file=$file,if=none,id=disk,$disk_options" -device virtio-blk-pci,drive=disk \
  -qmp "unix:$scratch/qmp,server=on,wait=off" </dev/null >"$scratch/qemu.log" 2>&1 &
machine=$!
cleanup_fn kill_quietly "$machine"
wait_for "qmp query-status || ! alive $machine" 30
alive "$machine" || fail "$(cat "$scratch/qemu.log")"
expect_equal "$(size_seen)" $((16 * mib)) "the size at first"

say "a second one is refused, a reader who shares is not"
expect_fail qemu-io -f raw -t none -c 'read 0 4k' "$file"
expect_message 'lock'
qemu-io -f raw -t none -r -U -c 'read 0 4k' "$file" >/dev/null

say "the LUN grows, then the file, then the machine's disk"
fake resize 0 24M
lunfsctl rescan "$mnt" # an idle LUN is not told
wait_for "[ \"\$(stat -c %s '$file')\" = $((24 * mib)) ]" 10
qmp block_resize "{\"device\": \"disk\", \"size\": $((24 * mib))}"
expect_equal "$(size_seen)" $((24 * mib)) "the size after block_resize"
for command in "write -P 0x5a 20M 64k" "discard 8M 1M" flush; do
  qmp human-monitor-command "{\"command-line\": \"qemu-io disk \\\"$command\\\"\"}" >/dev/null
done
grep -q 'wrote 65536/65536' "$scratch/qemu.log" || fail "behind the old end: $(cat "$scratch/qemu.log")"
grep -q 'discard 1048576/1048576' "$scratch/qemu.log" || fail "discard: $(cat "$scratch/qemu.log")"
[ "$(lun_get "$mnt" 0 ".counters | .unmaps + .write_sames")" -gt 0 ] || fail "the target was not told of the discard"
expect_equal "$(od -An -tx1 -N4 -j $((20 * mib)) "$disk" | tr -d ' ')" 5a5a5a5a "the target's data"

say "not to a size that the LUN does not have"
expect_fail qmp block_resize "{\"device\": \"disk\", \"size\": $((32 * mib))}"
expect_equal "$(stat -c %s "$file")" $((24 * mib)) "the file"

kill -TERM "$machine"
wait "$machine" || :
qemu-io -f raw -t none -c 'write 0 4k' "$file" >/dev/null
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"
