/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INQUIRY: standard data, list of VPD pages, block limits and provisioning.  For identity see identity.c. */

#include "scsi/vpd.h"

#include "scsi/page.h"
#include "util/bytes.h"

#include <glib.h>

#include <string.h>

#define VPD_SUPPORTED_PAGES 0x00
#define VPD_BLOCK_LIMITS 0xb0
#define VPD_PROVISIONING 0xb2

/* Copy the text field of @field_len bytes at @off to @out (field_len + 1 bytes): trimmed, and "" if it did
 * not come whole. */
static void
copy_text (const uint8_t *buf, size_t n, size_t off, size_t field_len, char *out)
{
  out[0] = '\0';
  if (off + field_len > n)
    return;
  for (size_t i = 0; i < field_len; i++) {
    uint8_t c = buf[off + i];

    out[i] = g_ascii_isprint (c) ? (char) c : c == '\0' ? ' ' : '?';
  }
  out[field_len] = '\0';
  g_strstrip (out);
}

/* SPC-4 6.6.2.  Old targets send fewer than the 36 bytes they should: what did not come is 0 or empty. */
bool
lunfs_inquiry_parse (const uint8_t *buf, size_t len, LunfsInquiry *out)
{
  LunfsInquiry inquiry = { 0 };
  size_t n;

  if (buf == NULL || len < 5)
    return false;
  n = MIN (len, (size_t) buf[4] + 5);
  inquiry.qualifier = buf[0] >> 5;
  inquiry.device_type = buf[0] & 0x1f;
  inquiry.removable = (buf[1] & 0x80) != 0;
  if (n > 5)
    inquiry.tpgs = (buf[5] >> 4) & 3;
  copy_text (buf, n, 8, 8, inquiry.vendor);
  copy_text (buf, n, 16, 16, inquiry.product);
  copy_text (buf, n, 32, 4, inquiry.revision);
  *out = inquiry;
  return true;
}

/* SPC-4 7.8.14 */
bool
lunfs_vpd_has_page (const uint8_t *buf, size_t len, uint8_t page)
{
  size_t n = lunfs_vpd_bytes (buf, len, VPD_SUPPORTED_PAGES);

  return n > LUNFS_VPD_HEADER_BYTES && memchr (buf + LUNFS_VPD_HEADER_BYTES, page, n - LUNFS_VPD_HEADER_BYTES) != NULL;
}

/* The alignment is meaningful with UGAVALID only, and below the granularity only. */
static void
parse_unmap_limits (const uint8_t *buf, LunfsLimits *limits)
{
  uint32_t alignment = lunfs_get_be32 (buf + 32);

  limits->max_unmap_blocks = lunfs_get_be32 (buf + 20);
  limits->max_unmap_descriptors = lunfs_get_be32 (buf + 24);
  limits->unmap_granularity_blocks = lunfs_get_be32 (buf + 28);
  if ((alignment & 0x80000000) && limits->unmap_granularity_blocks > 0)
    limits->unmap_alignment_blocks = (alignment & 0x7fffffff) % limits->unmap_granularity_blocks;
}

/* Page B2h's fields of the shared struct outlive a new page B0h. */
static void
keep_provisioning (LunfsLimits *to, const LunfsLimits *from)
{
  to->lbpu = from->lbpu;
  to->lbpws = from->lbpws;
  to->lbpws10 = from->lbpws10;
  to->lbprz = from->lbprz;
}

/* SBC-3 6.6.3.  SBC-2's page ends after the transfer lengths, SBC-3's goes on to byte 63.  What is not there
 * is 0, also where an earlier login had put something. */
bool
lunfs_vpdb0_parse (const uint8_t *buf, size_t len, LunfsLimits *limits)
{
  size_t n = lunfs_vpd_bytes (buf, len, VPD_BLOCK_LIMITS);
  LunfsLimits b0 = { 0 };

  if (n < 16)
    return false;
  b0.wsnz = buf[4] & 1;
  b0.max_transfer_blocks = lunfs_get_be32 (buf + 8);
  b0.opt_transfer_blocks = lunfs_get_be32 (buf + 12);
  if (n >= 36)
    parse_unmap_limits (buf, &b0);
  if (n >= 44)
    b0.max_write_same_blocks = lunfs_get_be64 (buf + 36);
  keep_provisioning (&b0, limits);
  *limits = b0;
  return true;
}

/* SBC-4 6.6.6: LBPRZ xx1b is zeroes, 010b the provisioning initialization pattern. */
bool
lunfs_vpdb2_parse (const uint8_t *buf, size_t len, LunfsLimits *limits)
{
  size_t n = lunfs_vpd_bytes (buf, len, VPD_PROVISIONING);
  uint8_t lbprz;

  if (n < 6)
    return false;
  lbprz = (buf[5] >> 2) & 7;
  limits->lbpu = (buf[5] & 0x80) != 0;
  limits->lbpws = (buf[5] & 0x40) != 0;
  limits->lbpws10 = (buf[5] & 0x20) != 0;
  limits->lbprz = (lbprz & 1) ? lbprz : 0;
  return true;
}
