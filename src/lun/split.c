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

unsigned
lunfs_iov_slice (const struct iovec *iov, unsigned niov, uint64_t skip, uint64_t len, struct iovec *out, unsigned max)
{
  unsigned n = 0;

  for (unsigned i = 0; i < niov && len > 0; i++) {
    size_t take;

    if (skip >= iov[i].iov_len) {
      skip -= iov[i].iov_len;
      continue;
    }
    if (n == max)
      return 0;
    take = (size_t) MIN (len, iov[i].iov_len - skip);
    out[n++] = (struct iovec){ (char *) iov[i].iov_base + skip, take };
    skip = 0;
    len -= take;
  }
  return len == 0 ? n : 0;
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
