/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Byte ranges -> whole blocks and pieces.  Pure. */
#ifndef LUNFS_SPLIT_H
#define LUNFS_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

/* [offset, offset + length) in blocks: the aligned range around it, and what of the first and last block is outside. */
typedef struct {
  uint64_t start, end; /* bytes, multiples of the block size: start <= offset, offset + length <= end */
  uint32_t head_skip;  /* offset - start */
  uint32_t tail_skip;  /* end - (offset + length) */
} LunfsSpan;
LunfsSpan lunfs_span (uint64_t offset, uint64_t length, uint32_t block_size);
static inline bool
lunfs_span_aligned (const LunfsSpan *span)
{
  return span->head_skip == 0 && span->tail_skip == 0;
}

/* End of the piece of [pos, end) that starts at @pos: at most @max_bytes, and cut at a multiple of @granularity bytes where
 * that leaves something (0 = no matter). */
uint64_t lunfs_piece_end (uint64_t pos, uint64_t end, uint64_t max_bytes, uint64_t granularity);

#endif
