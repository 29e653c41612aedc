/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SCSI commands: the table says what exists, who may be asked, and what switches it off. */
#include "ramtgt.h"

#include <stdlib.h>

enum { FUA = 0x08, DPO = 0x10, WS_NDOB = 0x01, WS_UNMAP = 0x08, WS_ANCHOR = 0x10 };

/* --- addresses ---------------------------------------------------------------------------------------------
 */

static void
parse_10 (Cmd *cmd)
{
  cmd->lba = get32 (cmd->cdb + 2);
  cmd->nblocks = get16 (cmd->cdb + 7);
}

static void
parse_16 (Cmd *cmd)
{
  cmd->lba = get64 (cmd->cdb + 2);
  cmd->nblocks = get32 (cmd->cdb + 10);
}

static bool
in_range (const Lun *lun, uint64_t lba, uint64_t nblocks)
{
  return lba <= lun->nblocks && nblocks <= lun->nblocks - lba;
}

static bool
check_range (Cmd *cmd)
{
  if (in_range (cmd->lun, cmd->lba, cmd->nblocks))
    return true;
  scsi_fail (cmd, KEY_ILLEGAL, ASC_LBA_RANGE);
  return false;
}

static uint64_t
bytes (uint64_t nblocks)
{
  return nblocks * rt_conf.block_size;
}

/* --- reading and writing -----------------------------------------------------------------------------------
 */

static bool
check_transfer (Cmd *cmd)
{
  if (cmd->cdb[0] >= 0x80)
    parse_16 (cmd);
  else
    parse_10 (cmd);
  if (cmd->cdb[1] & 0xe0 || (cmd->cdb[1] & (FUA | DPO) && !rt_conf.dpofua)
      || (rt_conf.max_transfer && cmd->nblocks > rt_conf.max_transfer)) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
    return false;
  }
  return check_range (cmd);
}

static void
start_read (Cmd *cmd)
{
  if (!check_transfer (cmd))
    return;
  cmd->in = cmd->lun->mem + bytes (cmd->lba);
  cmd->in_len = bytes (cmd->nblocks);
  stat_add (STAT_READ_BYTES, cmd->in_len);
  if (cmd->cdb[1] & FUA)
    stat_add (STAT_FUA_READS, 1);
}

static void
start_write (Cmd *cmd)
{
  if (!check_transfer (cmd))
    return;
  cmd->out = cmd->lun->mem + bytes (cmd->lba);
  cmd->out_len = bytes (cmd->nblocks);
  lun_provision (cmd->lun, bytes (cmd->lba), cmd->out_len);
}

static void
finish_write (Cmd *cmd)
{
  lun_provision (cmd->lun, bytes (cmd->lba), cmd->out_len); /* again: an unmap may have come between */
  stat_add (STAT_WRITE_BYTES, cmd->out_len);
  if (cmd->cdb[1] & FUA)
    stat_add (STAT_FUA_WRITES, 1);
}

static void
start_sync (Cmd *cmd)
{
  if (cmd->cdb[0] == 0x91)
    parse_16 (cmd);
  else
    parse_10 (cmd);
  if (check_range (cmd))
    stat_add (STAT_SYNCS, 1); /* memory is as stable as it gets */
}

static void
start_nothing (Cmd *cmd)
{
  (void)cmd;
}

/* --- provisioning ------------------------------------------------------------------------------------------
 */

/* A parameter list of @len bytes of our own to receive. */
static bool
want_param (Cmd *cmd, uint64_t len)
{
  if (len > PARAM_LIST_MAX || !(cmd->param = calloc (1, len + 1))) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_PARAM_LENGTH);
    return false;
  }
  cmd->out = cmd->param;
  cmd->out_len = len;
  return true;
}

static void
start_unmap (Cmd *cmd)
{
  if (cmd->cdb[1] & 1) /* ANCHOR */
    scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
  else
    want_param (cmd, get16 (cmd->cdb + 7));
}

static void
finish_unmap (Cmd *cmd)
{
  const uint8_t *list = cmd->param;
  uint64_t len = min64 (cmd->out_len, cmd->edtl), count, total = 0;

  if (!len)
    return;
  if (len < 8 || get16 (list + 2) > len - 8u) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_PARAM_LENGTH);
    return;
  }
  count = get16 (list + 2) / 16;
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t *d = list + 8 + 16 * i;
    total += get32 (d + 8);
    if (!in_range (cmd->lun, get64 (d), get32 (d + 8))) {
      scsi_fail (cmd, KEY_ILLEGAL, ASC_LBA_RANGE);
      return;
    }
  }
  if (count > UNMAP_DESCRIPTORS_MAX || (rt_conf.max_unmap && total > rt_conf.max_unmap)) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_PARAM_FIELD);
    return;
  }
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t *d = list + 8 + 16 * i;
    lun_zero (cmd->lun, bytes (get64 (d)), bytes (get32 (d + 8)), false);
  }
  stat_add (STAT_UNMAPPED_BYTES, bytes (total));
}

static void
start_write_same (Cmd *cmd)
{
  bool wide = cmd->cdb[0] == 0x93;

  if (wide)
    parse_16 (cmd);
  else
    parse_10 (cmd);
  if (cmd->cdb[1] & (wide ? 0xf6 : 0xf7) || !cmd->nblocks
      || (rt_conf.max_ws && cmd->nblocks > rt_conf.max_ws))
    scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
  else if (check_range (cmd) && !(cmd->cdb[1] & WS_NDOB))
    want_param (cmd, rt_conf.block_size);
}

static bool
all_zero (const uint8_t *p, size_t len)
{
  return !p || (!p[0] && !memcmp (p, p + 1, len - 1));
}

static void
finish_write_same (Cmd *cmd)
{
  uint64_t offset = bytes (cmd->lba), len = bytes (cmd->nblocks);
  bool unmap = cmd->cdb[1] & WS_UNMAP;

  if (all_zero (cmd->param, rt_conf.block_size)) {
    lun_zero (cmd->lun, offset, len, !unmap);
    if (unmap)
      stat_add (STAT_UNMAPPED_BYTES, len);
    return;
  }
  lun_provision (cmd->lun, offset, len);
  for (uint64_t i = 0; i < cmd->nblocks; i++)
    memcpy (cmd->lun->mem + offset + bytes (i), cmd->param, rt_conf.block_size);
}

static void
start_lba_status (Cmd *cmd)
{
  uint64_t allocation = get32 (cmd->cdb + 10), lba = get64 (cmd->cdb + 2), n = 8;

  if (lba >= cmd->lun->nblocks) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_LBA_RANGE);
    return;
  }
  do {
    uint64_t limit = min64 (cmd->lun->nblocks - lba, 0xffffffffull / 8 * 8);
    bool mapped;
    uint64_t nblocks = lun_extent (cmd->lun, bytes (lba), bytes (limit), &mapped) / rt_conf.block_size;
    uint8_t *d = cmd->scratch + n;
    put64 (d, lba);
    put32 (d + 8, (uint32_t)nblocks);
    d[12] = mapped ? 0 : 1;
    lba += nblocks;
    n += 16;
  } while (lba < cmd->lun->nblocks && n + 16 <= min64 (allocation, SCRATCH_MAX));
  put32 (cmd->scratch, (uint32_t)n - 4);
  scsi_reply (cmd, n, allocation);
}

/* --- the table ---------------------------------------------------------------------------------------------
 */

static const ScsiOp ops[] = {
  { 0x88, -1, "READ(16)", OP_TRANSFER, start_read, NULL, &rt_conf.rw16 },
  { 0x8a, -1, "WRITE(16)", OP_TRANSFER | OP_WRITES, start_write, finish_write, &rt_conf.rw16 },
  { 0x28, -1, "READ(10)", OP_TRANSFER, start_read, NULL, NULL },
  { 0x2a, -1, "WRITE(10)", OP_TRANSFER | OP_WRITES, start_write, finish_write, NULL },
  { 0x91, -1, "SYNCHRONIZE CACHE(16)", 0, start_sync, NULL, NULL },
  { 0x35, -1, "SYNCHRONIZE CACHE(10)", 0, start_sync, NULL, NULL },
  { 0x42, -1, "UNMAP", OP_WRITES, start_unmap, finish_unmap, &rt_conf.unmap },
  { 0x93, -1, "WRITE SAME(16)", OP_WRITES, start_write_same, finish_write_same, &rt_conf.write_same },
  { 0x41, -1, "WRITE SAME(10)", OP_WRITES, start_write_same, finish_write_same, &rt_conf.write_same },
  { 0x9e, 0x12, "GET LBA STATUS", 0, start_lba_status, NULL, &rt_conf.provisioning },
  { 0x9e, 0x10, "READ CAPACITY(16)", 0, op_read_capacity16, NULL, &rt_conf.rw16 },
  { 0x25, -1, "READ CAPACITY(10)", 0, op_read_capacity10, NULL, NULL },
  { 0x00, -1, "TEST UNIT READY", 0, start_nothing, NULL, NULL },
  { 0x03, -1, "REQUEST SENSE", OP_ANY_LUN | OP_NO_ATTENTION, op_request_sense, NULL, NULL },
  { 0x12, -1, "INQUIRY", OP_ANY_LUN | OP_NO_ATTENTION, op_inquiry, NULL, NULL },
  { 0x1a, -1, "MODE SENSE(6)", 0, op_mode_sense, NULL, NULL },
  { 0x5a, -1, "MODE SENSE(10)", 0, op_mode_sense, NULL, NULL },
  { 0x1b, -1, "START STOP UNIT", 0, start_nothing, NULL, NULL },
  { 0x1e, -1, "PREVENT ALLOW MEDIUM REMOVAL", 0, start_nothing, NULL, NULL },
  { 0xa0, -1, "REPORT LUNS", OP_ANY_LUN | OP_NO_ATTENTION, op_report_luns, NULL, NULL },
};

const ScsiOp *
scsi_nth (unsigned index)
{
  return index < sizeof ops / sizeof *ops ? &ops[index] : NULL;
}

unsigned
scsi_index (const ScsiOp *op)
{
  return (unsigned)(op - ops);
}

const ScsiOp *
scsi_find (const uint8_t *cdb)
{
  for (const ScsiOp *op = ops; op < ops + sizeof ops / sizeof *ops; op++)
    if (op->opcode == cdb[0] && (op->service_action < 0 || op->service_action == (cdb[1] & 0x1f)))
      return !op->enabled || *op->enabled ? op : NULL;
  return NULL;
}

void
scsi_fail (Cmd *cmd, uint8_t key, uint16_t asc)
{
  cmd->status = 2;
  cmd->key = key;
  cmd->asc = asc;
  cmd->in = NULL;
  cmd->out = NULL;
  cmd->in_len = cmd->out_len = 0;
}

void
scsi_reply (Cmd *cmd, uint64_t len, uint64_t allocation)
{
  cmd->in = cmd->scratch;
  cmd->in_len = min64 (min64 (len, allocation), SCRATCH_MAX);
}

void
scsi_sense (uint8_t *p, uint8_t key, uint16_t asc)
{
  put16 (p, 18);
  p[2] = 0x70;
  p[4] = key;
  p[9] = 10;
  put16 (p + 14, asc);
}

void
scsi_start (Cmd *cmd)
{
  const ScsiOp *op = cmd->op = scsi_find (cmd->cdb);
  bool *attention;

  scsi_count (op);
  cmd->lun = lun_find (cmd->lun_number);
  if (op && !(op->flags & OP_TRANSFER)) {
    conn_reserve (cmd->conn, SCRATCH_MAX / 512 + 1, SCRATCH_MAX);
    cmd->scratch = conn_heap (cmd->conn, op->opcode == 0x9e || op->opcode == 0xa0 ? SCRATCH_MAX : 1024);
  }
  if (!cmd->lun && !(op && op->flags & OP_ANY_LUN)) {
    scsi_fail (cmd, KEY_ILLEGAL, ASC_NO_LUN);
    return;
  }
  attention = cmd->lun ? &cmd->conn->attention[cmd->lun_number - rt_conf.first_lun] : NULL;
  if (attention && *attention && !(op && op->flags & OP_NO_ATTENTION)) {
    *attention = false;
    stat_add (STAT_UNIT_ATTENTIONS, 1);
    scsi_fail (cmd, KEY_ATTENTION, ASC_RESET);
    return;
  }
  if (!op)
    scsi_fail (cmd, KEY_ILLEGAL, ASC_OPCODE);
  else if (op->flags & OP_WRITES && rt_conf.write_protect)
    scsi_fail (cmd, KEY_PROTECT, ASC_PROTECTED);
  else
    op->start (cmd);
  if (!cmd->status && cmd->out_len && !cmd->writes)
    scsi_fail (cmd, KEY_ILLEGAL, ASC_CDB_FIELD);
}

void
scsi_finish (Cmd *cmd)
{
  if (cmd->op->finish)
    cmd->op->finish (cmd);
}
