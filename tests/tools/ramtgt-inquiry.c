/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that describe the unit. */
#include "ramtgt.h"

#include <stdio.h>

/* --- INQUIRY -----------------------------------------------------------------------------------------------
 */

static uint64_t
standard_inquiry (const Lun *lun, uint8_t *p)
{
  p[0] = lun ? 0x00 : 0x7f;
  p[2] = 6;    /* SPC-4 */
  p[3] = 0x12; /* HISUP, response format 2 */
  p[4] = 91;
  p[7] = 2; /* CMDQUE */
  memcpy (p + 8, "LUNFS   RAMTGT          0001", 28);
  put16 (p + 58, 0x0960); /* iSCSI */
  put16 (p + 60, 0x0460); /* SPC-4 */
  put16 (p + 62, 0x04c0); /* SBC-3 */
  return 96;
}

static uint64_t
page_supported (const Lun *lun, uint8_t *p)
{
  static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb2 };

  (void)lun;
  memcpy (p, pages, sizeof pages);
  return sizeof pages - !rt_conf.provisioning;
}

static uint64_t
page_serial (const Lun *lun, uint8_t *p)
{
  uint64_t len = strlen (lun->serial);

  memcpy (p, lun->serial, len);
  return len;
}

static uint64_t
designator (uint8_t *p, uint8_t code_set, uint8_t association_type, const void *data, uint64_t len)
{
  p[0] = (uint8_t)(0x50 | code_set); /* protocol: iSCSI */
  p[1] = (uint8_t)(0x80 | association_type);
  p[3] = (uint8_t)len;
  memcpy (p + 4, data, len);
  return 4 + len;
}

static uint64_t
page_identification (const Lun *lun, uint8_t *p)
{
  char vendor[64], port[256] = { 0 };
  uint64_t n;

  snprintf (vendor, sizeof vendor, "LUNFS   %s", lun->serial);
  snprintf (port, sizeof port, "%.220s,t,0x0001", rt_conf.iqn);
  n = designator (p, 1, 0x03, lun->naa, sizeof lun->naa);
  n += designator (p + n, 2, 0x01, vendor, strlen (vendor));
  n += designator (p + n, 3, 0x18, port, (strlen (port) + 4) & ~3ull); /* the target port's name */
  return n;
}

static uint64_t
page_block_limits (const Lun *lun, uint8_t *page)
{
  uint8_t *p = page - 4; /* offsets as in the standard */

  (void)lun;
  p[4] = 1; /* WSNZ */
  put16 (p + 6, (uint16_t)(LUN_PAGE / rt_conf.block_size));
  put32 (p + 8, (uint32_t)rt_conf.max_transfer);
  if (rt_conf.unmap) {
    put32 (p + 20, rt_conf.max_unmap ? (uint32_t)rt_conf.max_unmap : UINT32_MAX);
    put32 (p + 24, UNMAP_DESCRIPTORS_MAX);
    put32 (p + 28, (uint32_t)(LUN_PAGE / rt_conf.block_size));
    put32 (p + 32, 0x80000000); /* UGAVALID, aligned at 0 */
  }
  if (rt_conf.write_same)
    put64 (p + 36, rt_conf.max_ws);
  return 60;
}

static uint64_t
page_provisioning (const Lun *lun, uint8_t *p)
{
  (void)lun;
  p[1] = (uint8_t)(rt_conf.unmap << 7 | (rt_conf.write_same ? 0x60 : 0)
                   | 0x04); /* LBPU, LBPWS, LBPWS10, LBPRZ */
  p[2] = 2;                 /* thin */
  return 4;
}

static const struct Page {
  uint8_t code;
  uint64_t (*fill) (const Lun *lun, uint8_t *p);
  const bool *enabled;
} pages[] = {
  { 0x00, page_supported, NULL },
  { 0x80, page_serial, NULL },
  { 0x83, page_identification, NULL },
  { 0xb0, page_block_limits, NULL },
  { 0xb2, page_provisioning, &rt_conf.provisioning },
};

void
op_inquiry (Cmd *cmd)
{
  uint64_t allocation = get16 (cmd->cdb + 3), n;
  uint8_t *p = cmd->scratch;

  if (!(cmd->cdb[1] & 1)) {
    if (cmd->cdb[2])
      scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
    else
      scsi_reply (cmd, standard_inquiry (cmd->lun, p), allocation);
    return;
  }
  if (!cmd->lun) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_NO_LUN);
    return;
  }
  for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
    if (pages[i].code == cmd->cdb[2] && (!pages[i].enabled || *pages[i].enabled)) {
      p[1] = pages[i].code;
      n = pages[i].fill (cmd->lun, p + 4);
      put16 (p + 2, (uint16_t)n);
      scsi_reply (cmd, n + 4, allocation);
      return;
    }
  scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
}

/* --- capacity ----------------------------------------------------------------------------------------------
 */

void
op_read_capacity10 (Cmd *cmd)
{
  put32 (cmd->scratch, (uint32_t)min64 (cmd->lun->nblocks - 1, UINT32_MAX));
  put32 (cmd->scratch + 4, (uint32_t)rt_conf.block_size);
  scsi_reply (cmd, 8, 8);
}

void
op_read_capacity16 (Cmd *cmd)
{
  uint8_t *p = cmd->scratch;

  put64 (p, cmd->lun->nblocks - 1);
  put32 (p + 8, (uint32_t)rt_conf.block_size);
  p[13] = (uint8_t)rt_conf.physical_exponent;
  if (rt_conf.provisioning)
    p[14] = 0xc0; /* LBPME, LBPRZ */
  scsi_reply (cmd, 32, get32 (cmd->cdb + 10));
}

/* --- mode pages --------------------------------------------------------------------------------------------
 */

static uint64_t
mode_caching (uint8_t *p, unsigned control)
{
  p[0] = 0x08;
  p[1] = 18;
  if (control != 1)
    p[2] = rt_conf.wce ? 0x04 : 0;
  return 20;
}

static uint64_t
mode_control (uint8_t *p, unsigned control)
{
  (void)control;
  p[0] = 0x0a;
  p[1] = 10;
  return 12;
}

static const struct ModePage {
  uint8_t code;
  uint64_t (*fill) (uint8_t *p, unsigned control);
} mode_pages[] = { { 0x08, mode_caching }, { 0x0a, mode_control } };

static uint64_t
block_descriptor (const Lun *lun, uint8_t *p)
{
  put32 (p, (uint32_t)min64 (lun->nblocks, UINT32_MAX));
  put32 (p + 4, (uint32_t)rt_conf.block_size); /* the top byte stays zero */
  return 8;
}

void
op_mode_sense (Cmd *cmd)
{
  bool wide = cmd->cdb[0] == 0x5a, known = false;
  unsigned code = cmd->cdb[2] & 0x3f, control = cmd->cdb[2] >> 6;
  uint8_t flags = (uint8_t)(rt_conf.write_protect << 7 | rt_conf.dpofua << 4), *p = cmd->scratch;
  uint64_t n = wide ? 8 : 4, descriptor = 0;

  if (!(cmd->cdb[1] & 0x08))
    descriptor = block_descriptor (cmd->lun, p + n);
  n += descriptor;
  for (size_t i = 0; i < sizeof mode_pages / sizeof *mode_pages; i++)
    if (code == mode_pages[i].code || code == 0x3f) {
      n += mode_pages[i].fill (p + n, control);
      known = true;
    }
  if (control == 3)
    scsi_fail (cmd, KEY_ILLEGAL, ASC_SAVING);
  else if (!known || (cmd->cdb[3] && cmd->cdb[3] != 0xff))
    scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
  if (cmd->status)
    return;
  if (wide) {
    put16 (p, (uint16_t)(n - 2));
    p[3] = flags;
    put16 (p + 6, (uint16_t)descriptor);
  } else {
    p[0] = (uint8_t)(n - 1);
    p[2] = flags;
    p[3] = (uint8_t)descriptor;
  }
  scsi_reply (cmd, n, wide ? get16 (cmd->cdb + 7) : cmd->cdb[4]);
}

/* --- the rest ----------------------------------------------------------------------------------------------
 */

void
op_report_luns (Cmd *cmd)
{
  uint64_t n = 8;

  for (uint32_t i = 0; i < rt_conf.nluns && n + 8 <= SCRATCH_MAX; i++, n += 8) {
    uint32_t number = lun_nth (i)->number;
    put16 (cmd->scratch + n, (uint16_t)(number < 256 ? number : 0x4000 | number));
  }
  put32 (cmd->scratch, (uint32_t)(rt_conf.nluns * 8));
  scsi_reply (cmd, n, get32 (cmd->cdb + 6));
}

void
op_request_sense (Cmd *cmd)
{
  uint8_t sense[20] = { 0 };
  bool *attention = cmd->lun ? &cmd->conn->attention[cmd->lun_number - rt_conf.first_lun] : NULL;

  if (!cmd->lun)
    scsi_sense (sense, KEY_ILLEGAL, ASC_NO_LUN);
  else if (*attention)
    scsi_sense (sense, KEY_ATTENTION, ASC_RESET);
  else
    scsi_sense (sense, KEY_NONE, 0);
  if (attention)
    *attention = false;
  memcpy (cmd->scratch, sense + 2, 18);
  scsi_reply (cmd, 18, cmd->cdb[4]);
}
