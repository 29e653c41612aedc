/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MODE SENSE answers: a header, block descriptors, then pages (SPC-4 7.5). */

#include "scsi/vpd.h"

#include "util/bytes.h"

#include <glib.h>

#define PAGE_CACHING 0x08

#define DEVICE_WP 0x80
#define DEVICE_DPOFUA 0x10
#define PAGE_SPF 0x40
#define CACHING_WCE 0x04

/* Bytes of the page at @p, of which @n are there; 0 if not even its header came. */
static size_t
page_bytes (const uint8_t *p, size_t n)
{
  if (n < 2)
    return 0;
  if (!(p[0] & PAGE_SPF))
    return 2 + (size_t) p[1];
  return n < 4 ? 0 : 4 + (size_t) lunfs_get_be16 (p + 2);
}

/* Walk the pages from @off on.  Page 00h is a vendor's, in any format, and always the last. */
static void
parse_pages (const uint8_t *buf, size_t n, size_t off, LunfsModes *modes)
{
  while (off < n && (buf[off] & 0x3f) != 0) {
    size_t bytes = page_bytes (buf + off, n - off);

    if (bytes == 0)
      return;
    if ((buf[off] & (PAGE_SPF | 0x3f)) == PAGE_CACHING && bytes > 2 && n - off > 2) {
      modes->have_caching = true;
      modes->wce = (buf[off + 2] & CACHING_WCE) != 0;
      return;
    }
    off += bytes;
  }
}

/* @n: bytes that came, cut at MODE DATA LENGTH. */
static bool
parse_modes (const uint8_t *buf, size_t n, uint8_t device_specific, size_t pages_off, LunfsModes *out)
{
  LunfsModes modes = {
    .write_protected = (device_specific & DEVICE_WP) != 0,
    .dpofua = (device_specific & DEVICE_DPOFUA) != 0,
  };

  parse_pages (buf, n, pages_off, &modes);
  *out = modes;
  return true;
}

bool
lunfs_mode6_parse (const uint8_t *buf, size_t len, LunfsModes *out)
{
  if (buf == NULL || len < 4 || buf[0] < 3)
    return false;
  return parse_modes (buf, MIN (len, (size_t) buf[0] + 1), buf[2], 4 + (size_t) buf[3], out);
}

bool
lunfs_mode10_parse (const uint8_t *buf, size_t len, LunfsModes *out)
{
  if (buf == NULL || len < 8 || lunfs_get_be16 (buf) < 6)
    return false;
  return parse_modes (buf, MIN (len, (size_t) lunfs_get_be16 (buf) + 2), buf[3], 8 + (size_t) lunfs_get_be16 (buf + 6),
                      out);
}
