/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/split.h"

#include <glib.h>

LunfsSpan
lunfs_span (uint64_t offset, uint64_t length, uint32_t block_size)
{
  uint64_t mask = block_size - 1, end = offset + length;
  LunfsSpan span = { .start = offset & ~mask, .end = (end + mask) & ~mask };

  span.head_skip = (uint32_t) (offset - span.start);
  span.tail_skip = (uint32_t) (span.end - end);
  return span;
}

uint64_t
lunfs_piece_end (uint64_t pos, uint64_t end, uint64_t max_bytes, uint64_t granularity)
{
  uint64_t stop;

  if (end - pos <= max_bytes)
    return end;
  stop = pos + max_bytes;
  if (granularity && stop / granularity * granularity > pos)
    stop = stop / granularity * granularity;
  return stop;
}
