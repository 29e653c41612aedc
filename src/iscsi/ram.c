/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command's own state (LunfsRamTask) stands in the space the transport contract gives it, so nothing is allocated. */
#include "config.h"

#include "iscsi/ram-private.h"

#include "lunfs/error.h"
#include "scsi/sense.h"
#include "util/bytes.h"

#include <string.h>

static GMutex targets_lock; /* Protects targets. */
static GList *targets;

void
lunfs_ram_list (LunfsRam *ram, bool known)
{
  g_mutex_lock (&targets_lock);
  targets = known ? g_list_prepend (targets, ram) : g_list_remove (targets, ram);
  g_mutex_unlock (&targets_lock);
}

/* ---- the connection ---- */

void
lunfs_ram_end_connection (LunfsRamConnection *connection, const char *why)
{
  if (connection->state == LUNFS_RAM_DEAD)
    return;
  connection->state = LUNFS_RAM_DEAD;
  connection->why = why;
  lunfs_lane_cancel (connection->lane, &connection->pong);
  lunfs_lane_cancel (connection->lane, &connection->reset);
  lunfs_lane_arm (connection->lane, &connection->timer, 0);
}

static void
answer (LunfsRamTask *task)
{
  LunfsCommand *cmd = task->cmd;
  LunfsRamConnection *connection = task->connection;

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
adopt (LunfsRam *ram, const LunfsRamTask *task)
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
    lunfs_ram_execute (ram, &orphan->cmd);
  g_free (orphan->iov.iov_base);
  g_free (orphan);
}

/* What still may be executed is, or is not, now: afterwards nothing is left. */
void
lunfs_ram_end_orphans (LunfsRam *ram)
{
  while (ram->orphans.length)
    end_orphan (ram, lunfs_ram_roll (ram, 2));
}

static void
forsake (LunfsRamConnection *connection)
{
  for (unsigned n = connection->tasks.length; n > 0; n--) { /* as many as there are now */
    LunfsCommand *cmd = connection->tasks.head->data;

    adopt (connection->ram, lunfs_ram_task (cmd));
    cmd->status = LUNFS_STATUS_NONE;
    cmd->sense_len = 0;
    answer (lunfs_ram_task (cmd));
  }
}

static void
task_fired (LunfsTimer *timer)
{
  LunfsRamTask *task = (LunfsRamTask *) timer;
  LunfsRamConnection *connection = task->connection;
  LunfsRam *ram = connection->ram;

  if (ram->mute || connection->state != LUNFS_RAM_UP) {
    task->held = true;
    return;
  }
  if (!task->executed)
    lunfs_ram_execute (ram, task->cmd);
  task->executed = true;
  if (ram->orphans.length && lunfs_ram_roll (ram, 20) == 0)
    end_orphan (ram, true);
  if (task->faulty && task->fault != LUNFS_RAM_UNDERFLOW) {
    if (task->fault == LUNFS_RAM_DROP_AFTER)
      lunfs_ram_end_connection (connection, "connection reset by the target");
    return; /* no answer */
  }
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  answer (task);
}

static void
strike (LunfsRam *ram, LunfsRamTask *task)
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
        lunfs_ram_check (task->cmd, struck.key, struck.asc, struck.ascq, struck.deferred);
      task->cmd->underflow_bytes = struck.bytes;
    } else if (struck.kind == LUNFS_RAM_UNDERFLOW) {
      lunfs_ram_execute (ram, task->cmd);
      task->executed = true;
      task->cmd->underflow_bytes = struck.bytes;
    } else if (struck.kind == LUNFS_RAM_NO_ANSWER || struck.kind == LUNFS_RAM_DROP_BEFORE) {
      task->executed = true; /* that is: not to be executed any more */
      if (struck.kind == LUNFS_RAM_DROP_BEFORE)
        lunfs_ram_end_connection (task->connection, "connection reset by the target");
    }
    return;
  }
}

/* Conditions of the unit, which come before the command is looked at. */
static bool
condition (LunfsRamConnection *connection, LunfsCommand *cmd)
{
  LunfsRam *ram = connection->ram;

  if (cmd->cdb[0] == 0x12)
    return false;
  if (connection->nattentions > 0) {
    uint16_t code = connection->attentions[0];

    memmove (connection->attentions, connection->attentions + 1, --connection->nattentions * sizeof (uint16_t));
    lunfs_ram_check (cmd, LUNFS_KEY_UNIT_ATTENTION, (uint8_t) (code >> 8), (uint8_t) code, false);
    return true;
  }
  if (ram->not_ready && (lunfs_ram_is_medium (cmd->cdb) || lunfs_ram_is_ready (cmd->cdb))) {
    lunfs_ram_check (cmd, LUNFS_KEY_NOT_READY, 0x04, ram->not_ready, false);
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
    lunfs_ram_range (cmd->cdb, first, &nblocks);
  }
  *end = *first + nblocks;
}

static void
look_at (LunfsRamConnection *connection, LunfsRamTask *task)
{
  LunfsRam *ram = connection->ram;
  LunfsCommand *cmd = task->cmd;
  LunfsRamRecord record = { .opcode = cmd->cdb[0], .flags = cmd->cdb[1], .connection = connection->number };

  blocks_written (cmd, &task->first, &task->end);
  for (GList *l = connection->tasks.head; l && task->end > task->first; l = l->next) {
    const LunfsRamTask *other = lunfs_ram_task (l->data);

    if (other->first < task->end && task->first < other->end)
      ram->stats.overlaps++;
  }
  ram->stats.commands[cmd->cdb[0]]++;
  ram->stats.in_flight++;
  ram->stats.max_in_flight = MAX (ram->stats.max_in_flight, ram->stats.in_flight);
  if (ram->logging) {
    lunfs_ram_range (cmd->cdb, &record.lba, &record.nblocks);
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
  LunfsRamConnection *connection = (LunfsRamConnection *) t;
  LunfsRam *ram = connection->ram;
  LunfsRamTask *task = lunfs_ram_task (cmd);
  uint32_t data_bytes = 0;

  for (unsigned i = 0; i < cmd->niov; i++)
    data_bytes += (uint32_t) cmd->iov[i].iov_len;
  g_assert (data_bytes == cmd->xfer_bytes && (cmd->xfer != LUNFS_XFER_NONE || data_bytes == 0));
  *task = (LunfsRamTask){ .timer.fire = task_fired, .connection = connection, .cmd = cmd };
  cmd->status = LUNFS_STATUS_NONE;
  cmd->sense_len = 0;
  cmd->underflow_bytes = 0;
  cmd->overflow = false;
  cmd->submit_us = lunfs_lane_now_us (connection->lane);
  cmd->link.data = cmd;
  look_at (connection, task);
  g_queue_push_tail_link (&connection->tasks, &cmd->link);
  if (connection->state != LUNFS_RAM_UP) /* close() completes it */
    return;
  if (condition (connection, cmd))
    task->executed = true;
  else
    strike (ram, task);
  if (!task->executed && lunfs_ram_reserve (connection, cmd))
    task->executed = true;
  if (!task->executed && lunfs_ram_roll (ram, 2)) {
    lunfs_ram_execute (ram, cmd);
    task->executed = true;
  }
  lunfs_lane_arm (connection->lane, &task->timer,
                  ram->conf.latency_us + lunfs_ram_roll (ram, (uint32_t) ram->conf.jitter_us + 1));
}

static void
connection_fired (LunfsTimer *timer)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) ((char *) timer - offsetof (LunfsRamConnection, timer));
  LunfsRam *ram = connection->ram;

  if (ram->mute)
    return;
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  switch (connection->state) {
  case LUNFS_RAM_LOGIN:
    if (connection->silent_login)
      return;
    connection->state = connection->outcome == LUNFS_LOGIN_OK ? LUNFS_RAM_UP : LUNFS_RAM_DEAD;
    connection->leaving = connection->state == LUNFS_RAM_DEAD; /* no dead() after a failed login */
    connection->events->login (connection->user, connection->outcome,
                               connection->outcome == LUNFS_LOGIN_OK      ? NULL
                               : connection->outcome == LUNFS_LOGIN_MOVED ? "elsewhere.test:4711,1"
                                                                          : "login refused by the test");
    break;
  case LUNFS_RAM_UP:
    connection->state = LUNFS_RAM_DEAD;
    connection->events->logged_out (connection->user);
    break;
  default:
    if (connection->leaving)
      return;
    connection->leaving = true;
    if (lunfs_ram_roll (ram, 2)) /* libiscsi cancels some commands before it says so, others when it is closed */
      forsake (connection);
    connection->events->dead (connection->user, connection->why);
    break;
  }
}

static void
pong_fired (LunfsTimer *timer)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) ((char *) timer - offsetof (LunfsRamConnection, pong));

  if (connection->ram->mute || connection->state != LUNFS_RAM_UP)
    return;
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  connection->events->pong (connection->user);
}

static void
ping (LunfsTransport *t)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) t;

  if (connection->state == LUNFS_RAM_UP)
    lunfs_lane_arm (connection->lane, &connection->pong, connection->ram->conf.latency_us);
}

static void
logout (LunfsTransport *t)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) t;

  if (connection->state == LUNFS_RAM_UP)
    lunfs_lane_arm (connection->lane, &connection->timer, connection->ram->conf.latency_us);
}

static void
reset_fired (LunfsTimer *timer)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) ((char *) timer - offsetof (LunfsRamConnection, reset));
  LunfsRam *ram = connection->ram;

  if (ram->mute || connection->state != LUNFS_RAM_UP || ram->conf.reset_response == LUNFS_RAM_NO_RESPONSE)
    return;
  connection->heard_us = lunfs_lane_now_us (connection->lane);
  if (ram->conf.reset_response == 0)
    lunfs_ram_end_orphans (ram);
  connection->events->lun_was_reset (connection->user, ram->conf.reset_response);
}

static void
lun_reset (LunfsTransport *t)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) t;

  connection->ram->stats.resets++;
  if (connection->state == LUNFS_RAM_UP)
    lunfs_lane_arm (connection->lane, &connection->reset, connection->ram->conf.latency_us);
}

static int64_t
idle_us (LunfsTransport *t)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) t;

  return lunfs_lane_now_us (connection->lane) - connection->heard_us;
}

static void
close_connection (LunfsTransport *t)
{
  LunfsRamConnection *connection = (LunfsRamConnection *) t;

  connection->state = LUNFS_RAM_DEAD;
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
take_refusal (LunfsRam *ram, LunfsRamConnection *connection)
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
  LunfsRamConnection *connection;

  if (!ram || ram->fail_times > 0) {
    if (ram)
      ram->fail_times--;
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TRANSPORT, "cannot connect");
    return NULL;
  }
  connection = g_new0 (LunfsRamConnection, 1);
  connection->base.ops = &ops;
  connection->ram = ram;
  connection->link.data = connection;
  connection->lane = lane;
  connection->events = events;
  connection->user = user;
  connection->number = ++ram->stats.connections;
  connection->nexus = ram->conf.new_nexus ? connection->number : 1000;
  connection->state = LUNFS_RAM_LOGIN;
  connection->timer.fire = connection_fired;
  connection->pong.fire = pong_fired;
  connection->reset.fire = reset_fired;
  connection->heard_us = lunfs_lane_now_us (lane);
  take_refusal (ram, connection);
  ram->stats.security_logins += conf->security_negotiation;
  if (conf->security_negotiation) /* the session before is ended, with what it had not executed */
    lunfs_ram_end_orphans (ram);
  if (ram->conf.ua_on_login)
    connection->attentions[connection->nattentions++] = 0x2900;
  g_queue_push_tail_link (&ram->connections, &connection->link);
  ram->stats.open++;
  lunfs_lane_arm (lane, &connection->timer, ram->conf.latency_us);
  return &connection->base;
}
