#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A plain file as mount point is the LUN itself.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target file
disk=$(random_file disk 4M)
add_lun "$disk"
add_lun "$(random_file disk2 4M)"
file=$scratch/disk.img
echo "what was here before" >"$file"
start_lunfs "iscsi://$portal/$iqn/1" "$file"
wait_for "[ \"\$(stat -c %s '$file')\" = 4194304 ]" 15
[ -f "$file" ] || fail "not a plain file"
same_data "$file" "$disk"
random_file new 1M >/dev/null
dd if="$scratch/new" of="$file" bs=64k seek=3 conv=notrunc,fsync status=none
same_data "$file" "$disk"
cmp -n 1048576 -i 0:196608 "$scratch/new" "$disk"
stop_lunfs "$file"
expect_equal "$(cat "$file")" "what was here before" "the file underneath"
