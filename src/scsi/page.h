/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the VPD parsers share.  Pure. */
#ifndef LUNFS_SCSI_PAGE_H
#define LUNFS_SCSI_PAGE_H

#include "util/bytes.h"

#include <glib.h>

#include <stddef.h>
#include <stdint.h>

#define LUNFS_VPD_HEADER_BYTES 4

/* Usable bytes, header included, of the VPD page at @buf (SPC-4 7.8.1): what came, cut at PAGE LENGTH.
 * 0 if it is not @page: some targets answer every VPD request with standard data. */
static inline size_t
lunfs_vpd_bytes (const uint8_t *buf, size_t len, uint8_t page)
{
  if (buf == NULL || len < LUNFS_VPD_HEADER_BYTES || buf[1] != page)
    return 0;
  return MIN (len, LUNFS_VPD_HEADER_BYTES + (size_t) lunfs_get_be16 (buf + 2));
}

#endif
