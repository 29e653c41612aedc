/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asymmetric logical unit access: which target port group we came in through, and its state (SPC-4 5.11, 6.35). */

#include "scsi/vpd.h"

#include "scsi/page.h"
#include "util/bytes.h"

#include <glib.h>

#define VPD_DESIGNATORS 0x83
#define ASSOCIATION_PORT 1
#define TYPE_PORT_GROUP 5
#define GROUP_BYTES 8 /* of a target port group descriptor without its ports */

bool
lunfs_vpd83_port_group (const uint8_t *buf, size_t len, uint16_t *out_group)
{
  size_t n = lunfs_vpd_bytes (buf, len, VPD_DESIGNATORS);

  for (size_t off = LUNFS_VPD_HEADER_BYTES; off + 4 <= n && off + 4 + buf[off + 3] <= n;
       off += 4 + (size_t) buf[off + 3]) {
    const uint8_t *d = buf + off;

    if (((d[1] >> 4) & 3) == ASSOCIATION_PORT && (d[1] & 0x0f) == TYPE_PORT_GROUP && d[3] >= 4) {
      *out_group = lunfs_get_be16 (d + 6);
      return true;
    }
  }
  return false;
}

bool
lunfs_port_groups_parse (const uint8_t *buf, size_t len, uint16_t group, LunfsAluaState *out)
{
  size_t n;

  if (buf == NULL || len < 4)
    return false;
  n = MIN (len, 4 + (size_t) lunfs_get_be32 (buf));
  for (size_t off = 4; off + GROUP_BYTES <= n; off += GROUP_BYTES + 4 * (size_t) buf[off + 7]) {
    if (lunfs_get_be16 (buf + off + 2) != group)
      continue;
    *out = (LunfsAluaState) (buf[off] & 0x0f);
    return true;
  }
  return false;
}

const char *
lunfs_alua_name (LunfsAluaState state)
{
  switch (state) {
  case LUNFS_ALUA_OPTIMIZED:
    return "active/optimized";
  case LUNFS_ALUA_NON_OPTIMIZED:
    return "active/non-optimized";
  case LUNFS_ALUA_STANDBY:
    return "standby";
  case LUNFS_ALUA_UNAVAILABLE:
    return "unavailable";
  case LUNFS_ALUA_TRANSITIONING:
    return "transitioning";
  default:
    return "";
  }
}
