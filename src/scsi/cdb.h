/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command descriptor blocks and parameter lists that lunfs sends (SPC-4, SBC-3).  Pure; any thread.
 * Each builder fills @cdb (16 bytes, zeroed first) and returns the CDB's length in bytes. */
#ifndef LUNFS_SCSI_CDB_H
#define LUNFS_SCSI_CDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUNFS_CDB_MAX 16

unsigned lunfs_cdb_test_unit_ready (uint8_t *cdb);
unsigned lunfs_cdb_start_unit (uint8_t *cdb);
/* @evpd false: standard data, @page ignored. */
unsigned lunfs_cdb_inquiry (uint8_t *cdb, bool evpd, uint8_t page, uint16_t alloc_bytes);
unsigned lunfs_cdb_report_luns (uint8_t *cdb, uint32_t alloc_bytes);
unsigned lunfs_cdb_read_capacity10 (uint8_t *cdb);
unsigned lunfs_cdb_read_capacity16 (uint8_t *cdb, uint32_t alloc_bytes);
unsigned lunfs_cdb_mode_sense6 (uint8_t *cdb, uint8_t page, uint8_t alloc_bytes);
unsigned lunfs_cdb_mode_sense10 (uint8_t *cdb, uint8_t page, uint16_t alloc_bytes);

/* READ/WRITE.  @use10: the 10-byte form (caller made sure that lba < 2^32 and nblocks < 2^16). */
unsigned lunfs_cdb_read (uint8_t *cdb, bool use10, uint64_t lba, uint32_t nblocks);
unsigned lunfs_cdb_write (uint8_t *cdb, bool use10, uint64_t lba, uint32_t nblocks, bool fua);
/* Whole logical unit: lba 0, nblocks 0; IMMED is never set, so GOOD means stable. */
unsigned lunfs_cdb_sync_cache16 (uint8_t *cdb);
unsigned lunfs_cdb_sync_cache10 (uint8_t *cdb);
/* WRITE SAME(16): one block of data out (zeroes); @unmap sets the UNMAP bit. */
unsigned lunfs_cdb_write_same16 (uint8_t *cdb, uint64_t lba, uint32_t nblocks, bool unmap);
unsigned lunfs_cdb_unmap (uint8_t *cdb, uint16_t param_bytes);
unsigned lunfs_cdb_get_lba_status (uint8_t *cdb, uint64_t lba, uint32_t alloc_bytes);

unsigned lunfs_cdb_report_port_groups (uint8_t *cdb, uint32_t alloc_bytes);
/* PERSISTENT RESERVE IN, READ KEYS (SPC-4 6.15.2) */
unsigned lunfs_cdb_read_keys (uint8_t *cdb, uint16_t alloc_bytes);

/* UNMAP parameter list (SBC-3 5.28.2) for one run of blocks.  @buf holds LUNFS_UNMAP_PARAM_BYTES. */
#define LUNFS_UNMAP_PARAM_BYTES 24
void lunfs_unmap_param (uint8_t *buf, uint64_t lba, uint32_t nblocks);

#endif
