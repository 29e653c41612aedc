/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command descriptor blocks.  Layouts: SPC-4 chapter 6, SBC-3 chapter 5.  The control byte is always 0. */

#include "scsi/cdb.h"

#include "util/bytes.h"

#include <string.h>

enum {
  OP_TEST_UNIT_READY = 0x00,
  OP_INQUIRY = 0x12,
  OP_MODE_SENSE6 = 0x1a,
  OP_START_STOP_UNIT = 0x1b,
  OP_READ_CAPACITY10 = 0x25,
  OP_READ10 = 0x28,
  OP_WRITE10 = 0x2a,
  OP_SYNC_CACHE10 = 0x35,
  OP_UNMAP = 0x42,
  OP_MODE_SENSE10 = 0x5a,
  OP_PERSISTENT_RESERVE_IN = 0x5e,
  OP_READ16 = 0x88,
  OP_WRITE16 = 0x8a,
  OP_SYNC_CACHE16 = 0x91,
  OP_WRITE_SAME16 = 0x93,
  OP_SERVICE_ACTION_IN16 = 0x9e,
  OP_REPORT_LUNS = 0xa0,
};

enum { SA_READ_CAPACITY16 = 0x10, SA_GET_LBA_STATUS = 0x12 };

#define INQUIRY_EVPD 0x01
#define START_UNIT_START 0x01
#define RW_FUA 0x08
#define WRITE_SAME_UNMAP 0x08

static void
begin (uint8_t *cdb, uint8_t opcode)
{
  memset (cdb, 0, LUNFS_CDB_MAX);
  cdb[0] = opcode;
}

/* The form that READ, WRITE, SYNCHRONIZE CACHE and WRITE SAME share. */
static unsigned
block_range10 (uint8_t *cdb, uint8_t opcode, uint8_t flags, uint32_t lba, uint16_t nblocks)
{
  begin (cdb, opcode);
  cdb[1] = flags;
  lunfs_put_be32 (cdb + 2, lba);
  lunfs_put_be16 (cdb + 7, nblocks);
  return 10;
}

static unsigned
block_range16 (uint8_t *cdb, uint8_t opcode, uint8_t flags, uint64_t lba, uint32_t nblocks)
{
  begin (cdb, opcode);
  cdb[1] = flags;
  lunfs_put_be64 (cdb + 2, lba);
  lunfs_put_be32 (cdb + 10, nblocks);
  return 16;
}

unsigned
lunfs_cdb_test_unit_ready (uint8_t *cdb)
{
  begin (cdb, OP_TEST_UNIT_READY);
  return 6;
}

/* IMMED stays 0: GOOD means that the unit has started. */
unsigned
lunfs_cdb_start_unit (uint8_t *cdb)
{
  begin (cdb, OP_START_STOP_UNIT);
  cdb[4] = START_UNIT_START;
  return 6;
}

unsigned
lunfs_cdb_inquiry (uint8_t *cdb, bool evpd, uint8_t page, uint16_t alloc_bytes)
{
  begin (cdb, OP_INQUIRY);
  if (evpd) {
    cdb[1] = INQUIRY_EVPD;
    cdb[2] = page; /* must be 0 without EVPD (SPC-4 6.6.1) */
  }
  lunfs_put_be16 (cdb + 3, alloc_bytes);
  return 6;
}

/* SELECT REPORT 00h: all but the well known logical units. */
unsigned
lunfs_cdb_report_luns (uint8_t *cdb, uint32_t alloc_bytes)
{
  begin (cdb, OP_REPORT_LUNS);
  lunfs_put_be32 (cdb + 6, alloc_bytes);
  return 12;
}

unsigned
lunfs_cdb_read_capacity10 (uint8_t *cdb)
{
  begin (cdb, OP_READ_CAPACITY10);
  return 10;
}

unsigned
lunfs_cdb_read_capacity16 (uint8_t *cdb, uint32_t alloc_bytes)
{
  return block_range16 (cdb, OP_SERVICE_ACTION_IN16, SA_READ_CAPACITY16, 0, alloc_bytes);
}

/* PC 00b: current values.  DBD stays 0, as Linux has it for disks: some targets refuse the bit, and our
 * parser steps over block descriptors. */
unsigned
lunfs_cdb_mode_sense6 (uint8_t *cdb, uint8_t page, uint8_t alloc_bytes)
{
  begin (cdb, OP_MODE_SENSE6);
  cdb[2] = page & 0x3f;
  cdb[4] = alloc_bytes;
  return 6;
}

unsigned
lunfs_cdb_mode_sense10 (uint8_t *cdb, uint8_t page, uint16_t alloc_bytes)
{
  begin (cdb, OP_MODE_SENSE10);
  cdb[2] = page & 0x3f;
  lunfs_put_be16 (cdb + 7, alloc_bytes);
  return 10;
}

unsigned
lunfs_cdb_read (uint8_t *cdb, bool use10, uint64_t lba, uint32_t nblocks)
{
  if (use10)
    return block_range10 (cdb, OP_READ10, 0, (uint32_t) lba, (uint16_t) nblocks);
  return block_range16 (cdb, OP_READ16, 0, lba, nblocks);
}

unsigned
lunfs_cdb_write (uint8_t *cdb, bool use10, uint64_t lba, uint32_t nblocks, bool fua)
{
  uint8_t flags = fua ? RW_FUA : 0;

  if (use10)
    return block_range10 (cdb, OP_WRITE10, flags, (uint32_t) lba, (uint16_t) nblocks);
  return block_range16 (cdb, OP_WRITE16, flags, lba, nblocks);
}

unsigned
lunfs_cdb_sync_cache16 (uint8_t *cdb)
{
  return block_range16 (cdb, OP_SYNC_CACHE16, 0, 0, 0);
}

unsigned
lunfs_cdb_sync_cache10 (uint8_t *cdb)
{
  return block_range10 (cdb, OP_SYNC_CACHE10, 0, 0, 0);
}

unsigned
lunfs_cdb_write_same16 (uint8_t *cdb, uint64_t lba, uint32_t nblocks, bool unmap)
{
  return block_range16 (cdb, OP_WRITE_SAME16, unmap ? WRITE_SAME_UNMAP : 0, lba, nblocks);
}

/* ANCHOR stays 0: the blocks are given back to the pool. */
unsigned
lunfs_cdb_unmap (uint8_t *cdb, uint16_t param_bytes)
{
  begin (cdb, OP_UNMAP);
  lunfs_put_be16 (cdb + 7, param_bytes);
  return 10;
}

unsigned
lunfs_cdb_get_lba_status (uint8_t *cdb, uint64_t lba, uint32_t alloc_bytes)
{
  return block_range16 (cdb, OP_SERVICE_ACTION_IN16, SA_GET_LBA_STATUS, lba, alloc_bytes);
}

/* SPC-4 6.35: MAINTENANCE IN; length-only parameter data format. */
unsigned
lunfs_cdb_report_port_groups (uint8_t *cdb, uint32_t alloc_bytes)
{
  memset (cdb, 0, LUNFS_CDB_MAX);
  cdb[0] = 0xa3;
  cdb[1] = 0x0a;
  lunfs_put_be32 (cdb + 6, alloc_bytes);
  return 12;
}

unsigned
lunfs_cdb_read_keys (uint8_t *cdb, uint16_t alloc_bytes)
{
  begin (cdb, OP_PERSISTENT_RESERVE_IN); /* service action 0 */
  lunfs_put_be16 (cdb + 7, alloc_bytes);
  return 10;
}

void
lunfs_unmap_param (uint8_t *buf, uint64_t lba, uint32_t nblocks)
{
  memset (buf, 0, LUNFS_UNMAP_PARAM_BYTES);
  lunfs_put_be16 (buf, LUNFS_UNMAP_PARAM_BYTES - 2); /* data length does not count itself */
  lunfs_put_be16 (buf + 2, 16);                      /* one block descriptor */
  lunfs_put_be64 (buf + 8, lba);
  lunfs_put_be32 (buf + 16, nblocks);
}
