/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/discard.h"

/* Where VPD B0h names no limit: what every target's 16-bit block counts allow (Linux' sd does the same). */
#define DEFAULT_WRITE_SAME_BLOCKS 65535u
/* One command should not keep a target busy for long: fsync and reads come behind it. */
#define MAX_COMMAND_BYTES (UINT64_C (256) << 20)
#define MAX_WRITE_BYTES (UINT64_C (1) << 20)

static bool
whole_granules (const LunfsLunInfo *info, uint64_t first, uint64_t end)
{
  uint64_t granularity = info->limits.unmap_granularity_blocks;
  uint64_t alignment = info->limits.unmap_alignment_blocks;

  if (granularity <= 1)
    return true;
  return (first + granularity - alignment % granularity) % granularity == 0
         && ((end + granularity - alignment % granularity) % granularity == 0 || end == info->capacity.nblocks);
}

LunfsZeroMethod
lunfs_zero_method (const LunfsLunInfo *info, LunfsZeroRefused refused, LunfsOp op, uint64_t first, uint64_t end)
{
  const LunfsLimits *lim = &info->limits;
  bool zeroes_after = lim->lbprz || info->capacity.lbprz;

  if (op == LUNFS_OP_DISCARD) {
    if (lim->lbpws && zeroes_after && !(refused & 1u << LUNFS_ZERO_WRITE_SAME_UNMAP))
      return LUNFS_ZERO_WRITE_SAME_UNMAP;
    if (lim->lbpu && zeroes_after && lim->max_unmap_blocks && !(refused & 1u << LUNFS_ZERO_UNMAP)
        && lim->max_unmap_blocks >= lim->unmap_granularity_blocks && whole_granules (info, first, end))
      return LUNFS_ZERO_UNMAP;
  }
  if (!(refused & 1u << LUNFS_ZERO_WRITE_SAME))
    return LUNFS_ZERO_WRITE_SAME;
  return LUNFS_ZERO_WRITE;
}

uint64_t
lunfs_zero_max_bytes (const LunfsLunInfo *info, LunfsZeroMethod method)
{
  uint64_t blocks;

  switch (method) {
  case LUNFS_ZERO_WRITE:
    return MAX_WRITE_BYTES;
  case LUNFS_ZERO_UNMAP:
    blocks = info->limits.max_unmap_blocks;
    break;
  default:
    blocks = info->limits.max_write_same_blocks ? info->limits.max_write_same_blocks : DEFAULT_WRITE_SAME_BLOCKS;
    break;
  }
  blocks = MIN (blocks, UINT32_MAX);
  return MAX (MIN (blocks * info->capacity.block_size, MAX_COMMAND_BYTES), info->capacity.block_size);
}

void
lunfs_zero_request (LunfsZeroMethod method, LunfsRequest *req)
{
  req->flags = 0;
  switch (method) {
  case LUNFS_ZERO_UNMAP:
    req->flags = LUNFS_REQ_UNMAP;
    /* fall through */
  case LUNFS_ZERO_WRITE_SAME_UNMAP:
    req->op = LUNFS_OP_DISCARD;
    break;
  case LUNFS_ZERO_WRITE_SAME:
    req->op = LUNFS_OP_ZERO;
    break;
  case LUNFS_ZERO_WRITE:
    req->op = LUNFS_OP_WRITE;
    break;
  }
}

bool
lunfs_can_unmap (const LunfsLunInfo *info)
{
  return info->limits.lbpws || info->limits.lbpu;
}
