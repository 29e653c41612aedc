/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One command at a time: what each step sends, and what the answer is apart from reservations.  What follows from it is
 * decided in reservation_steps.c. */
#include "config.h"

#include "session/reservation-private.h"

#include "scsi/sense.h"

#include <string.h>

#define ANSWER_BYTES 0xfff8 /* READ KEYS: 8190 of them */
#define TRIES_MAX 16
#define LATER_MAX 30
#define LATER_US 1000000

/* ---- sending ---- */

static const struct {
  bool out;
  uint8_t action;
} commands[] = {
  [CAPABILITIES] = { false, LUNFS_PR_REPORT_CAPABILITIES },
  [KEYS] = { false, LUNFS_PR_READ_KEYS },
  [HOLDER_SHOWN] = { false, LUNFS_PR_READ_RESERVATION },
  [RESERVE_FIRST] = { true, LUNFS_PR_RESERVE },
  [REGISTER_SAME] = { true, LUNFS_PR_REGISTER },
  [REGISTER_NEW] = { true, LUNFS_PR_REGISTER },
  [REGISTER_ANY] = { true, LUNFS_PR_REGISTER_AND_IGNORE },
  [VERIFY] = { false, LUNFS_PR_READ_KEYS },
  [BACK_OUT] = { true, LUNFS_PR_REGISTER },
  [HOLDER_OF_OLDER] = { false, LUNFS_PR_READ_RESERVATION },
  [CLAIM] = { true, LUNFS_PR_PREEMPT },
  [RESERVE] = { true, LUNFS_PR_RESERVE },
  [HOLDER] = { false, LUNFS_PR_READ_RESERVATION },
  [UNDO] = { true, LUNFS_PR_REGISTER },
  [FINAL] = { false, LUNFS_PR_READ_KEYS },
  [RELEASE] = { true, LUNFS_PR_RELEASE },
  [UNREGISTER] = { true, LUNFS_PR_REGISTER },
  [RELEASED] = { false, LUNFS_PR_READ_KEYS },
  [HOLDER_OF_VICTIM] = { false, LUNFS_PR_READ_RESERVATION },
  [PREEMPT] = { true, LUNFS_PR_PREEMPT },
  [HOLDER_AFTER] = { false, LUNFS_PR_READ_RESERVATION },
};

/* The key that must be ours for the command to be carried out, and the one it is about. */
static void
build_param (LunfsReservation *r)
{
  uint64_t ours = r->key, other = 0;
  bool registers = commands[r->step].action == LUNFS_PR_REGISTER || r->step == REGISTER_ANY;

  if (r->step == REGISTER_NEW || r->step == REGISTER_ANY)
    ours = 0;
  if (r->step == REGISTER_SAME || r->step == REGISTER_NEW || r->step == REGISTER_ANY || r->step == CLAIM)
    other = r->key;
  else if (r->step == PREEMPT)
    other = r->job.key;
  lunfs_reserve_param (r->param, ours, other, registers && r->persists);
}

static unsigned
type_of_step (const LunfsReservation *r)
{
  switch (r->step) {
  case RESERVE_FIRST:
  case RESERVE:
  case RELEASE:
    return r->type;
  case CLAIM:
  case PREEMPT: /* means something only if they take a reservation over */
    return r->type ? r->type : LUNFS_PR_WRITE_EXCLUSIVE;
  default:
    return 0;
  }
}

static void
send (LunfsReservation *r)
{
  LunfsCommand *cmd = &r->cmd;
  unsigned action = commands[r->step].action;

  if (r->step == PREEMPT && r->job.abort)
    action = LUNFS_PR_PREEMPT_AND_ABORT;
  if (commands[r->step].out) {
    build_param (r);
    cmd->cdb_len = (uint8_t) lunfs_cdb_reserve_out (cmd->cdb, action, type_of_step (r));
    cmd->xfer = LUNFS_XFER_OUT;
    r->iov = (struct iovec){ r->param, sizeof r->param };
    r->report.changed = true;
  } else {
    cmd->cdb_len = (uint8_t) lunfs_cdb_reserve_in (cmd->cdb, action, ANSWER_BYTES);
    cmd->xfer = LUNFS_XFER_IN;
    r->iov = (struct iovec){ r->answer, ANSWER_BYTES };
  }
  cmd->iov = &r->iov;
  cmd->niov = 1;
  cmd->xfer_bytes = (uint32_t) r->iov.iov_len;
  r->tries++;
  r->in_flight = true;
  r->transport->ops->submit (r->transport, cmd);
}

void
lunfs_reservation_go (LunfsReservation *r, Step step)
{
  r->step = step;
  r->tries = r->laters = 0;
  send (r);
}

/* ---- ends ---- */

void
lunfs_reservation_end (LunfsReservation *r, LunfsReserveOutcome outcome, const char *text)
{
  LunfsReserveJob job = r->job;

  r->running = false;
  lunfs_lane_cancel (r->lane, &r->timer);
  r->report.outcome = outcome;
  g_strlcpy (r->report.text, text ? text : "", sizeof r->report.text);
  if (!r->in_flight)
    g_clear_pointer (&r->answer, g_free);
  r->events.done (r->user, &job, &r->report);
}

/* ---- answers ---- */

/* Neither carried out nor a matter of reservations. */
static void
unanswered (LunfsReservation *r, const LunfsVerdict *verdict, const char *sense)
{
  switch (verdict->action) {
  case LUNFS_ACT_UNIT_ATTENTION:
    r->events.attended (r->user, &r->job, verdict->ua, sense);
    if (!r->running)
      return;
    /* fall through */
  case LUNFS_ACT_RETRY:
    if (r->tries < TRIES_MAX)
      send (r);
    else
      lunfs_reservation_end (r, LUNFS_RESERVE_FAILED, sense);
    return;
  case LUNFS_ACT_RETRY_LATER:
  case LUNFS_ACT_BUSY:
  case LUNFS_ACT_WAIT_READY:
  case LUNFS_ACT_START_UNIT:
    if (r->laters++ < LATER_MAX)
      lunfs_lane_arm (r->lane, &r->timer, LATER_US);
    else
      lunfs_reservation_end (r, LUNFS_RESERVE_FAILED, sense);
    return;
  default:
    lunfs_reservation_end (r, LUNFS_RESERVE_FAILED, sense);
  }
}

static void
command_done (LunfsCommand *cmd)
{
  LunfsReservation *r = cmd->owner;
  LunfsSense sense;
  LunfsVerdict verdict;
  char text[128];

  r->in_flight = false;
  if (!r->running) {
    g_clear_pointer (&r->answer, g_free);
    return;
  }
  if (cmd->status == LUNFS_STATUS_NONE) {
    lunfs_reservation_end (r, LUNFS_RESERVE_GONE, "the session was lost; how far it came is not known");
    return;
  }
  r->answer_len = cmd->xfer == LUNFS_XFER_IN ? cmd->xfer_bytes - MIN (cmd->underflow_bytes, cmd->xfer_bytes) : 0;
  lunfs_sense_parse (cmd->sense, cmd->sense_len, &sense);
  verdict = lunfs_sense_verdict (cmd->status, &sense, LUNFS_CMD_OTHER);
  if (verdict.action == LUNFS_ACT_DONE)
    lunfs_reservation_take (r, GOOD);
  else if (cmd->status == LUNFS_STATUS_RESERVATION_CONFLICT)
    lunfs_reservation_take (r, CONFLICT);
  else if (cmd->status == LUNFS_STATUS_CHECK_CONDITION && sense.key == LUNFS_KEY_ILLEGAL_REQUEST
           && verdict.action != LUNFS_ACT_LUN_GONE)
    lunfs_reservation_take (r, REFUSED);
  else
    unanswered (r, &verdict, lunfs_sense_text (cmd->status, &sense, text, sizeof text));
}

static void
timer_fired (LunfsTimer *timer)
{
  LunfsReservation *r = (LunfsReservation *) ((char *) timer - offsetof (LunfsReservation, timer));

  if (r->running && !r->in_flight)
    send (r);
}

/* ---- jobs ---- */

void
lunfs_reservation_start (LunfsReservation *r, LunfsTransport *transport, const LunfsReserveJob *job)
{
  const LunfsArenaReservation *wish = r->wish;
  bool ours = wish->key && !wish->lost;

  g_assert (!r->running && !r->in_flight);
  r->transport = transport;
  r->job = *job;
  r->running = true;
  r->rounds = r->before = 0;
  r->report = (LunfsReserveReport){ 0 };
  r->answer = g_malloc (ANSWER_BYTES);
  r->key = job->what == LUNFS_RESERVE_TAKE ? job->key : wish->key;
  r->leaving = job->what == LUNFS_RESERVE_CHECK && (wish->begun & LUNFS_BEGUN_LEAVING);
  r->type = wish->key && !r->leaving ? wish->type : 0;
  r->persists = wish->persists;
  r->leftover = false;
  if (job->what == LUNFS_RESERVE_TAKE)
    r->type = job->type ? job->type : ours ? wish->type : 0;
  else if (job->what == LUNFS_RESERVE_PREEMPT && job->type)
    r->type = job->type;
  lunfs_reservation_go (r, lunfs_reservation_first_step (r));
}

void
lunfs_reservation_abort (LunfsReservation *r)
{
  if (!r->running)
    return;
  if (r->job.what != LUNFS_RESERVE_CHECK) {
    lunfs_reservation_end (r, LUNFS_RESERVE_GONE, "the session was lost; how far it came is not known");
    return;
  }
  r->running = false;
  lunfs_lane_cancel (r->lane, &r->timer);
  if (!r->in_flight)
    g_clear_pointer (&r->answer, g_free);
}

bool
lunfs_reservation_busy (const LunfsReservation *r)
{
  return r->running || r->in_flight;
}

bool
lunfs_reservation_looks (const LunfsReservation *r)
{
  return r->job.what == LUNFS_RESERVE_KEYS;
}

int64_t
lunfs_reservation_since_us (const LunfsReservation *r)
{
  return r->in_flight ? r->cmd.submit_us : 0;
}

LunfsReservation *
lunfs_reservation_new (LunfsLane *lane, LunfsArenaReservation *wish, const LunfsReservationEvents *events, void *user)
{
  LunfsReservation *r = g_new0 (LunfsReservation, 1);

  r->lane = lane;
  r->wish = wish;
  r->events = *events;
  r->user = user;
  r->cmd.done = command_done;
  r->cmd.owner = r;
  r->timer.fire = timer_fired;
  return r;
}

void
lunfs_reservation_free (LunfsReservation *r)
{
  if (!r)
    return;
  g_assert (!r->in_flight);
  lunfs_lane_cancel (r->lane, &r->timer);
  g_free (r->answer);
  g_free (r);
}
