/* SPDX-License-Identifier: GPL-2.0-or-later */
/* READ CAPACITY and GET LBA STATUS answers. */

#include "scsi/vpd.h"

#include "util/bytes.h"

#include <glib.h>

#define BLOCK_SIZE_MIN 512
#define BLOCK_SIZE_MAX 65536

static bool
block_size_usable (uint32_t size)
{
  return size >= BLOCK_SIZE_MIN && size <= BLOCK_SIZE_MAX && (size & (size - 1)) == 0;
}

/* Nothing larger than a file can be (off_t). */
static bool
size_usable (uint64_t last_lba, uint32_t block_size)
{
  return block_size_usable (block_size) && last_lba < (uint64_t) G_MAXINT64 / block_size;
}

/* SBC-3 5.16.2: 32 bytes, of which SBC-2 had the first 12 or 13; what did not come is off. */
bool
lunfs_capacity16_parse (const uint8_t *buf, size_t len, LunfsCapacity *out)
{
  LunfsCapacity capacity = { 0 };

  if (buf == NULL || len < 12)
    return false;
  capacity.block_size = lunfs_get_be32 (buf + 8);
  if (!size_usable (lunfs_get_be64 (buf), capacity.block_size))
    return false;
  capacity.nblocks = lunfs_get_be64 (buf) + 1;
  capacity.protected = len > 12 && (buf[12] & 0x01);
  capacity.physical_block_size = capacity.block_size << (len > 13 ? buf[13] & 0x0f : 0);
  capacity.lbpme = len > 14 && (buf[14] & 0x80);
  capacity.lbprz = len > 14 && (buf[14] & 0x40);
  *out = capacity;
  return true;
}

/* SBC-3 5.15.2 */
bool
lunfs_capacity10_parse (const uint8_t *buf, size_t len, LunfsCapacity *out)
{
  uint32_t last_lba, block_size;

  if (buf == NULL || len < 8)
    return false;
  last_lba = lunfs_get_be32 (buf);
  block_size = lunfs_get_be32 (buf + 4);
  if (!block_size_usable (block_size))
    return false;
  *out = (LunfsCapacity){
    .nblocks = last_lba == G_MAXUINT32 ? 0 : (uint64_t) last_lba + 1,
    .block_size = block_size,
    .physical_block_size = block_size,
  };
  return true;
}

/* SBC-3 5.4.2: a header of 8 bytes, then descriptors of 16.  Only the first one is read; the caller asks
 * again behind it.  Deallocated (1) and anchored (2) read alike; every other state may hold data. */
bool
lunfs_lba_status_parse (const uint8_t *buf, size_t len, uint64_t lba, uint32_t *out_nblocks, bool *out_mapped)
{
  uint32_t nblocks;
  uint8_t status;

  if (buf == NULL || len < 24 || lunfs_get_be32 (buf) < 20) /* the length counts from byte 4 on */
    return false;
  nblocks = lunfs_get_be32 (buf + 16);
  if (lunfs_get_be64 (buf + 8) != lba || nblocks == 0 || lba > G_MAXUINT64 - nblocks)
    return false;
  status = buf[20] & 0x0f;
  *out_nblocks = nblocks;
  *out_mapped = status != 1 && status != 2;
  return true;
}
