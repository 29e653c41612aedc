/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests' way through a session: waiting -> active -> done, or back to waiting (session lost, unit attention), or
 * delayed (busy) and back. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"
#include "util/zeroes.h"

#include <errno.h>
#include <string.h>

#define EXPIRE_US 500000 /* how often ages are looked at where the kernel has a limit */

static void
count_queued (LunfsSession *s)
{
  LUNFS_GAUGE (s->stats, in_flight, s->active.length);
  LUNFS_GAUGE (s->stats, queued, s->waiting.length + s->delayed.length + s->recovery.length);
}

/* ---- endings ---- */

void
lunfs_session_finish_later (LunfsSession *s, LunfsRequest *req, int err)
{
  req->result = err;
  g_queue_push_tail_link (&s->finished, &req->link);
  lunfs_lane_defer (s->lane, &s->finish);
}

static void
finish_run (LunfsDefer *defer)
{
  LunfsSession *s = (LunfsSession *) ((char *) defer - offsetof (LunfsSession, finish));
  GList *link;

  while ((link = g_queue_pop_head_link (&s->finished))) {
    LunfsRequest *req = link->data;

    req->done (req);
  }
}

/* Those requests of @queue that are for recovery, or those that are not, end with @err. */
static void
fail_queue (LunfsSession *s, GQueue *queue, bool recovery, int err)
{
  for (GList *l = queue->head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    if (recovery != ((req->flags & LUNFS_REQ_RECOVERY) != 0))
      continue;
    g_queue_unlink (queue, l);
    lunfs_session_finish_later (s, req, err);
  }
}

void
lunfs_session_cancel_recovery (LunfsSession *s)
{
  fail_queue (s, &s->recovery, true, -ECANCELED);
  fail_queue (s, &s->delayed, true, -ECANCELED);
}

static void
return_queue (LunfsSession *s, GQueue *queue)
{
  for (GList *l = queue->head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    if (!(req->flags & LUNFS_REQ_RETURN))
      continue;
    g_queue_unlink (queue, l);
    lunfs_session_finish_later (s, req, -ECANCELED);
  }
}

void
lunfs_session_return_waiting (LunfsSession *s)
{
  return_queue (s, &s->waiting);
  return_queue (s, &s->delayed);
  count_queued (s);
}

void
lunfs_session_fail_waiting (LunfsSession *s, int err)
{
  fail_queue (s, &s->waiting, false, err);
  fail_queue (s, &s->delayed, false, err);
  count_queued (s);
}

/* Older than the kernel allows, if it has a limit. */
static bool
expired (const LunfsSession *s, const LunfsRequest *req)
{
  return s->timeouts.request_limit > 0
         && lunfs_lane_now_us (s->lane) - req->submit_us >= (int64_t) s->timeouts.request_limit * G_USEC_PER_SEC;
}

/* Killed its session again and again, for so long that it may be the cause: every request is answered in its time. */
static bool
given_up (const LunfsSession *s, const LunfsRequest *req)
{
  int64_t limit_s = (int64_t) s->timeouts.replacement_timeout + 3 * (int64_t) s->timeouts.cmd_timeout;

  if (expired (s, req))
    return true;
  return s->timeouts.replacement_timeout >= 0
         && lunfs_lane_now_us (s->lane) - req->submit_us >= limit_s * G_USEC_PER_SEC;
}

static bool
is_good (const LunfsCommand *cmd)
{
  return cmd->status == LUNFS_STATUS_GOOD || cmd->status == LUNFS_STATUS_CONDITION_MET;
}

static void
task_done (LunfsCommand *cmd)
{
  LunfsTask *task = cmd->owner;
  LunfsSession *s = task->session;
  LunfsRequest *req = g_steal_pointer (&task->req);

  g_queue_unlink (&s->active, &task->link);
  g_queue_push_head_link (&s->idle, &task->link);
  if (G_UNLIKELY (s->witnesses.table))
    lunfs_witness_answered (&s->witnesses, req, task->witnessed, is_good (cmd) && !cmd->underflow_bytes,
                            lunfs_lane_now_us (s->lane));
  if (is_good (cmd)) {
    lunfs_session_good (s, req, cmd);
  } else if (cmd->status == LUNFS_STATUS_NONE) { /* its fate is unknown: once more on the next session */
    LUNFS_COUNT (s->stats, replayed, 1);
    if (req->op == LUNFS_OP_WRITE || req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO)
      lunfs_guard_lost_write (s);
    if (s->transport) /* not from inside its close(): nothing more goes to this connection, the transport says why */
      lunfs_lane_defer (s->lane, &s->teardown);
    req->tries--; /* counts answers */
    if (req->flags & (LUNFS_REQ_RECOVERY | LUNFS_REQ_RETURN))
      lunfs_session_finish_later (s, req, -ECANCELED);
    else if (given_up (s, req))
      lunfs_session_finish_later (s, req, -EIO);
    else
      lunfs_session_requeue (s, req);
  } else {
    lunfs_session_answered (s, req, cmd);
  }
  count_queued (s);
  if (s->active.length == 0)
    lunfs_session_drained (s);
  lunfs_session_dispatch (s);
}

/* ---- sending ---- */

static void
count_command (LunfsSession *s, const LunfsCommand *cmd, const LunfsRequest *req)
{
  if (req->op == LUNFS_OP_FLUSH)
    LUNFS_COUNT (s->stats, sync_cache, 1);
  else if (req->op == LUNFS_OP_WRITE && (cmd->cdb[1] & 0x08))
    LUNFS_COUNT (s->stats, fua_writes, 1);
  else if (req->op == LUNFS_OP_DISCARD && (req->flags & LUNFS_REQ_UNMAP))
    LUNFS_COUNT (s->stats, unmaps, 1);
  else if (req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO)
    LUNFS_COUNT (s->stats, write_sames, 1);
}

static void
send_request (LunfsSession *s, LunfsRequest *req)
{
  GList *link = g_queue_pop_head_link (&s->idle);
  LunfsTask *task = link->data;
  LunfsCommandForm form = {
    .block_size = s->info.capacity.block_size,
    .use10 = req->op == LUNFS_OP_FLUSH ? s->sync10 : s->use10,
    .dpofua = s->info.modes.dpofua,
    .zeroes = lunfs_zeroes,
  };

  g_queue_push_tail_link (&s->active, link);
  task->req = req;
  req->tries++;
  req->sent = true;
  if (G_UNLIKELY (s->witnesses.table))
    task->witnessed = lunfs_witness_sending (&s->witnesses, req);
  lunfs_command_build (&task->cmd, req, &form, task->iov, task->param);
  count_command (s, &task->cmd, req);
  s->transport->ops->submit (s->transport, &task->cmd);
}

/* On a LUN that has shrunk nothing is written; a flush, too, would say more than is true of what is kept.  Nor where we were
 * fenced, even if the target would take it by now. */
static int
refusal (const LunfsSession *s, const LunfsRequest *req)
{
  if (s->info.shrunk_from_nblocks && req->op != LUNFS_OP_READ && req->op != LUNFS_OP_EXTENT)
    return -EIO;
  return lunfs_hold_is_lost (s) && lunfs_command_kind (req) == LUNFS_CMD_WRITE ? -EBADE : 0;
}

void
lunfs_session_dispatch (LunfsSession *s)
{
  GQueue *queue = s->state == LUNFS_SESSION_UP ? &s->waiting : &s->recovery;

  if ((s->state != LUNFS_SESSION_UP && s->state != LUNFS_SESSION_RECOVER) || s->teardown.queued || s->leaving)
    return;
  if (s->state == LUNFS_SESSION_UP && s->recheck) /* what is in flight comes back first */
    return;
  while (queue->length && s->idle.length && s->active.length < s->depth) {
    GList *link = g_queue_pop_head_link (queue);
    int refused = refusal (s, link->data);

    if (G_UNLIKELY (refused))
      lunfs_session_finish_later (s, link->data, refused);
    else
      send_request (s, link->data);
  }
  count_queued (s);
}

/* ---- the limit of all limits ---- */

static void
expire_queue (LunfsSession *s, GQueue *queue)
{
  for (GList *l = queue->head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    if ((req->flags & LUNFS_REQ_RECOVERY)
        || !expired (s, req)) /* behind a rewrite there is no request of the kernel's */
      continue;
    g_queue_unlink (queue, l);
    LUNFS_COUNT (s->stats, timeouts, 1);
    lunfs_session_finish_later (s, req, -EIO);
  }
}

static void
expire_fired (LunfsTimer *timer)
{
  LunfsSession *s = (LunfsSession *) ((char *) timer - offsetof (LunfsSession, expire));
  bool late = false;

  expire_queue (s, &s->waiting);
  expire_queue (s, &s->delayed);
  for (GList *l = s->active.head; l && !late; l = l->next) {
    const LunfsRequest *req = ((LunfsTask *) l->data)->req;

    late = !(req->flags & LUNFS_REQ_RECOVERY) && expired (s, req);
  }
  if (late) { /* given_up() sees to it when it comes back */
    LUNFS_COUNT (s->stats, timeouts, 1);
    lunfs_session_lost (s, "a request was not answered in the time that the kernel allows");
  }
  count_queued (s);
  if (s->waiting.length + s->delayed.length + s->active.length > 0)
    lunfs_lane_arm (s->lane, &s->expire, EXPIRE_US);
}

static void
submit (LunfsLayer *layer, LunfsRequest *req)
{
  LunfsSession *s = (LunfsSession *) layer;

  g_assert (req->niov <= LUNFS_TASK_IOV);
  req->link.data = req;
  req->tries = req->uas = 0;
  req->sent = false;
  req->seq = ++s->next_seq;
  if (req->op == LUNFS_OP_FLUSH && s->sync_unsupported && s->state == LUNFS_SESSION_UP && !s->recheck) {
    lunfs_session_finish_later (s, req, 0);
  } else if (req->flags & LUNFS_REQ_RECOVERY) {
    if (s->state == LUNFS_SESSION_RECOVER)
      g_queue_push_tail_link (&s->recovery, &req->link);
    else
      lunfs_session_finish_later (s, req, -ECANCELED);
  } else if ((req->flags & LUNFS_REQ_RETURN) && s->state != LUNFS_SESSION_UP) {
    lunfs_session_finish_later (s, req, -ECANCELED);
  } else if (s->failing || s->stopping || s->state == LUNFS_SESSION_FENCED || s->state == LUNFS_SESSION_STOPPED) {
    lunfs_session_finish_later (s, req, -EIO);
  } else if (G_UNLIKELY (expired (s, req))) { /* waited to the left, behind others */
    LUNFS_COUNT (s->stats, timeouts, 1);
    lunfs_session_finish_later (s, req, -EIO);
  } else {
    g_queue_push_tail_link (&s->waiting, &req->link);
  }
  if (G_UNLIKELY (s->timeouts.request_limit > 0 && !s->expire.slot))
    lunfs_lane_arm (s->lane, &s->expire, EXPIRE_US);
  lunfs_session_dispatch (s);
}

static bool
stalled (const LunfsLayer *layer)
{
  return ((const LunfsSession *) layer)->state != LUNFS_SESSION_UP;
}

static bool
refuses (const LunfsLayer *layer)
{
  const LunfsSession *s = (const LunfsSession *) layer;

  return s->failing || s->stopping || s->state == LUNFS_SESSION_FENCED || s->state == LUNFS_SESSION_STOPPED
         || s->info.shrunk_from_nblocks || lunfs_hold_is_lost (s);
}

static bool
cancel (LunfsLayer *layer, LunfsRequest *req, bool dying)
{
  LunfsSession *s = (LunfsSession *) layer;
  bool changes = req->op != LUNFS_OP_READ && req->op != LUNFS_OP_EXTENT;
  GQueue *queues[] = { &s->waiting, &s->delayed, &s->recovery };

  /* What the cache sends and gives up on is not even sent again: nothing of it is at the target now. */
  if (!(dying && (req->flags & LUNFS_REQ_RETURN)) && (!stalled (layer) || (req->sent && changes && !dying)))
    return false;
  for (unsigned i = 0; i < G_N_ELEMENTS (queues); i++) {
    if (!g_queue_find (queues[i], req))
      continue;
    g_queue_unlink (queues[i], &req->link);
    lunfs_session_finish_later (s, req, -EINTR);
    count_queued (s);
    return true;
  }
  return false;
}

static const LunfsLayerOps ops = { .submit = submit, .cancel = cancel, .stalled = stalled, .refuses = refuses };

bool
lunfs_session_overdue (LunfsSession *s, int64_t now_us)
{
  int64_t cmd_ms = (int64_t) s->timeouts.cmd_timeout * 1000;

  for (GList *l = s->active.head; l; l = l->next) {
    LunfsTask *task = l->data;
    int64_t age_ms = (now_us - task->cmd.submit_us) / 1000;

    if (age_ms <= cmd_ms) /* oldest first: the rest is younger, and no limit is shorter */
      break;
    if (age_ms > lunfs_command_limit_ms (task->req, cmd_ms))
      return true;
  }
  return false;
}

void
lunfs_session_requeue_done (LunfsSession *s)
{
  s->depth = s->ntasks;
  s->successes = 0;
  count_queued (s);
}

void
lunfs_session_queue_init (LunfsSession *s)
{
  s->base.ops = &ops;
  s->ntasks = (unsigned) s->settings->queue_depth;
  s->depth = s->ntasks;
  s->tasks = g_new0 (LunfsTask, s->ntasks);
  s->delay.fire = lunfs_session_delay_fired;
  s->expire.fire = expire_fired;
  s->finish.run = finish_run;
  for (unsigned i = 0; i < s->ntasks; i++) {
    LunfsTask *task = &s->tasks[i];

    task->session = s;
    task->cmd.owner = task;
    task->cmd.done = task_done;
    task->link.data = task;
    g_queue_push_tail_link (&s->idle, &task->link);
  }
}

void
lunfs_session_queue_clear (LunfsSession *s)
{
  g_assert (s->active.length == 0 && s->waiting.length == 0 && s->finished.length == 0);
  lunfs_lane_cancel (s->lane, &s->delay);
  lunfs_lane_cancel (s->lane, &s->expire);
  lunfs_lane_undefer (s->lane, &s->finish);
  g_free (s->tasks);
}
