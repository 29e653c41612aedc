/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two images of the disk: now, what READ sees, and stable, what survives a loss of power; a block that differs is marked
 * dirty.  A command's own state (Task) stands in the space the transport contract gives it, so nothing is allocated. */
#include "config.h"

#include "iscsi/ram.h"

#include "lunfs/error.h"
#include "scsi/sense.h"
#include "util/bytes.h"

#include <string.h>

enum { LOGIN, UP, DEAD };

typedef struct {
  LunfsTransport base;
  LunfsRam *ram;
  GList link; /* in LunfsRam.connections */
  LunfsLane *lane;
  const LunfsTransportEvents *events;
  void *user;
  unsigned number;
  int state;
  LunfsLoginOutcome outcome;
  bool silent_login, leaving;
  const char *why;
  LunfsTimer timer; /* login's answer; death; the answer to a logout */
  LunfsTimer pong;
  LunfsTimer reset;
  int64_t heard_us;
  GQueue tasks;
  uint16_t attentions[8]; /* asc << 8 | ascq */
  unsigned nattentions;
} Connection;

typedef struct {
  LunfsTimer timer;
  Connection *connection;
  LunfsCommand *cmd;
  uint64_t first, end; /* blocks, of a write */
  LunfsRamFaultKind fault;
  bool faulty, executed, held;
} Task;
G_STATIC_ASSERT (sizeof (Task) <= sizeof ((LunfsCommand *) 0)->space);

struct LunfsRam {
  char *target_name;
  LunfsRamConf conf;
  LunfsRamStats stats;
  uint64_t max_blocks;
  uint8_t *now, *stable;
  uint8_t *dirty, *mapped; /* per block */
  uint64_t random;
  GQueue connections;
  GQueue orphans; /* Orphan: writes of lost connections that it may still execute (conf.tgtd) */
  GArray *faults, *log;
  bool logging, mute;
  uint8_t not_ready;
  LunfsLoginOutcome refuse_outcome;
  unsigned refuse_times, fail_times;
};

static GMutex targets_lock; /* Protects targets. */
static GList *targets;

static uint32_t
roll (LunfsRam *ram, uint32_t n)
{
  ram->random ^= ram->random << 13;
  ram->random ^= ram->random >> 7;
  ram->random ^= ram->random << 17;
  return n ? (uint32_t) ((ram->random >> 16) % n) : 0;
}

static Task *
task_of (LunfsCommand *cmd)
{
  return (Task *) cmd->space;
}

/* ---- the disk ---- */

static void
make_stable (LunfsRam *ram, uint64_t lba)
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
    make_stable (ram, lba);
}

static void
sync_all (LunfsRam *ram)
{
  for (uint64_t lba = 0; lba < ram->max_blocks; lba++)
    make_stable (ram, lba);
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

static void
give (LunfsCommand *cmd, const uint8_t *data, uint32_t len)
{
  uint32_t n = MIN (len, cmd->xfer_bytes);

  move (cmd, (uint8_t *) data, n);
  cmd->underflow_bytes = cmd->xfer_bytes - n;
}

static void
check (LunfsCommand *cmd, uint8_t key, uint8_t asc, uint8_t ascq, bool deferred)
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

static bool
range_of (const uint8_t *cdb, uint64_t *lba, uint32_t *nblocks)
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
    give (cmd, data, len);
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
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x24, 0, false);
    return;
  }
  give (cmd, data, len);
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
  give (cmd, data, sixteen ? 32 : 8);
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
  give (cmd, data, header + 20);
}

static void
lba_status (LunfsRam *ram, LunfsCommand *cmd)
{
  uint64_t lba = lunfs_get_be64 (cmd->cdb + 2);
  uint64_t end = lba;
  uint8_t data[24] = { 0 };

  if (lba >= ram->conf.nblocks) {
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x21, 0, false);
    return;
  }
  while (end < ram->conf.nblocks && ram->mapped[end] == ram->mapped[lba])
    end++;
  lunfs_put_be32 (data, 20);
  lunfs_put_be64 (data + 8, lba);
  lunfs_put_be32 (data + 16, (uint32_t) (end - lba));
  data[20] = ram->mapped[lba] ? 0 : 1;
  give (cmd, data, 24);
}

static void
read_write (LunfsRam *ram, LunfsCommand *cmd, uint64_t lba, uint32_t nblocks)
{
  const LunfsRamConf *c = &ram->conf;
  uint64_t bytes = (uint64_t) nblocks * c->block_size;

  if (bytes != cmd->xfer_bytes || (c->max_transfer_blocks && nblocks > c->max_transfer_blocks)) {
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x24, 0, false);
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
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->no_write_same ? c->refusal_asc : 0x24, 0, false);
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
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->lbpu ? 0x26 : c->refusal_asc, 0, false);
    return;
  }
  move (cmd, param, sizeof param);
  lba = lunfs_get_be64 (param + 8);
  nblocks = lunfs_get_be32 (param + 16);
  end = lba + nblocks;
  if (end > c->nblocks || nblocks > c->max_unmap_blocks) {
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, end > c->nblocks ? 0x21 : 0x26, 0, false);
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
static void
execute (LunfsRam *ram, LunfsCommand *cmd)
{
  const LunfsRamConf *c = &ram->conf;
  uint64_t lba;
  uint32_t nblocks;

  cmd->status = LUNFS_STATUS_GOOD;
  if ((c->no16 && is_sixteen (cmd->cdb)) || (c->no_sync && lunfs_ram_is_sync (cmd->cdb))
      || (c->no_modes && (cmd->cdb[0] == 0x1a || cmd->cdb[0] == 0x5a))) {
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->refusal_asc, 0, false);
    return;
  }
  if (range_of (cmd->cdb, &lba, &nblocks) && (lba > c->nblocks || nblocks > c->nblocks - lba)) {
    ram->stats.out_of_range++;
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x21, 0, false);
    return;
  }
  if (lunfs_ram_is_write (cmd->cdb) && c->write_protected) {
    check (cmd, LUNFS_KEY_DATA_PROTECT, 0x27, 0, false);
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
      check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, c->refusal_asc, 0, false);
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
    check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x20, 0, false);
    break;
  }
}

/* ---- the connection ---- */

static void
end_connection (Connection *connection, const char *why)
{
  if (connection->state == DEAD)
    return;
  connection->state = DEAD;
  connection->why = why;
  lunfs_lane_cancel (connection->lane, &connection->pong);
  lunfs_lane_cancel (connection->lane, &connection->reset);
  lunfs_lane_arm (connection->lane, &connection->timer, 0);
}

static void
answer (Task *task)
{
  LunfsCommand *cmd = task->cmd;
  Connection *connection = task->connection;

  g_queue_unlink (&connection->tasks, &cmd->link);
  connection->ram->stats.in_flight--;
  lunfs_lane_cancel (connection->lane, &task->timer);
  cmd->done (cmd);
}

/* A write whose connection is gone, with its data. */
typedef struct {
  GList link;
  LunfsCommand cmd;
  struct iovec iov;
} Orphan;

static void
adopt (LunfsRam *ram, const Task *task)
{
  const LunfsCommand *cmd = task->cmd;
  Orphan *orphan;
  size_t at = 0;

  if (!ram->conf.tgtd || task->executed || !lunfs_ram_is_write (cmd->cdb))
    return;
  orphan = g_new0 (Orphan, 1);
  orphan->link.data = orphan;
  memcpy (orphan->cmd.cdb, cmd->cdb, sizeof cmd->cdb);
  orphan->cmd.cdb_len = cmd->cdb_len;
  orphan->cmd.xfer = cmd->xfer;
  orphan->cmd.xfer_bytes = cmd->xfer_bytes;
  orphan->iov = (struct iovec){ g_malloc0 (cmd->xfer_bytes + 1), cmd->xfer_bytes };
  orphan->cmd.iov = &orphan->iov;
  orphan->cmd.niov = 1;
  for (unsigned i = 0; i < cmd->niov; i++) {
    memcpy ((uint8_t *) orphan->iov.iov_base + at, cmd->iov[i].iov_base, cmd->iov[i].iov_len);
    at += cmd->iov[i].iov_len;
  }
  g_queue_push_tail_link (&ram->orphans, &orphan->link);
}

static void
end_orphan (LunfsRam *ram, bool run)
{
  Orphan *orphan = g_queue_pop_head_link (&ram->orphans)->data;

  if (run)
    execute (ram, &orphan->cmd);
  g_free (orphan->iov.iov_base);
  g_free (orphan);
}

/* What still may be executed is, or is not, now: afterwards nothing is left. */
static void
end_orphans (LunfsRam *ram)
{
  while (ram->orphans.length)
    end_orphan (ram, roll (ram, 2));
}

static void
forsake (Connection *connection)
{
  for (unsigned n = connection->tasks.length; n > 0; n--) { /* as many as there are now */
    LunfsCommand *cmd = connection->tasks.head->data;

    adopt (connection->ram, task_of (cmd));
    cmd->status = LUNFS_STATUS_NONE;
    cmd->sense_len = 0;
    answer (task_of (cmd));
  }
}

static void
task_fired (LunfsTimer *timer)
{
  Task *task = (Task *) timer;
  Connection *connection = task->connection;
  LunfsRam *ram = connection->ram;

  if (ram->mute || connection->state != UP) {
    task->held = true;
    return;
  }
  if (!task->executed)
    execute (ram, task->cmd);
  task->executed = true;
  if (ram->orphans.length && roll (ram, 20) == 0)
    end_orphan (ram, true);
  if (task->faulty && task->fault != LUNFS_RAM_UNDERFLOW) {
    if (task->fault == LUNFS_RAM_DROP_AFTER)
      end_connection (connection, "connection reset by the target");
    return; /* no answer */
  }
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  answer (task);
}

static void
strike (LunfsRam *ram, Task *task)
{
  for (unsigned i = 0; i < ram->faults->len; i++) {
    LunfsRamFault *f = &g_array_index (ram->faults, LunfsRamFault, i);
    LunfsRamFault struck;

    if (f->match && !f->match (task->cmd->cdb))
      continue;
    if (f->skip > 0) {
      f->skip--;
      continue;
    }
    struck = *f;
    if (f->times <= 1)
      g_array_remove_index (ram->faults, i);
    else
      f->times--;
    task->faulty = true;
    task->fault = struck.kind;
    if (struck.kind == LUNFS_RAM_STATUS) {
      task->executed = true;
      task->faulty = false;
      task->cmd->status = struck.status;
      if (struck.status == LUNFS_STATUS_CHECK_CONDITION)
        check (task->cmd, struck.key, struck.asc, struck.ascq, struck.deferred);
      task->cmd->underflow_bytes = struck.bytes;
    } else if (struck.kind == LUNFS_RAM_UNDERFLOW) {
      execute (ram, task->cmd);
      task->executed = true;
      task->cmd->underflow_bytes = struck.bytes;
    } else if (struck.kind == LUNFS_RAM_NO_ANSWER || struck.kind == LUNFS_RAM_DROP_BEFORE) {
      task->executed = true; /* that is: not to be executed any more */
      if (struck.kind == LUNFS_RAM_DROP_BEFORE)
        end_connection (task->connection, "connection reset by the target");
    }
    return;
  }
}

/* Conditions of the unit, which come before the command is looked at. */
static bool
condition (Connection *connection, LunfsCommand *cmd)
{
  LunfsRam *ram = connection->ram;

  if (cmd->cdb[0] == 0x12)
    return false;
  if (connection->nattentions > 0) {
    uint16_t code = connection->attentions[0];

    memmove (connection->attentions, connection->attentions + 1, --connection->nattentions * sizeof (uint16_t));
    check (cmd, LUNFS_KEY_UNIT_ATTENTION, (uint8_t) (code >> 8), (uint8_t) code, false);
    return true;
  }
  if (ram->not_ready && (lunfs_ram_is_medium (cmd->cdb) || lunfs_ram_is_ready (cmd->cdb))) {
    check (cmd, LUNFS_KEY_NOT_READY, 0x04, ram->not_ready, false);
    return true;
  }
  return false;
}

static void
blocks_written (const LunfsCommand *cmd, uint64_t *first, uint64_t *end)
{
  uint32_t nblocks = 0;

  *first = 0;
  if (cmd->cdb[0] == 0x42 && cmd->niov && cmd->iov[0].iov_len >= 20) {
    *first = lunfs_get_be64 ((uint8_t *) cmd->iov[0].iov_base + 8);
    nblocks = lunfs_get_be32 ((uint8_t *) cmd->iov[0].iov_base + 16);
  } else if (lunfs_ram_is_write (cmd->cdb)) {
    range_of (cmd->cdb, first, &nblocks);
  }
  *end = *first + nblocks;
}

static void
look_at (Connection *connection, Task *task)
{
  LunfsRam *ram = connection->ram;
  LunfsCommand *cmd = task->cmd;
  LunfsRamRecord record = { .opcode = cmd->cdb[0], .flags = cmd->cdb[1], .connection = connection->number };

  blocks_written (cmd, &task->first, &task->end);
  for (GList *l = connection->tasks.head; l && task->end > task->first; l = l->next) {
    const Task *other = task_of (l->data);

    if (other->first < task->end && task->first < other->end)
      ram->stats.overlaps++;
  }
  ram->stats.commands[cmd->cdb[0]]++;
  ram->stats.in_flight++;
  ram->stats.max_in_flight = MAX (ram->stats.max_in_flight, ram->stats.in_flight);
  if (ram->logging) {
    range_of (cmd->cdb, &record.lba, &record.nblocks);
    if (cmd->cdb[0] == 0x42) {
      record.lba = task->first;
      record.nblocks = (uint32_t) (task->end - task->first);
    }
    g_array_append_val (ram->log, record);
  }
}

static void
submit (LunfsTransport *t, LunfsCommand *cmd)
{
  Connection *connection = (Connection *) t;
  LunfsRam *ram = connection->ram;
  Task *task = task_of (cmd);
  uint32_t data_bytes = 0;

  for (unsigned i = 0; i < cmd->niov; i++)
    data_bytes += (uint32_t) cmd->iov[i].iov_len;
  g_assert (data_bytes == cmd->xfer_bytes && (cmd->xfer != LUNFS_XFER_NONE || data_bytes == 0));
  *task = (Task){ .timer.fire = task_fired, .connection = connection, .cmd = cmd };
  cmd->status = LUNFS_STATUS_NONE;
  cmd->sense_len = 0;
  cmd->underflow_bytes = 0;
  cmd->overflow = false;
  cmd->submit_us = lunfs_lane_now_us (connection->lane);
  cmd->link.data = cmd;
  look_at (connection, task);
  g_queue_push_tail_link (&connection->tasks, &cmd->link);
  if (connection->state != UP) /* close() completes it */
    return;
  if (condition (connection, cmd))
    task->executed = true;
  else
    strike (ram, task);
  if (!task->executed && roll (ram, 2)) {
    execute (ram, cmd);
    task->executed = true;
  }
  lunfs_lane_arm (connection->lane, &task->timer,
                  ram->conf.latency_us + roll (ram, (uint32_t) ram->conf.jitter_us + 1));
}

static void
connection_fired (LunfsTimer *timer)
{
  Connection *connection = (Connection *) ((char *) timer - offsetof (Connection, timer));
  LunfsRam *ram = connection->ram;

  if (ram->mute)
    return;
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  switch (connection->state) {
  case LOGIN:
    if (connection->silent_login)
      return;
    connection->state = connection->outcome == LUNFS_LOGIN_OK ? UP : DEAD;
    connection->leaving = connection->state == DEAD; /* no dead() after a failed login */
    connection->events->login (connection->user, connection->outcome,
                               connection->outcome == LUNFS_LOGIN_OK      ? NULL
                               : connection->outcome == LUNFS_LOGIN_MOVED ? "elsewhere.test:4711,1"
                                                                          : "login refused by the test");
    break;
  case UP:
    connection->state = DEAD;
    connection->events->logged_out (connection->user);
    break;
  default:
    if (connection->leaving)
      return;
    connection->leaving = true;
    if (roll (ram, 2)) /* libiscsi cancels some commands before it says so, others when it is closed */
      forsake (connection);
    connection->events->dead (connection->user, connection->why);
    break;
  }
}

static void
pong_fired (LunfsTimer *timer)
{
  Connection *connection = (Connection *) ((char *) timer - offsetof (Connection, pong));

  if (connection->ram->mute || connection->state != UP)
    return;
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  connection->events->pong (connection->user);
}

static void
ping (LunfsTransport *t)
{
  Connection *connection = (Connection *) t;

  if (connection->state == UP)
    lunfs_lane_arm (connection->lane, &connection->pong, connection->ram->conf.latency_us);
}

static void
logout (LunfsTransport *t)
{
  Connection *connection = (Connection *) t;

  if (connection->state == UP)
    lunfs_lane_arm (connection->lane, &connection->timer, connection->ram->conf.latency_us);
}

static void
reset_fired (LunfsTimer *timer)
{
  Connection *connection = (Connection *) ((char *) timer - offsetof (Connection, reset));
  LunfsRam *ram = connection->ram;

  if (ram->mute || connection->state != UP || ram->conf.reset_response == LUNFS_RAM_NO_RESPONSE)
    return;
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  if (ram->conf.reset_response == 0)
    end_orphans (ram);
  connection->events->lun_was_reset (connection->user, ram->conf.reset_response);
}

static void
lun_reset (LunfsTransport *t)
{
  Connection *connection = (Connection *) t;

  connection->ram->stats.resets++;
  if (connection->state == UP)
    lunfs_lane_arm (connection->lane, &connection->reset, connection->ram->conf.latency_us);
}

static int64_t
idle_us (LunfsTransport *t)
{
  Connection *connection = (Connection *) t;

  return lunfs_lane_now_us (connection->lane) - connection->heard_us;
}

static void
close_connection (LunfsTransport *t)
{
  Connection *connection = (Connection *) t;

  connection->state = DEAD;
  lunfs_lane_cancel (connection->lane, &connection->timer);
  lunfs_lane_cancel (connection->lane, &connection->pong);
  lunfs_lane_cancel (connection->lane, &connection->reset);
  forsake (connection);
  g_assert (connection->tasks.length == 0); /* nobody submits from a done() inside close() */
  g_queue_unlink (&connection->ram->connections, &connection->link);
  connection->ram->stats.open--;
  g_free (connection);
}

static const LunfsTransportOps ops = {
  .submit = submit,
  .ping = ping,
  .logout = logout,
  .lun_reset = lun_reset,
  .idle_us = idle_us,
  .close = close_connection,
};

static LunfsRam *
find (const char *target_name)
{
  LunfsRam *found = NULL;

  g_mutex_lock (&targets_lock);
  for (GList *l = targets; l && !found; l = l->next)
    if (g_strcmp0 (((LunfsRam *) l->data)->target_name, target_name) == 0)
      found = l->data;
  g_mutex_unlock (&targets_lock);
  return found;
}

static void
take_refusal (LunfsRam *ram, Connection *connection)
{
  connection->outcome = LUNFS_LOGIN_OK;
  if (ram->refuse_times == 0)
    return;
  ram->refuse_times--;
  connection->outcome = ram->refuse_outcome;
  connection->silent_login = ram->refuse_outcome == LUNFS_LOGIN_OK;
}

LunfsTransport *
lunfs_ram_open (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events, void *user,
                GError **error)
{
  LunfsRam *ram = find (conf->target_name);
  Connection *connection;

  if (!ram || ram->fail_times > 0) {
    if (ram)
      ram->fail_times--;
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TRANSPORT, "cannot connect");
    return NULL;
  }
  connection = g_new0 (Connection, 1);
  connection->base.ops = &ops;
  connection->ram = ram;
  connection->link.data = connection;
  connection->lane = lane;
  connection->events = events;
  connection->user = user;
  connection->number = ++ram->stats.connections;
  connection->state = LOGIN;
  connection->timer.fire = connection_fired;
  connection->pong.fire = pong_fired;
  connection->reset.fire = reset_fired;
  connection->heard_us = lunfs_lane_now_us (lane);
  take_refusal (ram, connection);
  ram->stats.security_logins += conf->security_negotiation;
  if (conf->security_negotiation) /* the session before is ended, with what it had not executed */
    end_orphans (ram);
  if (ram->conf.ua_on_login)
    connection->attentions[connection->nattentions++] = 0x2900;
  g_queue_push_tail_link (&ram->connections, &connection->link);
  ram->stats.open++;
  lunfs_lane_arm (lane, &connection->timer, ram->conf.latency_us);
  return &connection->base;
}

/* ---- the test's side ---- */

LunfsRam *
lunfs_ram_new (const char *target_name, uint64_t nblocks, uint32_t block_size, uint64_t seed)
{
  LunfsRam *ram = g_new0 (LunfsRam, 1);

  ram->target_name = g_strdup (target_name);
  ram->conf.nblocks = ram->max_blocks = nblocks;
  ram->conf.block_size = block_size;
  ram->conf.refusal_asc = 0x20;
  ram->conf.naa = 0x123456789abcdef;
  ram->now = g_malloc0 (nblocks * block_size);
  ram->stable = g_malloc0 (nblocks * block_size);
  ram->dirty = g_malloc0 (nblocks);
  ram->mapped = g_malloc0 (nblocks);
  ram->random = seed * 0x9e3779b97f4a7c15 + 0x1234567;
  ram->faults = g_array_new (FALSE, TRUE, sizeof (LunfsRamFault));
  ram->log = g_array_new (FALSE, TRUE, sizeof (LunfsRamRecord));
  g_mutex_lock (&targets_lock);
  targets = g_list_prepend (targets, ram);
  g_mutex_unlock (&targets_lock);
  return ram;
}

void
lunfs_ram_free (LunfsRam *ram)
{
  if (!ram)
    return;
  g_assert (ram->connections.length == 0);
  end_orphans (ram);
  g_mutex_lock (&targets_lock);
  targets = g_list_remove (targets, ram);
  g_mutex_unlock (&targets_lock);
  g_array_unref (ram->faults);
  g_array_unref (ram->log);
  g_free (ram->now);
  g_free (ram->stable);
  g_free (ram->dirty);
  g_free (ram->mapped);
  g_free (ram->target_name);
  g_free (ram);
}

LunfsRamConf *
lunfs_ram_conf (LunfsRam *ram)
{
  return &ram->conf;
}

LunfsRamStats *
lunfs_ram_stats (LunfsRam *ram)
{
  return &ram->stats;
}

const GArray *
lunfs_ram_log (LunfsRam *ram, bool clear)
{
  ram->logging = true;
  if (clear)
    g_array_set_size (ram->log, 0);
  return ram->log;
}

uint8_t *
lunfs_ram_data (LunfsRam *ram)
{
  return ram->now;
}

const uint8_t *
lunfs_ram_stable (LunfsRam *ram)
{
  return ram->stable;
}

void
lunfs_ram_fault (LunfsRam *ram, const LunfsRamFault *fault)
{
  g_array_append_val (ram->faults, *fault);
}

void
lunfs_ram_clear_faults (LunfsRam *ram)
{
  g_array_set_size (ram->faults, 0);
}

void
lunfs_ram_unit_attention (LunfsRam *ram, uint8_t asc, uint8_t ascq)
{
  for (GList *l = ram->connections.head; l; l = l->next) {
    Connection *connection = l->data;

    if (connection->nattentions < G_N_ELEMENTS (connection->attentions))
      connection->attentions[connection->nattentions++] = (uint16_t) (asc << 8 | ascq);
  }
}

void
lunfs_ram_not_ready (LunfsRam *ram, uint8_t ascq)
{
  ram->not_ready = ascq;
}

void
lunfs_ram_drop (LunfsRam *ram, const char *why)
{
  for (GList *l = ram->connections.head; l; l = l->next) {
    Connection *connection = l->data;

    for (GList *c = connection->tasks.head; c; c = c->next) {
      Task *task = task_of (c->data);

      if (!task->executed && connection->state == UP && roll (ram, 2)) {
        execute (ram, task->cmd);
        task->executed = true;
      }
    }
    if (connection->state == LOGIN) { /* what dies during login says so by login() */
      connection->outcome = LUNFS_LOGIN_TRANSPORT;
      connection->silent_login = false;
    } else {
      end_connection (connection, why);
    }
  }
}

void
lunfs_ram_power_loss (LunfsRam *ram, unsigned survive_percent)
{
  uint32_t bs = ram->conf.block_size;

  lunfs_ram_drop (ram, "the target lost power");
  for (uint64_t lba = 0; lba < ram->max_blocks; lba++) {
    if (!ram->dirty[lba])
      continue;
    if (roll (ram, 100) < survive_percent)
      make_stable (ram, lba);
    memcpy (ram->now + lba * bs, ram->stable + lba * bs, bs);
    ram->dirty[lba] = 0;
    ram->mapped[lba] = 1;
  }
}

void
lunfs_ram_refuse (LunfsRam *ram, LunfsLoginOutcome outcome, unsigned times)
{
  ram->refuse_outcome = outcome;
  ram->refuse_times = times;
}

void
lunfs_ram_fail_open (LunfsRam *ram, unsigned times)
{
  ram->fail_times = times;
}

void
lunfs_ram_mute (LunfsRam *ram, bool mute)
{
  ram->mute = mute;
  for (GList *l = ram->connections.head; l && !mute; l = l->next) {
    Connection *connection = l->data;

    if (connection->state == LOGIN || (connection->state == DEAD && !connection->leaving))
      lunfs_lane_arm (connection->lane, &connection->timer, 0);
    for (GList *c = connection->tasks.head; c; c = c->next) {
      Task *task = task_of (c->data);

      if (task->held) {
        task->held = false;
        lunfs_lane_arm (connection->lane, &task->timer, 0);
      }
    }
  }
}
