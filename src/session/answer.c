/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an answer of the target means for its request: done, failed, once more now, or later.  The decision is
 * scsi/sense.c's; this file carries it out. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"

#include <errno.h>
#include <string.h>

#define DELAY_CAP_US 2000000
#define BUSY_LIMIT_S 30 /* a busy target is retried that long even if an outage may not last at all */
#define DEPTH_STEP 64   /* good answers before the depth grows by one again */

/* ---- back into the queue ---- */

/* LunfsSession.waiting is sorted by seq; what comes back is older than nearly all of it. */
void
lunfs_session_requeue (LunfsSession *s, LunfsRequest *req)
{
  GList *before = s->waiting.head;

  if (req->flags & LUNFS_REQ_RECOVERY) {
    g_queue_push_tail_link (&s->recovery, &req->link);
    return;
  }
  if (s->failing || s->stopping) {
    lunfs_session_finish_later (s, req, -EIO);
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

void
lunfs_session_delay_fired (LunfsTimer *timer)
{
  LunfsSession *s = (LunfsSession *) ((char *) timer - offsetof (LunfsSession, delay));
  int64_t now = lunfs_lane_now_us (s->lane);

  for (GList *l = s->delayed.head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    if (req->due_us > now)
      continue;
    g_queue_unlink (&s->delayed, l);
    lunfs_session_requeue (s, req);
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
    lunfs_session_finish_later (s, req, -verdict->err);
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
    lunfs_session_finish_later (s, req, -verdict->err);
    return;
  }
  LUNFS_COUNT (s->stats, retries, 1);
  lunfs_session_requeue (s, req);
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
    lunfs_session_finish_later (s, req, -verdict->err);
    return;
  }
  req->tries--; /* it was not executed */
  lunfs_session_requeue (s, req);
  if (verdict->ua & LUNFS_UA_DEFERRED)
    s->events.deferred (s->user, EIO);
  lunfs_session_attend (s, verdict->ua, sense);
  if (verdict->ua & LUNFS_UA_RECHECK)
    lunfs_session_recheck (s, sense);
}

/* No SYNCHRONIZE CACHE in one form: the other one; in neither: as in Linux' sd driver, a disk without it has no cache. */
static void
flush_refused (LunfsSession *s, LunfsRequest *req, const LunfsCommand *cmd)
{
  if (cmd->cdb_len == 16) {
    s->sync10 = true;
    lunfs_session_requeue (s, req);
    return;
  }
  if (!s->sync_unsupported)
    lunfs_notice ("%s: no SYNCHRONIZE CACHE command: taken as a disk without a volatile cache",
                  lunfs_session_label (s));
  s->sync_unsupported = true;
  lunfs_session_finish_later (s, req, 0);
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
    lunfs_session_finish_later (s, req, -EOPNOTSUPP);
    return;
  }
  if (cmd->cdb_len == 10 || end / s->info.capacity.block_size > UINT32_MAX) {
    lunfs_session_finish_later (s, req, -verdict->err);
    return;
  }
  if (!s->use10)
    lunfs_info ("%s: no 16-byte commands, using the 10-byte ones", lunfs_session_label (s));
  s->use10 = true;
  lunfs_session_requeue (s, req);
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
    lunfs_session_finish_later (s, req, -verdict->err);
  } else {
    LUNFS_COUNT (s->stats, retries, 1);
    lunfs_session_requeue (s, req);
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
  if (lunfs_hold_is_lost (s)) /* that is why */
    return;
  if (!s->reserved)
    lunfs_error ("%s: %s", lunfs_session_label (s), text);
  lunfs_session_set_error (s, text);
  if (!s->reserved && lunfs_hold_stands (s))
    look_again (s, text);
  s->reserved = true;
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
  case LUNFS_ACT_DONE: /* lunfs_session_good () */
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
    lunfs_session_finish_later (s, req, -verdict->err);
    went_read_only (s);
    break;
  case LUNFS_ACT_CAPACITY:
    lunfs_session_finish_later (s, req, -verdict->err);
    look_again (s, sense);
    break;
  case LUNFS_ACT_SESSION_DEAD:
    lunfs_session_requeue (s, req);
    lunfs_session_lost (s, sense);
    break;
  case LUNFS_ACT_FENCE:
    lunfs_session_finish_later (s, req, -verdict->err);
    reserved (s);
    break;
  case LUNFS_ACT_FAIL:
    lunfs_session_finish_later (s, req, -verdict->err);
    break;
  }
  if (req->result < 0 && verdict->action == LUNFS_ACT_FAIL)
    say_failed (s, req, sense);
}

void
lunfs_session_good (LunfsSession *s, LunfsRequest *req, LunfsCommand *cmd)
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
    lunfs_session_requeue (s, req);
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
record (LunfsSession *s, const LunfsRequest *req, const LunfsCommand *cmd, const LunfsSense *sense, LunfsAction action,
        const char *text)
{
  uint32_t block_size = MAX (s->info.capacity.block_size, 1);
  LunfsRecord r = {
    .real_us = g_get_real_time (),
    .lba = req->offset / block_size,
    .nblocks = (uint32_t) (req->length / block_size),
    .op = req->op,
    .status = cmd->status,
    .key = sense->key,
    .asc = sense->asc,
    .ascq = sense->ascq,
    .tries = req->tries,
    .action = action,
  };

  g_strlcpy (r.text, text, sizeof r.text);
  lunfs_recorder_add (s->recorder, &r);
}

void
lunfs_session_answered (LunfsSession *s, LunfsRequest *req, LunfsCommand *cmd)
{
  LunfsSense sense;
  LunfsVerdict verdict;
  char text[128];

  lunfs_sense_parse (cmd->sense, cmd->sense_len, &sense);
  verdict = lunfs_sense_verdict (cmd->status, &sense, lunfs_command_kind (req));
  lunfs_sense_text (cmd->status, &sense, text, sizeof text);
  lunfs_debug (SESSION, "%s: op %d at %" G_GUINT64_FORMAT ": %s -> action %d", lunfs_session_label (s), (int) req->op,
               req->offset, text, (int) verdict.action);
  record (s, req, cmd, &sense, verdict.action, text);
  if (verdict.ua
      & LUNFS_UA_DEFERRED) /* SPC-4 4.5.5: an earlier, acknowledged command failed; this one was not executed */
    lunfs_error ("%s: deferred error: %s", lunfs_session_label (s), text);
  if (verdict.action == LUNFS_ACT_DONE) {
    lunfs_session_good (s, req, cmd);
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
