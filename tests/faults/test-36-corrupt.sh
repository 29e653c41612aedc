#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 36: bits flip on the way.  With header digests nothing of a header gets through unnoticed, either way; without
# them only what breaks the protocol is noticed.  Either way the session is given up and everything is sent again.
# What flips in data nobody can notice: libiscsi 1.19 has no data digests.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
test_limit 150

flips () { # DIGEST FLIP...: one LUN, so one session, for each
  local digest=$1 i
  shift
  tgt --mode target --op update --tid "$tid" --name HeaderDigest --value "$([ "$digest" = none ] && echo None || echo CRC32C)"
  mount_all $# -o header_digest="$digest",cmd_timeout=8,cache_size=8M # less than there is to read
  for ((i = 1; i <= $#; i++)); do start_load "$i" --threads 2 --max-bytes 4m --pause 500; done
  mapfile -t ids < <(proxy_stat 'conns | map(select (.full_feature))[].id')
  expect_equal "$(proxy_stat 'conns | map(select (.full_feature and .header_digest)) | length')" \
    "$([ "$digest" = none ] && echo 0 || echo $#)" "sessions with digests"
  local before
  before=$(proxy_stat fired)
  for ((i = 1; i <= $#; i++)); do
    # shellcheck disable=SC2086 # words
    proxy corrupt ${!i} "conn=${ids[i - 1]}"
  done
  for ((i = 1; i <= $#; i++)); do
    relogins "$i" 1
    moves "$i"
  done
  expect_equal "$(proxy_stat fired)" $((before + $#)) "flipped bits"
  # shellcheck disable=SC2046 # words
  stop_load "flipped bit, header digest $digest" $(seq $#)
  # shellcheck disable=SC2046 # words
  no_errors $(seq $#)
  stop_lunfs "$mnt"
}

target_with 4M 9
start_proxy
say "header digests: any bit"
flips crc32c \
  "down op=datain header=0 bit=1" `# operation` \
  "down op=datain header=42 bit=0" `# buffer offset: data at the wrong place` \
  "down op=response header=3 bit=1" `# status` \
  "down op=response header=17 bit=2" `# task tag: an answer to something else` \
  "down op=r2t header=43 bit=1" `# offset: wrong data to the target` \
  "down op=response header=48 bit=7" `# the digest itself` \
  "up op=write header=41 bit=3" `# block address` \
  "up op=dataout header=42 bit=1" `# buffer offset` \
  "up op=read header=45 bit=0" `# length`
say "none: what breaks the protocol"
flips none \
  "down op=datain header=0 bit=1" `# an operation that does not exist` \
  "down op=datain header=5 bit=6" `# a length beyond everything` \
  "down op=response header=4 bit=7" `# an additional header that is not there` \
  "down op=datain header=17 bit=2" `# a task that does not exist: never answered, cmd_timeout` \
  "up op=write header=0 bit=5" `# an operation that does not exist`

say "data: it goes through, as it would without lunfs; nothing is left of it"
mount_all 1 -o cache=none # a cache would keep what came
random_file good 64K >/dev/null
dd if="$scratch/good" of="$mnt/lun1" bs=64k conv=notrunc,fsync status=none
proxy corrupt down op=datain payload=100
dd if="$mnt/lun1" bs=64k count=1 status=none >"$scratch/read"
expect_equal "$({ cmp -l "$scratch/read" "$scratch/good" || :; } | wc -l)" 1 "wrong bytes"
dd if="$mnt/lun1" bs=64k count=1 status=none | cmp - "$scratch/good"
no_errors 1
stop_lunfs "$mnt"
