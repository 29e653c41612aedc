/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsers for what a logical unit says about itself: INQUIRY, VPD pages, READ CAPACITY, MODE SENSE,
 * REPORT LUNS, GET LBA STATUS.
 *
 * Pure: raw bytes in, struct out; no I/O, no state, any thread.  Every byte comes from the network, so no
 * parser reads past @len, and each says false to what it cannot use, leaving *out untouched. */
#ifndef LUNFS_SCSI_VPD_H
#define LUNFS_SCSI_VPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* INQUIRY standard data (SPC-4 6.6.2). */
typedef struct {
  uint8_t qualifier; /* 0 = connected, 1 = not connected but possible, 3 = no such LUN */
  uint8_t device_type;
  bool removable;
  uint8_t tpgs;                             /* ALUA: 0 none, 1 implicit, 2 explicit, 3 both */
  char vendor[9], product[17], revision[5]; /* trimmed, printable ASCII only */
} LunfsInquiry;
bool lunfs_inquiry_parse (const uint8_t *buf, size_t len, LunfsInquiry *out);

/* VPD 00h: which pages exist.  Returns true if @page is listed. */
bool lunfs_vpd_has_page (const uint8_t *buf, size_t len, uint8_t page);

/* Identity of a LUN: VPD 83h designators with association 0 (best: NAA, EUI-64, T10, name string), else the
 * serial number of VPD 80h.  Text form as in /dev/disk/by-id without its scheme prefix ("naa.6001405...",
 * "eui.0011...", "t10.VENDOR...", "serial.XYZ"); "" = the LUN has no identity. */
#define LUNFS_IDENTITY_MAX 256
typedef struct {
  char text[LUNFS_IDENTITY_MAX];
  char serial[LUNFS_IDENTITY_MAX]; /* VPD 80h, trimmed; "" if none */
} LunfsIdentity;
/* Fill text from a VPD 83h page; false if it has no usable designator for the logical unit. */
bool lunfs_vpd83_parse (const uint8_t *buf, size_t len, LunfsIdentity *id);
/* Fill serial from a VPD 80h page, and text too if that is still empty. */
bool lunfs_vpd80_parse (const uint8_t *buf, size_t len, LunfsIdentity *id);

/* VPD B0h block limits, B2h logical block provisioning (SBC-3 6.6.3, 6.6.4).  0 = not reported / no limit. */
typedef struct {
  uint32_t max_transfer_blocks, opt_transfer_blocks;
  uint32_t max_unmap_blocks, max_unmap_descriptors; /* 0 blocks: UNMAP is not available */
  uint32_t unmap_granularity_blocks, unmap_alignment_blocks;
  uint64_t max_write_same_blocks;
  bool wsnz;                 /* WRITE SAME with 0 blocks is refused */
  bool lbpu, lbpws, lbpws10; /* UNMAP, WRITE SAME(16)/(10) with UNMAP bit supported */
  uint8_t lbprz; /* B2h bits 4:2; non-zero = unmapped blocks read as zero (010b, a vendor's pattern, gives 0) */
} LunfsLimits;
bool lunfs_vpdb0_parse (const uint8_t *buf, size_t len, LunfsLimits *limits);
bool lunfs_vpdb2_parse (const uint8_t *buf, size_t len, LunfsLimits *limits);

/* READ CAPACITY(16) (SBC-3 5.16) and (10).  The 10 form with last LBA FFFFFFFFh gives nblocks 0: ask the 16 form. */
typedef struct {
  uint64_t nblocks;
  uint32_t block_size;          /* logical block length in bytes */
  uint32_t physical_block_size; /* bytes; = block_size if not reported */
  bool lbpme, lbprz, protected; /* protected: PROT_EN */
} LunfsCapacity;
/* False also for sizes lunfs cannot use: block length not a power of two in 512..65536, or byte size over 2^63-1. */
bool lunfs_capacity16_parse (const uint8_t *buf, size_t len, LunfsCapacity *out);
bool lunfs_capacity10_parse (const uint8_t *buf, size_t len, LunfsCapacity *out);

/* MODE SENSE(6)/(10) answer that holds (at least) the caching page 08h (SBC-3 6.5.5). */
typedef struct {
  bool write_protected; /* WP */
  bool dpofua;          /* DPOFUA: FUA may be used */
  bool have_caching;    /* page 08h was there; wce is meaningful */
  bool wce;
} LunfsModes;
bool lunfs_mode6_parse (const uint8_t *buf, size_t len, LunfsModes *out);
bool lunfs_mode10_parse (const uint8_t *buf, size_t len, LunfsModes *out);

/* REPORT LUNS (SPC-4 6.33): up to @max LUN numbers (single level: peripheral or flat space addressing, 0..16383;
 * others are skipped), sorted, into @luns.  Returns how many, or -1 if the answer is unusable.
 * @out_needed_bytes: what the list would need, 8 + 8 * n, to ask again with a larger buffer; may be NULL. */
int lunfs_report_luns_parse (const uint8_t *buf, size_t len, uint16_t *luns, int max, uint32_t *out_needed_bytes);

/* The 16 bits that libiscsi puts in the LUN field's first two bytes: peripheral form below 256, flat form above. */
uint16_t lunfs_lun_wire (uint16_t lun);

/* GET LBA STATUS (SBC-3 5.4): the state of the run of blocks that holds @lba.
 * False if the answer does not start at @lba (then all must be taken as mapped). */
bool lunfs_lba_status_parse (const uint8_t *buf, size_t len, uint64_t lba, uint32_t *out_nblocks, bool *out_mapped);

/* ALUA (SPC-4 5.11).  LUNFS_ALUA_NONE: the LUN does not report it. */
typedef enum {
  LUNFS_ALUA_OPTIMIZED = 0x0,
  LUNFS_ALUA_NON_OPTIMIZED = 0x1,
  LUNFS_ALUA_STANDBY = 0x2,
  LUNFS_ALUA_UNAVAILABLE = 0x3,
  LUNFS_ALUA_TRANSITIONING = 0xf,
  LUNFS_ALUA_NONE = 0x100,
} LunfsAluaState;
/* The target port group of the port that answered: the designator in VPD 83h.  False: none. */
bool lunfs_vpd83_port_group (const uint8_t *buf, size_t len, uint16_t *out_group);
/* REPORT TARGET PORT GROUPS (without extended header): the state of @group; false if it is not there. */
bool lunfs_port_groups_parse (const uint8_t *buf, size_t len, uint16_t group, LunfsAluaState *out);
const char *lunfs_alua_name (LunfsAluaState state); /* "" for what has no name */

#endif
