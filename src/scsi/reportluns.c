/* SPDX-License-Identifier: GPL-2.0-or-later */
/* REPORT LUNS answers (SPC-4 6.33) and the form of a LUN on the wire (SAM-5 4.7). */

#include "scsi/vpd.h"

#include "util/bytes.h"

#include <glib.h>

#define HEADER_BYTES 8
#define LUN_BYTES 8
#define LUN_COUNT 16384 /* what 14 bits of flat space addressing can name */
#define FLAT_FORM 0x4000

/* The number in the 8 bytes at @p, or -1 if it is none of ours: other methods, a bus, or further levels. */
static int
lun_number (const uint8_t *p)
{
  uint16_t first = lunfs_get_be16 (p);

  if ((lunfs_get_be64 (p) & 0xffffffffffff) != 0)
    return -1;
  if (first < 0x100)
    return first;
  return first >> 14 == FLAT_FORM >> 14 ? first & (LUN_COUNT - 1) : -1;
}

/* A bitmap sorts, and drops what a target lists twice (7 in peripheral form is 7 in flat form). */
static int
list_set_bits (const uint8_t *seen, uint16_t *luns, int max)
{
  int count = 0;

  for (int lun = 0; lun < LUN_COUNT && count < max; lun++)
    if (seen[lun / 8] & 1 << lun % 8)
      luns[count++] = (uint16_t) lun;
  return count;
}

int
lunfs_report_luns_parse (const uint8_t *buf, size_t len, uint16_t *luns, int max, uint32_t *out_needed_bytes)
{
  uint8_t seen[LUN_COUNT / 8] = { 0 };
  uint32_t list_bytes;
  size_t n;

  if (buf == NULL || len < HEADER_BYTES)
    return -1;
  list_bytes = MIN (lunfs_get_be32 (buf), G_MAXUINT32 - HEADER_BYTES) / LUN_BYTES * LUN_BYTES;
  n = MIN (len, HEADER_BYTES + (size_t) list_bytes);
  for (size_t off = HEADER_BYTES; off + LUN_BYTES <= n; off += LUN_BYTES) {
    int lun = lun_number (buf + off);

    if (lun >= 0)
      seen[lun / 8] |= (uint8_t) (1 << lun % 8);
  }
  if (out_needed_bytes)
    *out_needed_bytes = HEADER_BYTES + list_bytes;
  return list_set_bits (seen, luns, max);
}

uint16_t
lunfs_lun_wire (uint16_t lun)
{
  return lun < 0x100 ? lun : (uint16_t) (FLAT_FORM | (lun & (LUN_COUNT - 1)));
}
