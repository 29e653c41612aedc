/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two images of the disk: now, what READ sees, and stable, what survives a loss of power; a block that differs is marked
 * dirty. */
#include "config.h"

#include "iscsi/ram-private.h"

#include "scsi/sense.h"
#include "util/bytes.h"

#include <string.h>

uint32_t
lunfs_ram_roll (LunfsRam *ram, uint32_t n)
{
  ram->random ^= ram->random << 13;
  ram->random ^= ram->random >> 7;
  ram->random ^= ram->random << 17;
  return n ? (uint32_t) ((ram->random >> 16) % n) : 0;
}

/* ---- the disk ---- */

void
lunfs_ram_make_stable (LunfsRam *ram, uint64_t lba)
{
  uint32_t bs = ram->conf.block_size;

  if (!ram->dirty[lba])
    return;
  memcpy (ram->stable + lba * bs, ram->now + lba * bs, bs);
  ram->dirty[lba] = 0;
}

static void
touched (LunfsRam *ram, uint64_t lba, bool through, bool mapped)
{
  ram->dirty[lba] = 1;
  ram->mapped[lba] = mapped;
  if (through || !ram->conf.wce)
    lunfs_ram_make_stable (ram, lba);
}

static void
sync_all (LunfsRam *ram)
{
  for (uint64_t lba = 0; lba < ram->max_blocks; lba++)
    lunfs_ram_make_stable (ram, lba);
}

/* @len bytes between the disk at @disk and the command's iovs from @skip on. */
static void
move (LunfsCommand *cmd, uint8_t *disk, uint64_t len)
{
  for (unsigned i = 0; i < cmd->niov && len > 0; i++) {
    size_t n = MIN (len, cmd->iov[i].iov_len);

    if (cmd->xfer == LUNFS_XFER_IN)
      memcpy (cmd->iov[i].iov_base, disk, n);
    else
      memcpy (disk, cmd->iov[i].iov_base, n);
    disk += n;
    len -= n;
  }
}

void
lunfs_ram_give (LunfsCommand *cmd, const uint8_t *data, uint32_t len)
{
  uint32_t n = MIN (len, cmd->xfer_bytes);

  move (cmd, (uint8_t *) data, n);
  cmd->underflow_bytes = cmd->xfer_bytes - n;
}

void
lunfs_ram_take (LunfsCommand *cmd, uint8_t *data, uint32_t len)
{
  move (cmd, data, MIN (len, cmd->xfer_bytes));
}

void
lunfs_ram_check (LunfsCommand *cmd, uint8_t key, uint8_t asc, uint8_t ascq, bool deferred)
{
  cmd->status = LUNFS_STATUS_CHECK_CONDITION;
  memset (cmd->sense, 0, 18);
  cmd->sense[0] = deferred ? 0x71 : 0x70;
  cmd->sense[2] = key;
  cmd->sense[7] = 10;
  cmd->sense[12] = asc;
  cmd->sense[13] = ascq;
  cmd->sense_len = 18;
}

/* ---- what the commands say ---- */

bool
lunfs_ram_range (const uint8_t *cdb, uint64_t *lba, uint32_t *nblocks)
{
  switch (cdb[0]) {
  case 0x28:
  case 0x2a:
    *lba = lunfs_get_be32 (cdb + 2);
    *nblocks = lunfs_get_be16 (cdb + 7);
    return true;
  case 0x88:
  case 0x8a:
  case 0x93:
    *lba = lunfs_get_be64 (cdb + 2);
    *nblocks = lunfs_get_be32 (cdb + 10);
    return true;
  default:
    *lba = 0;
    *nblocks = 0;
    return false;
  }
}

bool
lunfs_ram_is_read (const uint8_t *cdb)
{
  return cdb[0] == 0x28 || cdb[0] == 0x88;
}

bool
lunfs_ram_is_write (const uint8_t *cdb)
{
  return cdb[0] == 0x2a || cdb[0] == 0x8a || cdb[0] == 0x93 || cdb[0] == 0x42;
}

bool
lunfs_ram_is_sync (const uint8_t *cdb)
{
  return cdb[0] == 0x35 || cdb[0] == 0x91;
}

bool
lunfs_ram_is_medium (const uint8_t *cdb)
{
  return lunfs_ram_is_read (cdb) || lunfs_ram_is_write (cdb) || lunfs_ram_is_sync (cdb);
}

bool
lunfs_ram_is_ready (const uint8_t *cdb)
{
  return cdb[0] == 0x00;
}

static void
inquiry (LunfsRam *ram, LunfsCommand *cmd)
{
  const LunfsRamConf *c = &ram->conf;
  uint8_t data[96] = { 0 };
  uint32_t len = 36;

  if (!(cmd->cdb[1] & 1)) {
    data[2] = 6;
    data[4] = 31;
    memcpy (data + 8, c->tgtd ? "IET     VIRTUAL-DISK    0001" : "LUNFS   RAM DISK        1   ", 28);
    lunfs_ram_give (cmd, data, len);
    return;
  }
  data[1] = cmd->cdb[2];
  switch (cmd->cdb[2]) {
  case 0x00: {
    uint8_t *p = data + 4;

    *p++ = 0x00;
    if (c->serial[0])
      *p++ = 0x80;
    if (c->naa)
      *p++ = 0x83;
    *p++ = 0xb0;
    *p++ = 0xb2;
    data[3] = (uint8_t) (p - data - 4);
    len = (uint32_t) (p - data);
    break;
  }
  case 0x80:
    data[3] = (uint8_t) strlen (c->serial);
    memcpy (data + 4, c->serial, strlen (c->serial));
    len = 4u + data[3];
    break;
  case 0x83: /* one designator: binary, NAA 5 */
    data[3] = 12;
    data[4] = 1;
    data[5] = 3;
    data[7] = 8;
    lunfs_put_be64 (data + 8, (c->naa & 0x0fffffffffffffff) | UINT64_C (5) << 60);
    len = 16;
    break;
  case 0xb0:
    data[3] = 60;
    lunfs_put_be32 (data + 8, c->max_transfer_blocks);
    lunfs_put_be32 (data + 20, c->max_unmap_blocks);
    lunfs_put_be32 (data + 24, c->max_unmap_blocks ? 1 : 0);
    lunfs_put_be32 (data + 28, c->unmap_granularity_blocks);
    lunfs_put_be32 (data + 32, c->unmap_alignment_blocks ? 0x80000000 | c->unmap_alignment_blocks : 0);
    lunfs_put_be64 (data + 36, c->max_write_same_blocks);
    len = 64;
    break;
  case 0xb2:
    data[3] = 4;
    data[5] = (uint8_t) ((c->lbpu ? 0x80 : 0) | (c->lbpws ? 0x40 : 0) | (c->lbprz ? 0x04 : 0));
    len = 8;
    break;
  default:
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x24, 0, false);
    return;
  }
  lunfs_ram_give (cmd, data, len);
}

static void
capacity (LunfsRam *ram, LunfsCommand *cmd, bool sixteen)
{
  uint8_t data[32] = { 0 };

  if (sixteen) {
    lunfs_put_be64 (data, ram->conf.nblocks - 1);
    lunfs_put_be32 (data + 8, ram->conf.block_size);
    data[14] = (uint8_t) ((ram->conf.lbpme ? 0x80 : 0) | (ram->conf.lbprz ? 0x40 : 0));
  } else {
    lunfs_put_be32 (data, (uint32_t) MIN (ram->conf.nblocks - 1, UINT32_MAX));
    lunfs_put_be32 (data + 4, ram->conf.block_size);
  }
  lunfs_ram_give (cmd, data, sixteen ? 32 : 8);
}

static void
mode_sense (LunfsRam *ram, LunfsCommand *cmd)
{
  bool ten = cmd->cdb[0] == 0x5a;
  uint32_t header = ten ? 8 : 4;
  uint8_t data[28] = { 0 };

  data[ten ? 1 : 0] = (uint8_t) (header + 20 - (ten ? 2 : 1));
  data[ten ? 3 : 2] = (uint8_t) ((ram->conf.write_protected ? 0x80 : 0) | (ram->conf.dpofua ? 0x10 : 0));
  data[header] = 0x08;
  data[header + 1] = 18;
  data[header + 2] = ram->conf.wce ? 0x04 : 0;
  lunfs_ram_give (cmd, data, header + 20);
}

static void
lba_status (LunfsRam *ram, LunfsCommand *cmd)
{
  uint64_t lba = lunfs_get_be64 (cmd->cdb + 2);
  uint64_t end = lba;
  uint8_t data[24] = { 0 };

  if (lba >= ram->conf.nblocks) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x21, 0, false);
    return;
  }
  while (end < ram->conf.nblocks && ram->mapped[end] == ram->mapped[lba])
    end++;
  lunfs_put_be32 (data, 20);
  lunfs_put_be64 (data + 8, lba);
  lunfs_put_be32 (data + 16, (uint32_t) (end - lba));
  data[20] = ram->mapped[lba] ? 0 : 1;
  lunfs_ram_give (cmd, data, 24);
}

static void
read_write (LunfsRam *ram, LunfsCommand *cmd, uint64_t lba, uint32_t nblocks)
{
  const LunfsRamConf *c = &ram->conf;
  uint64_t bytes = (uint64_t) nblocks * c->block_size;

  if (bytes != cmd->xfer_bytes || (c->max_transfer_blocks && nblocks > c->max_transfer_blocks)) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x24, 0, false);
    return;
  }
  move (cmd, ram->now + lba * c->block_size, bytes);
  if (cmd->xfer == LUNFS_XFER_OUT)
    for (uint64_t i = lba; i < lba + nblocks; i++)
      touched (ram, i, (cmd->cdb[1] & 0x08) != 0, true);
}

static void
unmap_block (LunfsRam *ram, uint64_t lba)
{
  memset (ram->now + lba * ram->conf.block_size, ram->conf.lbprz ? 0 : 0xdb, ram->conf.block_size);
  touched (ram, lba, false, false);
}

static void
write_same (LunfsRam *ram, LunfsCommand *cmd, uint64_t lba, uint32_t nblocks)
{
  const LunfsRamConf *c = &ram->conf;
  bool unmap = (cmd->cdb[1] & 0x08) != 0;

  if (c->no_write_same || (unmap && !c->lbpws) || nblocks == 0
      || (c->max_write_same_blocks && nblocks > c->max_write_same_blocks)) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->no_write_same ? c->refusal_asc : 0x24, 0, false);
    return;
  }
  for (uint64_t i = lba; i < lba + nblocks; i++) {
    move (cmd, ram->now + i * c->block_size, c->block_size);
    touched (ram, i, false, !(unmap && c->lbprz));
  }
}

/* Only whole granules are given back: the rest keeps its content, as SBC-3 allows. */
static void
unmap (LunfsRam *ram, LunfsCommand *cmd)
{
  const LunfsRamConf *c = &ram->conf;
  uint32_t granularity = MAX (c->unmap_granularity_blocks, 1);
  uint8_t param[24];
  uint64_t lba, end, from;
  uint32_t nblocks;

  if (!c->lbpu || cmd->xfer_bytes != sizeof param) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->lbpu ? 0x26 : c->refusal_asc, 0, false);
    return;
  }
  move (cmd, param, sizeof param);
  lba = lunfs_get_be64 (param + 8);
  nblocks = lunfs_get_be32 (param + 16);
  end = lba + nblocks;
  if (end > c->nblocks || nblocks > c->max_unmap_blocks) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, end > c->nblocks ? 0x21 : 0x26, 0, false);
    return;
  }
  from = lba;
  while (from < end && from % granularity != c->unmap_alignment_blocks % granularity)
    from++;
  for (; from + granularity <= end || (end == c->nblocks && from < end); from += granularity)
    for (uint64_t i = from; i < MIN (from + granularity, end); i++)
      unmap_block (ram, i);
}

static bool
is_sixteen (const uint8_t *cdb)
{
  return cdb[0] == 0x88 || cdb[0] == 0x8a || cdb[0] == 0x91 || cdb[0] == 0x93 || cdb[0] == 0x9e;
}

/* Carry the command out; fills in the answer. */
void
lunfs_ram_execute (LunfsRam *ram, LunfsCommand *cmd)
{
  const LunfsRamConf *c = &ram->conf;
  uint64_t lba;
  uint32_t nblocks;

  cmd->status = LUNFS_STATUS_GOOD;
  if ((c->no16 && is_sixteen (cmd->cdb)) || (c->no_sync && lunfs_ram_is_sync (cmd->cdb))
      || (c->no_modes && (cmd->cdb[0] == 0x1a || cmd->cdb[0] == 0x5a))) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->refusal_asc, 0, false);
    return;
  }
  if (lunfs_ram_range (cmd->cdb, &lba, &nblocks) && (lba > c->nblocks || nblocks > c->nblocks - lba)) {
    ram->stats.out_of_range++;
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x21, 0, false);
    return;
  }
  if (lunfs_ram_is_write (cmd->cdb) && c->write_protected) {
    lunfs_ram_check (cmd, LUNFS_KEY_DATA_PROTECT, 0x27, 0, false);
    return;
  }
  switch (cmd->cdb[0]) {
  case 0x00:
    break;
  case 0x1b:
    ram->not_ready = 0;
    break;
  case 0x12:
    inquiry (ram, cmd);
    break;
  case 0x1a:
  case 0x5a:
    mode_sense (ram, cmd);
    break;
  case 0x25:
    capacity (ram, cmd, false);
    break;
  case 0x9e:
    if ((cmd->cdb[1] & 0x1f) == 0x10)
      capacity (ram, cmd, true);
    else if (c->lbpme)
      lba_status (ram, cmd);
    else
      lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->refusal_asc, 0, false);
    break;
  case 0x28:
  case 0x2a:
  case 0x88:
  case 0x8a:
    read_write (ram, cmd, lba, nblocks);
    break;
  case 0x35:
  case 0x91:
    sync_all (ram);
    break;
  case 0x93:
    write_same (ram, cmd, lba, nblocks);
    break;
  case 0x42:
    unmap (ram, cmd);
    break;
  default:
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x20, 0, false);
    break;
  }
}
