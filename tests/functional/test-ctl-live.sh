#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl top (once, on a pipe, on a terminal that it leaves as it was), sense and inquiry.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires jq python3

fake_lun 16M -- -o cache=none

say "inquiry"
lunfsctl inquiry "$file" | tee "$scratch/out"
grep -q "^$file:$" "$scratch/out"
grep -qE '^    blocks: 32768$' "$scratch/out"
grep -qE '^    max_unmap_blocks: [0-9]+$' "$scratch/out"
lunfsctl inquiry --json "$mnt" |
  jq -e '.[0] | .capacity.blocks == 32768 and .capacity.block_size == 512 and (.identity | length > 0) and .mode.caching_page'

say "sense: what the target said, where, and what was made of it"
lunfsctl sense --json "$mnt" | jq -e '.[0].records | length == 0'
fake_rule "read times=1 : sense b/44/00"
dd if="$file" of=/dev/null bs=4k skip=5 count=1 iflag=direct status=none
fake_hit
lunfsctl sense "$file" | tee "$scratch/out"
grep -qE '^  [0-9T:.-]+Z +read +40 +8 +1 +ABORTED COMMAND 44/00 +sent again$' "$scratch/out"
lunfsctl sense --json "$mnt" | jq -e '.[0].records[-1] | .key == 11 and .asc == 68 and .status == 2 and .action == "sent again"'

say "it is bounded"
fake_rule "read times=70 : sense b/44/00"
for ((i = 0; i < 70; i++)); do
  if fresh_read 2>/dev/null; then break; fi # given up after some tries, as long as the rule lasts
done
fake_hit "$rule" 70
lunfsctl sense --json "$mnt" | jq -e '.[0] | .total == 71 and (.records | length == 64) and .records[0].status == 2'

say "top"
lunfsctl stats reset "$mnt"
begin_load
lunfsctl top --once --interval 1 "$mnt" | tee "$scratch/out"
grep -qE '^ +READ +WRITE +IOPS +P50 +P99 +DEPTH +QUEUED +DIRTY +AGE +STATE +FILE$' "$scratch/out"
grep -qE "^ *[0-9.]+[KMG]?/s +[0-9.]+[KMG]?/s +[1-9][0-9]* +[0-9.]+[um]?s +[0-9.]+[um]?s .* up +$file$" "$scratch/out"
lunfsctl top --once --json "$file" |
  jq -e '.[0] | .writes_per_s > 0 and .write_bytes_per_s > 0 and .p99_us >= .p50_us and .p50_us > 0 and .state == "up"'
lunfsctl top --interval 0.2 "$mnt" >"$scratch/out" &
top=$!
cleanup_fn kill_quietly "$top"
wait_for "[ \$(grep -c IOPS '$scratch/out') -ge 3 ]" 10
kill -TERM "$top"
wait "$top" || fail "top ended with $?"
end_load

say "on a terminal: the alternate screen, and back"
python3 - "$mnt" <<'END'
import os, pty, select, signal, sys, termios, time

def run(end):
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("lunfsctl", ["lunfsctl", "top", "--interval", "0.2", sys.argv[1]])
    before = termios.tcgetattr(fd)
    seen, until, ended = b"", time.time() + 60, False
    while time.time() < until:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                data = os.read(fd, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
        if not ended and seen.count(b"STATE") >= 3:
            ended = True
            end(pid, fd)
    assert b"\033[?1049h" in seen and seen.rstrip().endswith(b"\033[?1049l"), seen[-200:]
    assert seen.count(b"\033[H") >= 3
    assert os.waitpid(pid, 0)[1] == 0
    assert termios.tcgetattr(fd)[3] == before[3], "echo or line mode is lost"

run(lambda pid, fd: os.write(fd, b"q"))
run(lambda pid, fd: os.kill(pid, signal.SIGTERM))
run(lambda pid, fd: os.kill(pid, signal.SIGINT))
END
expect_fail lunfsctl top --interval 0 "$mnt"
expect_status 7
stop_lunfs "$mnt"
