/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps: what is sent is a table, what follows is decided by the function named after the step (after_...).
 *
 *   CHECK    KEYS -> RESERVE_FIRST -> FINAL                             this nexus is registered and holds it, or may
 *            KEYS -> [RESERVE_FIRST ->] REGISTER_SAME -> RESERVE -> FINAL
 *            KEYS -> ... -> REGISTER_NEW -> VERIFY -> CLAIM -> RESERVE -> FINAL        a new nexus
 *   TAKE     CAPABILITIES -> KEYS -> REGISTER_SAME | REGISTER_NEW -> [CLAIM ->] RESERVE -> FINAL
 *   RELEASE  UNREGISTER -> RELEASED, which gives up what is held, too (and, of all registrants, only our part of it); also at
 *            the end of a CHECK that finds it begun.  With .keep: RELEASE -> RELEASED
 *   PREEMPT  KEYS -> HOLDER_OF_VICTIM -> PREEMPT -> HOLDER_AFTER -> FINAL
 * What another initiator does meanwhile makes a step fail with RESERVATION CONFLICT: all again (ROUNDS_MAX). */
#include "config.h"

#include "session/reservation.h"

#include "scsi/sense.h"

#include <string.h>

#define ANSWER_BYTES 0xfff8 /* READ KEYS: 8190 of them */
#define ROUNDS_MAX 8
#define TRIES_MAX 16
#define LATER_MAX 30
#define LATER_US 1000000

typedef enum {
  CAPABILITIES,
  KEYS,
  HOLDER_SHOWN,
  RESERVE_FIRST,
  REGISTER_SAME,
  REGISTER_NEW,
  REGISTER_ANY,
  VERIFY,
  BACK_OUT,
  HOLDER_OF_OLDER,
  CLAIM,
  RESERVE,
  HOLDER,
  UNDO,
  FINAL,
  RELEASE,
  UNREGISTER,
  RELEASED,
  HOLDER_OF_VICTIM,
  PREEMPT,
  HOLDER_AFTER,
} Step;

typedef enum { GOOD, CONFLICT, REFUSED } Answer;

struct LunfsReservation {
  LunfsLane *lane;
  LunfsArenaReservation *wish;
  LunfsReservationEvents events;
  void *user;
  LunfsTransport *transport;
  LunfsCommand cmd;
  struct iovec iov;
  LunfsTimer timer;
  LunfsReserveJob job;
  Step step;
  bool running, in_flight;
  unsigned tries, laters, rounds;
  uint64_t key;    /* ours */
  unsigned type;   /* to reserve with; 0 = not at all */
  bool persists;   /* registered with APTPL */
  unsigned before; /* registrations with our key at the beginning of the round */
  uint32_t before_generation;
  bool leaving; /* CHECK goes on with the release that was begun */
  uint8_t param[LUNFS_PR_PARAM_BYTES];
  uint8_t *answer; /* NULL between jobs */
  size_t answer_len;
  LunfsReserveReport report;
};

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

static void
go (LunfsReservation *r, Step step)
{
  r->step = step;
  r->tries = r->laters = 0;
  send (r);
}

/* ---- ends ---- */

static void
end (LunfsReservation *r, LunfsReserveOutcome outcome, const char *text)
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

/* Another initiator was faster. */
static void
again (LunfsReservation *r)
{
  if (r->rounds++ < ROUNDS_MAX)
    go (r, KEYS);
  else
    end (r, LUNFS_RESERVE_FAILED, "other initiators change the registrations all the time");
}

static void
lose (LunfsReservation *r, LunfsReservationLoss why, uint64_t to)
{
  r->wish->lost_to = to;
  __atomic_store_n (&r->wish->lost, (uint8_t) why, __ATOMIC_RELEASE);
  end (r, LUNFS_RESERVE_LOST, NULL);
}

static void
forget (LunfsArenaReservation *wish)
{
  __atomic_store_n (&wish->key, 0, __ATOMIC_RELEASE);
  *wish = (LunfsArenaReservation){ 0 };
}

/* Registered, and reserved if that was asked for. */
static void
publish (LunfsReservation *r)
{
  LunfsArenaReservation *wish = r->wish;

  wish->generation = r->report.generation;
  wish->type = (uint8_t) r->type;
  wish->persists = r->persists;
  wish->lost_to = 0;
  wish->leaving = false;
  __atomic_store_n (&wish->lost, LUNFS_LOST_NOT, __ATOMIC_RELEASE);
  __atomic_store_n (&wish->key, r->key, __ATOMIC_RELEASE);
}

static void
refused (LunfsReservation *r)
{
  end (r, LUNFS_RESERVE_FAILED, "the target refuses a command of persistent reservations that it should know");
}

/* ---- answers ---- */

static bool
take_keys (LunfsReservation *r, LunfsKeys *keys)
{
  if (!lunfs_keys_parse (r->answer, r->answer_len, keys))
    return false;
  r->report.generation = keys->generation;
  r->report.nkeys = keys->nkeys;
  return true;
}

static bool
take_holder (LunfsReservation *r)
{
  return lunfs_holder_parse (r->answer, r->answer_len, &r->report.holder);
}

static void
after_capabilities (LunfsReservation *r, Answer answer)
{
  r->persists = answer == GOOD && lunfs_reservations_persist (r->answer, r->answer_len);
  go (r, KEYS);
}

/* CHECK: our key is registered, or it must be clear why not. */
static void
check_keys (LunfsReservation *r, uint32_t generation)
{
  if (r->before > 0)
    go (r, r->type ? RESERVE_FIRST : REGISTER_SAME);
  else if (r->leaving) {
    forget (r->wish);
    end (r, LUNFS_RESERVE_OK, NULL);
  } else if (!r->wish->persists && generation <= r->wish->generation)
    go (r, REGISTER_NEW);
  else
    lose (r, LUNFS_LOST_PREEMPTED, 0);
}

static void
show_keys (LunfsReservation *r, const LunfsKeys *keys)
{
  for (unsigned i = 0; i < MIN (keys->nkeys, LUNFS_RESERVE_KEYS_MAX); i++)
    r->report.keys[i] = lunfs_keys_get (r->answer, i);
  go (r, HOLDER_SHOWN);
}

static void
after_keys (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer != GOOD || !take_keys (r, &keys)) {
    if (r->job.what == LUNFS_RESERVE_CHECK)
      lose (r, LUNFS_LOST_PREEMPTED, 0);
    else
      end (r, LUNFS_RESERVE_UNSUPPORTED,
           "the target has no persistent reservations (PERSISTENT RESERVE IN is refused)");
    return;
  }
  r->before = lunfs_keys_count (r->answer, &keys, r->key);
  r->before_generation = keys.generation;
  switch (r->job.what) {
  case LUNFS_RESERVE_KEYS:
    show_keys (r, &keys);
    break;
  case LUNFS_RESERVE_CHECK:
    check_keys (r, keys.generation);
    break;
  case LUNFS_RESERVE_PREEMPT:
    if (lunfs_keys_count (r->answer, &keys, r->job.key) == 0)
      end (r, LUNFS_RESERVE_NO_KEY, "nobody is registered with that key");
    else
      go (r, HOLDER_OF_VICTIM);
    break;
  default:
    go (r, r->before > 0 ? REGISTER_SAME : REGISTER_NEW);
    break;
  }
}

static void
after_holder_shown (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD && take_holder (r))
    end (r, LUNFS_RESERVE_OK, NULL);
  else
    refused (r);
}

static void
after_reserve_first (LunfsReservation *r, Answer answer)
{
  go (r, answer == GOOD ? FINAL : REGISTER_SAME);
}

/* This nexus is registered; those before it are not needed any more. */
static void
registered (LunfsReservation *r, bool others)
{
  if (others)
    go (r, r->type ? CLAIM : HOLDER_OF_OLDER);
  else
    go (r, r->type ? RESERVE : FINAL);
}

static void
after_register_same (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD)
    registered (r, r->before > 1);
  else if (answer == CONFLICT)
    go (r, REGISTER_NEW);
  else
    refused (r);
}

static void
after_register_new (LunfsReservation *r, Answer answer)
{
  if (answer == REFUSED && r->persists) { /* it said that it could */
    r->persists = false;
    go (r, r->step);
  } else if (answer == REFUSED) {
    end (r, LUNFS_RESERVE_UNSUPPORTED, "the target does not let us register (PERSISTENT RESERVE OUT is refused)");
  } else if (answer == CONFLICT && r->job.what == LUNFS_RESERVE_TAKE && r->step == REGISTER_NEW) {
    go (r, REGISTER_ANY); /* with some other key, from an earlier time: it is our nexus, and our user has said which */
  } else if (answer == CONFLICT) {
    again (r);
  } else {
    r->report.anew = true;
    if (r->job.what == LUNFS_RESERVE_CHECK && r->before > 0)
      go (r, VERIFY);
    else
      registered (r, r->before > 0);
  }
}

static void
after_verify (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer != GOOD || !take_keys (r, &keys))
    refused (r);
  else if (keys.generation - r->before_generation <= 1)
    registered (r, true);
  else
    go (r, BACK_OUT);
}

static void
after_back_out (LunfsReservation *r, Answer answer)
{
  r->report.anew = false;
  again (r);
}

/* Registered only: a reservation that an older nexus of ours holds stays there, since nobody asked for it here. */
static void
after_holder_of_older (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r))
    refused (r);
  else
    go (r, r->report.holder.type && r->report.holder.key == r->key ? FINAL : CLAIM);
}

static void
after_claim (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD)
    go (r, r->type ? RESERVE : FINAL);
  else if (answer == CONFLICT)
    again (r);
  else
    refused (r);
}

static void
after_reserve (LunfsReservation *r, Answer answer)
{
  if (answer == REFUSED)
    end (r, LUNFS_RESERVE_UNSUPPORTED, "the target does not know this type of reservation");
  else
    go (r, answer == GOOD ? FINAL : HOLDER);
}

static void
after_holder (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r))
    refused (r);
  else if (r->report.holder.type == 0)
    again (r);
  else if (r->report.holder.type == r->type && lunfs_reservation_type_shared (r->type))
    go (r, FINAL); /* held by another of the registered: that is what this type is for */
  else if (r->job.what == LUNFS_RESERVE_CHECK)
    lose (r, LUNFS_LOST_HELD, r->report.holder.key);
  else if (r->report.anew)
    go (r, UNDO);
  else
    end (r, LUNFS_RESERVE_CONFLICT, NULL);
}

static void
after_undo (LunfsReservation *r, Answer answer)
{
  end (r, LUNFS_RESERVE_CONFLICT, NULL);
}

static void
after_final (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer != GOOD || !take_keys (r, &keys)) {
    refused (r);
  } else if (lunfs_keys_count (r->answer, &keys, r->key) == 0) {
    again (r);
  } else if (r->leaving) {
    go (r, UNREGISTER);
  } else {
    publish (r);
    end (r, LUNFS_RESERVE_OK, NULL);
  }
}

/* Whatever the target says: if it does not know us, there is nothing to be given up. */
static void
after_release (LunfsReservation *r, Answer answer)
{
  r->wish->type = 0;
  go (r, RELEASED);
}

static void
after_unregister (LunfsReservation *r, Answer answer)
{
  forget (r->wish);
  go (r, RELEASED);
}

static void
after_released (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer == GOOD && take_keys (r, &keys) && r->wish->key)
    r->wish->generation = keys.generation;
  end (r, LUNFS_RESERVE_OK, NULL);
}

static void
after_holder_of_victim (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r)) {
    refused (r);
    return;
  }
  if (!r->type) /* as it was */
    r->type = r->report.holder.type;
  go (r, PREEMPT);
}

static void
after_preempt (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD)
    go (r, HOLDER_AFTER);
  else if (answer == CONFLICT)
    end (r, LUNFS_RESERVE_CONFLICT, "another initiator has removed our registration, or that one, just now");
  else
    end (r, LUNFS_RESERVE_UNSUPPORTED,
         r->job.abort ? "the target does not know PREEMPT AND ABORT; lunfsctl preempt without --abort may do"
                      : "the target does not know PREEMPT");
}

static void
after_holder_after (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r)) {
    refused (r);
    return;
  }
  r->type = r->wish->type;
  if (r->report.holder.type && r->report.holder.key == r->key)
    r->type = r->report.holder.type;
  go (r, FINAL);
}

static void (*const after[]) (LunfsReservation *r, Answer answer) = {
  [CAPABILITIES] = after_capabilities,
  [KEYS] = after_keys,
  [HOLDER_SHOWN] = after_holder_shown,
  [RESERVE_FIRST] = after_reserve_first,
  [REGISTER_SAME] = after_register_same,
  [REGISTER_NEW] = after_register_new,
  [REGISTER_ANY] = after_register_new,
  [VERIFY] = after_verify,
  [BACK_OUT] = after_back_out,
  [HOLDER_OF_OLDER] = after_holder_of_older,
  [CLAIM] = after_claim,
  [RESERVE] = after_reserve,
  [HOLDER] = after_holder,
  [UNDO] = after_undo,
  [FINAL] = after_final,
  [RELEASE] = after_release,
  [UNREGISTER] = after_unregister,
  [RELEASED] = after_released,
  [HOLDER_OF_VICTIM] = after_holder_of_victim,
  [PREEMPT] = after_preempt,
  [HOLDER_AFTER] = after_holder_after,
};

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
      end (r, LUNFS_RESERVE_FAILED, sense);
    return;
  case LUNFS_ACT_RETRY_LATER:
  case LUNFS_ACT_BUSY:
  case LUNFS_ACT_WAIT_READY:
  case LUNFS_ACT_START_UNIT:
    if (r->laters++ < LATER_MAX)
      lunfs_lane_arm (r->lane, &r->timer, LATER_US);
    else
      end (r, LUNFS_RESERVE_FAILED, sense);
    return;
  default:
    end (r, LUNFS_RESERVE_FAILED, sense);
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
    end (r, LUNFS_RESERVE_GONE, "the session was lost; how far it came is not known");
    return;
  }
  r->answer_len = cmd->xfer == LUNFS_XFER_IN ? cmd->xfer_bytes - MIN (cmd->underflow_bytes, cmd->xfer_bytes) : 0;
  lunfs_sense_parse (cmd->sense, cmd->sense_len, &sense);
  verdict = lunfs_sense_verdict (cmd->status, &sense, LUNFS_CMD_OTHER);
  if (verdict.action == LUNFS_ACT_DONE)
    after[r->step](r, GOOD);
  else if (cmd->status == LUNFS_STATUS_RESERVATION_CONFLICT)
    after[r->step](r, CONFLICT);
  else if (cmd->status == LUNFS_STATUS_CHECK_CONDITION && sense.key == LUNFS_KEY_ILLEGAL_REQUEST
           && verdict.action != LUNFS_ACT_LUN_GONE)
    after[r->step](r, REFUSED);
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

static Step
first_step (LunfsReservation *r)
{
  switch (r->job.what) {
  case LUNFS_RESERVE_TAKE:
    return CAPABILITIES;
  case LUNFS_RESERVE_RELEASE:
    if (r->job.keep)
      return r->type ? RELEASE : RELEASED;
    __atomic_store_n (&r->wish->leaving, true, __ATOMIC_RELEASE); /* a successor ends what was begun */
    return UNREGISTER;
  default:
    return KEYS;
  }
}

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
  r->type = wish->key ? wish->type : 0;
  r->persists = wish->persists;
  r->leaving = job->what == LUNFS_RESERVE_CHECK && wish->leaving;
  if (job->what == LUNFS_RESERVE_TAKE)
    r->type = job->type ? job->type : ours ? wish->type : 0;
  else if (job->what == LUNFS_RESERVE_PREEMPT && job->type)
    r->type = job->type;
  go (r, first_step (r));
}

void
lunfs_reservation_abort (LunfsReservation *r)
{
  if (!r->running)
    return;
  if (r->job.what != LUNFS_RESERVE_CHECK) {
    end (r, LUNFS_RESERVE_GONE, "the session was lost; how far it came is not known");
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
