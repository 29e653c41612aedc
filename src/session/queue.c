/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests' way through a session: waiting -> active -> done, or back to waiting (session lost, unit attention), or
 * delayed (busy) and back.  What to do with an answer is scsi/sense.c's decision; this file carries it out. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"
#include "util/zeroes.h"

#include <errno.h>
#include <string.h>

#define DELAY_CAP_US 2000000
#define BUSY_LIMIT_S 30  /* a busy target is retried that long even if an outage may not last at all */
#define EXPIRE_US 500000 /* how often ages are looked at where the kernel has a limit */
#define DEPTH_STEP 64    /* good answers before the depth grows by one again */

static void
count_queued (LunfsSession *s)
{
  LUNFS_GAUGE (s->stats, in_flight, s->active.length);
  LUNFS_GAUGE (s->stats, queued, s->waiting.length + s->delayed.length + s->recovery.length);
}

/* ---- endings ---- */

static void
finish_later (LunfsSession *s, LunfsRequest *req, int err)
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
    finish_later (s, req, err);
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
    finish_later (s, req, -ECANCELED);
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

/* ---- back into the queue ---- */

/* @waiting is sorted by seq; what comes back is older than nearly all of it. */
static void
requeue (LunfsSession *s, LunfsRequest *req)
{
  GList *before = s->waiting.head;

  if (req->flags & LUNFS_REQ_RECOVERY) {
    g_queue_push_tail_link (&s->recovery, &req->link);
    return;
  }
  if (s->failing || s->stopping) {
    finish_later (s, req, -EIO);
    return;
  }
  while (before && ((LunfsRequest *) before->data)->seq < req->seq)
    before = before->next;
  if (!before)
    g_queue_push_tail_link (&s->waiting, &req->link);
  else
    g_queue_insert_before_link (&s->waiting, before, &req->link);
}

static void
arm_delay (LunfsSession *s)
{
  int64_t due = INT64_MAX;

  for (GList *l = s->delayed.head; l; l = l->next)
    due = MIN (due, ((LunfsRequest *) l->data)->due_us);
  if (due != INT64_MAX)
    lunfs_lane_arm (s->lane, &s->delay, due - lunfs_lane_now_us (s->lane));
}

static void
delay_fired (LunfsTimer *timer)
{
  LunfsSession *s = (LunfsSession *) ((char *) timer - offsetof (LunfsSession, delay));
  int64_t now = lunfs_lane_now_us (s->lane);

  for (GList *l = s->delayed.head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    if (req->due_us > now)
      continue;
    g_queue_unlink (&s->delayed, l);
    requeue (s, req);
  }
  arm_delay (s);
  lunfs_session_dispatch (s);
}

/* Every request read from FUSE is answered some time: how long it may take with a path that is there. */
static bool
too_old (LunfsSession *s, const LunfsRequest *req)
{
  int64_t limit_s = s->timeouts.replacement_timeout;

  return limit_s >= 0 && lunfs_lane_now_us (s->lane) - req->submit_us >= MAX (limit_s, BUSY_LIMIT_S) * G_USEC_PER_SEC;
}

/* Later, with exponential pause and jitter, but not beyond the time an outage may last. */
static void
retry_later (LunfsSession *s, LunfsRequest *req, const LunfsVerdict *verdict)
{
  int64_t now = lunfs_lane_now_us (s->lane);
  int64_t pause_us = (int64_t) MAX (verdict->delay_ms, 1) * 1000 << MIN (req->tries, 12);

  if ((verdict->max_tries && req->tries >= verdict->max_tries) || too_old (s, req)) {
    finish_later (s, req, -verdict->err);
    return;
  }
  pause_us = MIN (pause_us, DELAY_CAP_US);
  pause_us += g_random_int_range (0, (int) (pause_us / 4) + 1);
  req->due_us = now + pause_us;
  LUNFS_COUNT (s->stats, retries, 1);
  g_queue_push_tail_link (&s->delayed, &req->link);
  arm_delay (s);
}

/* With a pause: TEST UNIT READY may say yes where this command does not.  Bounded by age only: other answers have counted
 * as tries. */
static void
wait_ready (LunfsSession *s, LunfsRequest *req, const LunfsVerdict *verdict)
{
  LunfsVerdict patient = *verdict;

  patient.max_tries = 0;
  retry_later (s, req, &patient);
}

static void
retry_now (LunfsSession *s, LunfsRequest *req, const LunfsVerdict *verdict)
{
  if (verdict->max_tries && req->tries >= verdict->max_tries) {
    finish_later (s, req, -verdict->err);
    return;
  }
  LUNFS_COUNT (s->stats, retries, 1);
  requeue (s, req);
}

/* Once for a burst: what was sent before the depth was last halved says nothing about the depth now. */
static void
shrink_depth (LunfsSession *s, const LunfsCommand *cmd)
{
  LUNFS_COUNT (s->stats, busy, 1);
  if (cmd->submit_us < s->shrunk_us)
    return;
  s->shrunk_us = lunfs_lane_now_us (s->lane);
  s->depth = MAX (1, MIN (s->depth, s->active.length + 1) / 2);
  s->successes = 0;
}

static void
grow_depth (LunfsSession *s)
{
  if (s->depth < s->ntasks && ++s->successes >= DEPTH_STEP) {
    s->depth++;
    s->successes = 0;
  }
}

/* ---- answers ---- */

static void
unit_attention (LunfsSession *s, LunfsRequest *req, const LunfsVerdict *verdict, const char *sense)
{
  LUNFS_COUNT (s->stats, unit_attentions, 1);
  if (++req->uas > verdict->max_tries) {
    finish_later (s, req, -verdict->err);
    return;
  }
  req->tries--; /* it was not executed */
  requeue (s, req);
  if (verdict->ua & LUNFS_UA_DEFERRED)
    s->events.deferred (s->user, EIO);
  lunfs_session_attend (s, verdict->ua, sense);
  if (verdict->ua
      & (LUNFS_UA_DEFERRED | LUNFS_UA_RESET | LUNFS_UA_CAPACITY | LUNFS_UA_MODE | LUNFS_UA_INQUIRY | LUNFS_UA_LUNS
         | LUNFS_UA_ALUA))
    lunfs_session_recheck (s, sense);
}

/* No SYNCHRONIZE CACHE in one form: the other one; in neither: as in Linux' sd driver, a disk without it has no cache. */
static void
flush_refused (LunfsSession *s, LunfsRequest *req, const LunfsCommand *cmd)
{
  if (cmd->cdb_len == 16) {
    s->sync10 = true;
    requeue (s, req);
    return;
  }
  if (!s->sync_unsupported)
    lunfs_notice ("%s: no SYNCHRONIZE CACHE command: taken as a disk without a volatile cache",
                  lunfs_session_label (s));
  s->sync_unsupported = true;
  finish_later (s, req, 0);
}

/* The target lacks the command.  The form that was sent counts: others in flight may have been refused already. */
static void
feature_off (LunfsSession *s, LunfsRequest *req, const LunfsCommand *cmd, const LunfsVerdict *verdict)
{
  uint64_t end = req->offset + req->length;

  if (req->op == LUNFS_OP_FLUSH) {
    flush_refused (s, req, cmd);
    return;
  }
  if (req->op != LUNFS_OP_READ && req->op != LUNFS_OP_WRITE) {
    /* 24/00 is how many targets refuse a command or a bit: callers fall back on this errno. */
    finish_later (s, req, -EOPNOTSUPP);
    return;
  }
  if (cmd->cdb_len == 10 || end / s->info.capacity.block_size > UINT32_MAX) {
    finish_later (s, req, -verdict->err);
    return;
  }
  if (!s->use10)
    lunfs_info ("%s: no 16-byte commands, using the 10-byte ones", lunfs_session_label (s));
  s->use10 = true;
  requeue (s, req);
}

void
lunfs_session_forget_features (LunfsSession *s)
{
  s->use10 = s->sync10 = s->sync_unsupported = false;
}

/* Not while it recovers: it has just been looked at, and what is written again after another login ends the same way. */
static void
look_again (LunfsSession *s, const char *why)
{
  if (s->state != LUNFS_SESSION_RECOVER)
    lunfs_session_recheck (s, why);
}

static void
went_read_only (LunfsSession *s)
{
  if (s->info.modes.write_protected)
    return;
  s->info.modes.write_protected = true;
  look_again (s, "the LUN is write protected now");
}

/* A synchronisation that failed is not just sent again: a target that has dropped its cache would say GOOD the second
 * time.  What it covers is written again first (recheck, recovery), then it is tried anew. */
static void
flush_failed (LunfsSession *s, LunfsRequest *req, const LunfsVerdict *verdict, const char *sense)
{
  s->events.deferred (s->user, verdict->err);
  if (verdict->action == LUNFS_ACT_FAIL || (verdict->max_tries && req->tries >= verdict->max_tries)
      || too_old (s, req)) {
    finish_later (s, req, -verdict->err);
  } else {
    LUNFS_COUNT (s->stats, retries, 1);
    requeue (s, req);
  }
  lunfs_session_recheck (s, sense);
}

/* The target keeps us out: once in the log, in the status until a write is let through again. */
static void
reserved (LunfsSession *s)
{
  static const char text[] = "RESERVATION CONFLICT: another initiator has reserved the LUN";

  LUNFS_COUNT (s->stats, reservation_conflicts, 1);
  s->events.taken (s->user);
  if (!s->reserved)
    lunfs_error ("%s: %s", lunfs_session_label (s), text);
  s->reserved = true;
  lunfs_session_set_error (s, text);
}

/* The first of a kind at a place is said; a program that reads on gets its error each time. */
static void
medium_error (LunfsSession *s, const LunfsRequest *req, const LunfsSense *sense, const char *text)
{
  uint64_t first = req->offset / s->info.capacity.block_size, n = req->length / s->info.capacity.block_size;
  uint64_t lba = sense->has_info && sense->info >= first && sense->info < first + n ? sense->info : first;
  bool exact = lba != first || n == 1 || sense->has_info;

  LUNFS_COUNT (s->stats, medium_errors, 1);
  if (s->bad_lba_known && s->bad_lba == lba)
    return;
  s->bad_lba_known = true;
  s->bad_lba = lba;
  if (exact)
    lunfs_error ("%s: %s: block %" G_GUINT64_FORMAT " (bytes from %" G_GUINT64_FORMAT ") cannot be read or written",
                 lunfs_session_label (s), text, lba, lba * s->info.capacity.block_size);
  else
    lunfs_error ("%s: %s: one of the %" G_GUINT64_FORMAT " blocks from %" G_GUINT64_FORMAT " on",
                 lunfs_session_label (s), text, n, lba);
}

/* What the cache tries again and again, perhaps for days (a full pool), is said once for each reason. */
static void
say_failed (LunfsSession *s, const LunfsRequest *req, const char *sense)
{
  if (req->flags & LUNFS_REQ_RETURN) {
    if (g_strcmp0 (s->own_failure, sense) == 0)
      return;
    g_free (s->own_failure);
    s->own_failure = g_strdup (sense);
  }
  lunfs_warning ("%s: %s of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT " failed: %s", lunfs_session_label (s),
                 req->op == LUNFS_OP_READ ? "read" : "command", req->length, req->offset, sense);
}

static void
act (LunfsSession *s, LunfsRequest *req, const LunfsCommand *cmd, const LunfsVerdict *verdict, const char *sense)
{
  switch (verdict->action) {
  case LUNFS_ACT_DONE: /* good() */
    break;
  case LUNFS_ACT_RETRY:
  case LUNFS_ACT_SPLIT:
    retry_now (s, req, verdict);
    break;
  case LUNFS_ACT_BUSY:
    shrink_depth (s, cmd);
    retry_later (s, req, verdict);
    break;
  case LUNFS_ACT_RETRY_LATER:
    retry_later (s, req, verdict);
    break;
  case LUNFS_ACT_UNIT_ATTENTION:
    unit_attention (s, req, verdict, sense);
    break;
  case LUNFS_ACT_WAIT_READY:
    wait_ready (s, req, verdict);
    if ((verdict->ua & LUNFS_UA_ALUA) && lunfs_portal_leave (s))
      lunfs_session_lost (s, sense); /* another portal may serve it */
    else
      lunfs_session_recheck (s, sense);
    break;
  case LUNFS_ACT_START_UNIT:
  case LUNFS_ACT_LUN_GONE:
    wait_ready (s, req, verdict);
    lunfs_session_recheck (s, sense); /* waits until it is ready, there, or replacement_timeout has passed */
    break;
  case LUNFS_ACT_FEATURE_OFF:
    feature_off (s, req, cmd, verdict);
    break;
  case LUNFS_ACT_READ_ONLY:
    finish_later (s, req, -verdict->err);
    went_read_only (s);
    break;
  case LUNFS_ACT_CAPACITY:
    finish_later (s, req, -verdict->err);
    look_again (s, sense);
    break;
  case LUNFS_ACT_SESSION_DEAD:
    requeue (s, req);
    lunfs_session_lost (s, sense);
    break;
  case LUNFS_ACT_FENCE:
    finish_later (s, req, -verdict->err);
    reserved (s);
    break;
  case LUNFS_ACT_FAIL:
    finish_later (s, req, -verdict->err);
    break;
  }
  if (req->result < 0 && verdict->action == LUNFS_ACT_FAIL)
    say_failed (s, req, sense);
}

/* It is done, perhaps after some effort (RECOVERED ERROR): is it all there? */
static void
good (LunfsSession *s, LunfsRequest *req, LunfsCommand *cmd)
{
  static const LunfsVerdict again = { .action = LUNFS_ACT_RETRY, .err = EIO, .max_tries = 3 };

  grow_depth (s);
  if (G_UNLIKELY (s->own_failure) && (req->flags & LUNFS_REQ_RETURN))
    g_clear_pointer (&s->own_failure, g_free);
  if (G_UNLIKELY (s->reserved) && req->op == LUNFS_OP_WRITE) {
    s->reserved = false;
    lunfs_session_set_error (s, NULL);
    lunfs_notice ("%s: no longer reserved by another initiator", lunfs_session_label (s));
  }
  if (cmd->underflow_bytes && (req->op == LUNFS_OP_READ || req->op == LUNFS_OP_WRITE)) {
    lunfs_warning ("%s: the target moved %u bytes too few without an error", lunfs_session_label (s),
                   cmd->underflow_bytes);
    retry_now (s, req, &again);
    return;
  }
  if (req->op == LUNFS_OP_FLUSH && s->recheck) { /* what it covers may be written again before long */
    requeue (s, req);
    return;
  }
  req->result = 0;
  if (req->op == LUNFS_OP_EXTENT) {
    uint32_t nblocks;
    uint64_t lba = req->offset / s->info.capacity.block_size;

    if (lunfs_lba_status_parse (cmd->iov[0].iov_base, cmd->xfer_bytes - MIN (cmd->underflow_bytes, cmd->xfer_bytes),
                                lba, &nblocks, &req->extent_mapped))
      req->extent_length = (uint64_t) nblocks * s->info.capacity.block_size;
    else
      req->result = -EOPNOTSUPP;
  }
  req->done (req);
}

static void
answered (LunfsSession *s, LunfsRequest *req, LunfsCommand *cmd)
{
  LunfsSense sense;
  LunfsVerdict verdict;
  char text[128];

  lunfs_sense_parse (cmd->sense, cmd->sense_len, &sense);
  verdict = lunfs_sense_verdict (cmd->status, &sense, lunfs_command_kind (req));
  lunfs_sense_text (cmd->status, &sense, text, sizeof text);
  lunfs_debug (SESSION, "%s: op %d at %" G_GUINT64_FORMAT ": %s -> action %d", lunfs_session_label (s), (int) req->op,
               req->offset, text, (int) verdict.action);
  if (verdict.ua
      & LUNFS_UA_DEFERRED) /* SPC-4 4.5.5: an earlier, acknowledged command failed; this one was not executed */
    lunfs_error ("%s: deferred error: %s", lunfs_session_label (s), text);
  if (verdict.action == LUNFS_ACT_DONE) {
    good (s, req, cmd);
    return;
  }
  if (req->op == LUNFS_OP_FLUSH && cmd->status == LUNFS_STATUS_CHECK_CONDITION
      && sense.key != LUNFS_KEY_ABORTED_COMMAND /* not executed: nothing has failed */
      && (verdict.action == LUNFS_ACT_RETRY || verdict.action == LUNFS_ACT_SPLIT
          || verdict.action == LUNFS_ACT_RETRY_LATER || verdict.action == LUNFS_ACT_FAIL))
    flush_failed (s, req, &verdict, text);
  else
    act (s, req, cmd, &verdict, text);
  if (req->result < 0 && sense.valid && sense.key == LUNFS_KEY_MEDIUM_ERROR)
    medium_error (s, req, &sense, text);
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

static void
task_done (LunfsCommand *cmd)
{
  LunfsTask *task = cmd->owner;
  LunfsSession *s = task->session;
  LunfsRequest *req = g_steal_pointer (&task->req);

  g_queue_unlink (&s->active, &task->link);
  g_queue_push_head_link (&s->idle, &task->link);
  if (cmd->status == LUNFS_STATUS_GOOD || cmd->status == LUNFS_STATUS_CONDITION_MET) {
    good (s, req, cmd);
  } else if (cmd->status == LUNFS_STATUS_NONE) { /* its fate is unknown: once more on the next session */
    LUNFS_COUNT (s->stats, replayed, 1);
    if (req->op == LUNFS_OP_WRITE || req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO)
      lunfs_guard_lost_write (s);
    if (s->transport) /* not from inside its close(): nothing more goes to this connection, the transport says why */
      lunfs_lane_defer (s->lane, &s->teardown);
    req->tries--; /* counts answers */
    if (req->flags & (LUNFS_REQ_RECOVERY | LUNFS_REQ_RETURN))
      finish_later (s, req, -ECANCELED);
    else if (given_up (s, req))
      finish_later (s, req, -EIO);
    else
      requeue (s, req);
  } else {
    answered (s, req, cmd);
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
  lunfs_command_build (&task->cmd, req, &form, task->iov, task->param);
  count_command (s, &task->cmd, req);
  s->transport->ops->submit (s->transport, &task->cmd);
}

/* On a LUN that has shrunk nothing is written; a flush, too, would say more than is true of what is kept. */
static bool
refused (const LunfsSession *s, const LunfsRequest *req)
{
  return s->info.shrunk_from_nblocks && req->op != LUNFS_OP_READ && req->op != LUNFS_OP_EXTENT;
}

void
lunfs_session_dispatch (LunfsSession *s)
{
  GQueue *queue = s->state == LUNFS_SESSION_UP ? &s->waiting : &s->recovery;

  if ((s->state != LUNFS_SESSION_UP && s->state != LUNFS_SESSION_RECOVER) || s->teardown.queued)
    return;
  if (s->state == LUNFS_SESSION_UP && s->recheck) /* what is in flight comes back first */
    return;
  while (queue->length && s->idle.length && s->active.length < s->depth) {
    GList *link = g_queue_pop_head_link (queue);

    if (G_UNLIKELY (refused (s, link->data)))
      finish_later (s, link->data, -EIO);
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
    finish_later (s, req, -EIO);
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
    finish_later (s, req, 0);
  } else if (req->flags & LUNFS_REQ_RECOVERY) {
    if (s->state == LUNFS_SESSION_RECOVER)
      g_queue_push_tail_link (&s->recovery, &req->link);
    else
      finish_later (s, req, -ECANCELED);
  } else if ((req->flags & LUNFS_REQ_RETURN) && s->state != LUNFS_SESSION_UP) {
    finish_later (s, req, -ECANCELED);
  } else if (s->failing || s->stopping || s->state == LUNFS_SESSION_FENCED || s->state == LUNFS_SESSION_STOPPED) {
    finish_later (s, req, -EIO);
  } else if (G_UNLIKELY (expired (s, req))) { /* waited to the left, behind others */
    LUNFS_COUNT (s->stats, timeouts, 1);
    finish_later (s, req, -EIO);
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
         || s->info.shrunk_from_nblocks;
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
    finish_later (s, req, -EINTR);
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
  s->delay.fire = delay_fired;
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
