/* SPDX-License-Identifier: GPL-2.0-or-later */
/* phase    event                       next    what
 * SERVE    TICK start_at               SERVE   START
 *          TICK serve_by               END     KILL; the worker never came to serve
 *          TICK ready_at               SERVE   READY
 *          SERVING, SETTLED OK         SERVE   READY once both are in
 *          SETTLED not OK, not ready   END     STOP; that is the outcome
 *          STOPPED                     END     the mount is gone: the worker leaves by itself
 *          EXITED                      SERVE   start again after a back-off (*); DONE if none ever served
 *          TERMINATE                   LINGER  UNMOUNT if nobody uses it; again and again
 *                                      FLUSH   (not ready yet, or no linger) STOP with the whole limit; DONE if none runs
 * LINGER   as SERVE, but
 *          TICK linger_until           FLUSH   STOP with what is left of the limit
 *          TERMINATE                   FLUSH   the same
 * FLUSH    EXITED, time left           FLUSH   start again, STOP with the rest: dirty data is still in the arena
 *          LEFT, time left             FLUSH   FOLLOW, STOP with the rest
 *          STOPPED                     END
 *          TERMINATE                   END     STOP at once
 *          TICK kill_at                END     KILL
 * END      EXITED                      DONE    FINISH
 *          TERMINATE                   END     STOP at once
 *          LEFT                        END     KILL
 *          TICK kill_at                END     KILL; DONE if it was killed already
 *
 * (*) The back-off grows with each worker in a row that dies young: the next one may well die of the same.  SIGKILL to one that
 * served comes from outside, from an administrator or for want of memory, and ends the row: the next one starts at once, but
 * not more often than every 100 ms.
 *
 * Beside that, the step of an upgrade:
 * step     event                       next    what
 * NONE     UPGRADE                     CHECK   CHECK; in other phases than SERVE, and in other steps: DECLINE
 * CHECK    FITS                        LEAVE   LEAVE
 *                                      START   (no worker runs: in a back-off) start at once
 *          MISFIT                      NONE
 *          TICK step_at                NONE    ABANDON; no answer
 * LEAVE    LEFT                        START   SWITCH, FOLLOW: the same process goes on as the new program.  So somebody always has
 *                                              the mount, and sees to it if we are killed
 *          EXITED                      START   start at once
 *          TICK step_at                LEAVE   KILL; its exit follows
 * START    (the worker is started)     START   SWITCH
 *          SERVING                     TRIAL   UPGRADED
 *          EXITED                      DOUBT   FALL_BACK, start at once
 *          TICK step_at                START   KILL; its exit follows
 * TRIAL    EXITED                      DOUBT   FALL_BACK, start at once
 *          EXITED, ACCUSED             TRIAL   start again as ever: it is not to blame
 *          TICK step_at                NONE    CONFIRM
 *          UPGRADE                     CHECK   CONFIRM, CHECK
 * DOUBT    EXITED, ACCUSED             START   start again as ever: the former program crashes over the same
 *          TICK step_at                NONE    CONFIRM
 *          UPGRADE                     CHECK   CONFIRM, CHECK
 *          TERMINATE                   NONE    CONFIRM, when LINGER, if any, has ended
 * A worker that dies in CHECK has a successor as ever.  TERMINATE: LINGER goes on with LEAVE, START and TRIAL; what has not
 * been started by FLUSH or END is given up (ABANDON), and so is CHECK. */
#include "config.h"

#include "supervisor/policy.h"

#include <glib.h>
#include <signal.h>

#include "lunfs/error.h"

#define MS INT64_C (1000)
#define SECOND INT64_C (1000000)

#define LONG_LIFE_US (10 * SECOND)
#define BACKOFF_FIRST_US (100 * MS)
#define BACKOFF_MAX_US (5 * SECOND)
#define SERVE_WITHIN_US (30 * SECOND) /* until SERVING nothing but local work is done */
#define KILL_GRACE_US (2 * SECOND)    /* beyond the limit that the worker was told */
#define LEAVE_WITHIN_US (5 * SECOND)  /* from STOPPED to the exit */
#define REAP_WITHIN_US (5 * SECOND)   /* from SIGKILL to the end of it */
#define UNMOUNT_EVERY_US (250 * MS)
#define EARLY_DEATHS_MAX 5
#define CHECK_WITHIN_US (5 * SECOND) /* to print one line, on a machine that is busy */
#define NEW_SERVES_WITHIN_US (10 * SECOND)
#define TRIAL_US (10 * SECOND) /* of service, before a death is no longer the upgrade's */

void
lunfs_policy_init (LunfsPolicy *p, int64_t login_wait_us, int64_t stop_timeout_us, int64_t now_us)
{
  *p = (LunfsPolicy){
    .login_wait_us = MAX (login_wait_us, 0),
    .stop_timeout_us = MAX (stop_timeout_us, 0),
    .waited_for = true,
    .start_at = now_us,
    .serve_by = LUNFS_NEVER,
    .ready_at = LUNFS_NEVER,
    .kill_at = LUNFS_NEVER,
    .unmount_at = LUNFS_NEVER,
    .linger_until = LUNFS_NEVER,
    .step_at = LUNFS_NEVER,
  };
}

void
lunfs_policy_adopt (LunfsPolicy *p)
{
  p->served = p->settled = true;
}

int64_t
lunfs_policy_backoff_us (unsigned short_lives)
{
  if (short_lives <= 1)
    return 0;
  return MIN (BACKOFF_FIRST_US << MIN (short_lives - 2, 16), BACKOFF_MAX_US);
}

int64_t
lunfs_policy_deadline (const LunfsPolicy *p)
{
  return MIN (MIN (MIN (p->start_at, p->serve_by), MIN (p->ready_at, p->kill_at)),
              MIN (MIN (p->unmount_at, p->linger_until), p->step_at));
}

static void
decide (LunfsPolicy *p, int status, LunfsPolicyCause cause)
{
  if (p->failed)
    return;
  p->failed = true;
  p->status = status;
  p->cause = cause;
}

/* A command that waits must not be told that all is well about a mount that is not there. */
static unsigned
finish (LunfsPolicy *p)
{
  if (p->waited_for && !p->ready && !p->failed && p->status == LUNFS_EXIT_OK)
    decide (p, LUNFS_EXIT_FAILED, LUNFS_CAUSE_EARLY);
  p->phase = LUNFS_PHASE_DONE;
  p->start_at = p->serve_by = p->ready_at = p->kill_at = p->unmount_at = p->linger_until = p->step_at = LUNFS_NEVER;
  return LUNFS_DO_FINISH;
}

static void
set_step (LunfsPolicy *p, LunfsUpgradeStep step, int64_t at_us)
{
  p->step = step;
  p->step_at = at_us;
}

/* The end has begun: what has not begun to run by now does not. */
static unsigned
give_up_upgrade (LunfsPolicy *p)
{
  if (p->step == LUNFS_STEP_DOUBT) {
    set_step (p, LUNFS_STEP_NONE, LUNFS_NEVER);
    return LUNFS_DO_CONFIRM;
  }
  if (p->step == LUNFS_STEP_NONE || p->step == LUNFS_STEP_TRIAL || (p->step == LUNFS_STEP_START && p->running))
    return 0;
  set_step (p, LUNFS_STEP_NONE, LUNFS_NEVER);
  return LUNFS_DO_ABANDON;
}

static unsigned
ask_to_stop (LunfsPolicy *p, LunfsPolicyPhase phase, int64_t limit_us, int64_t now_us)
{
  p->phase = phase;
  p->serve_by = p->ready_at = p->unmount_at = p->linger_until = LUNFS_NEVER;
  p->stop_limit_ms = (uint32_t) MIN (MAX (limit_us, 0) / MS, G_MAXUINT32);
  p->kill_at = now_us + MAX (limit_us, 0) + KILL_GRACE_US;
  return LUNFS_DO_STOP | give_up_upgrade (p);
}

static unsigned
become_ready (LunfsPolicy *p)
{
  p->ready = true;
  p->ready_at = LUNFS_NEVER;
  return LUNFS_DO_READY;
}

static unsigned
on_serving (LunfsPolicy *p, int64_t now_us)
{
  unsigned actions = 0;

  p->serve_by = LUNFS_NEVER;
  p->serving = true;
  if (p->step == LUNFS_STEP_START && p->running) {
    set_step (p, LUNFS_STEP_TRIAL, now_us + TRIAL_US);
    actions = LUNFS_DO_UPGRADED;
  }
  if (p->phase != LUNFS_PHASE_SERVE && p->phase != LUNFS_PHASE_LINGER)
    return actions;
  if (!p->served)
    p->ready_at = now_us + p->login_wait_us;
  p->served = true;
  return !p->ready && (p->settled || p->ready_at <= now_us) ? actions | become_ready (p) : actions;
}

static unsigned
on_settled (LunfsPolicy *p, int status, int64_t now_us)
{
  if (p->phase != LUNFS_PHASE_SERVE || p->ready)
    return 0;
  p->settled = true;
  if (status == LUNFS_EXIT_OK)
    return p->served ? become_ready (p) : 0;
  decide (p, status, LUNFS_CAUSE_WORKER);
  return ask_to_stop (p, LUNFS_PHASE_END, p->stop_timeout_us, now_us);
}

static unsigned
on_stopped (LunfsPolicy *p, int status, int64_t now_us)
{
  p->stopped = true;
  p->phase = LUNFS_PHASE_END;
  p->serve_by = p->ready_at = p->unmount_at = p->linger_until = LUNFS_NEVER;
  p->kill_at = now_us + LEAVE_WITHIN_US;
  if (!p->failed) {
    p->status = status;
    p->cause = LUNFS_CAUSE_WORKER;
  }
  return give_up_upgrade (p);
}

static unsigned
start_again (LunfsPolicy *p, int killed_by, int64_t now_us)
{
  bool from_outside = killed_by == SIGKILL && p->serving;

  if (from_outside || now_us - p->started_us >= LONG_LIFE_US)
    p->short_lives = 0;
  if (from_outside) {
    p->start_at = MAX (now_us, p->started_us + BACKOFF_FIRST_US);
    return 0;
  }
  p->short_lives++;
  if (!p->served && p->short_lives >= EARLY_DEATHS_MAX) {
    decide (p, LUNFS_EXIT_FAILED, LUNFS_CAUSE_CRASHES);
    return finish (p);
  }
  p->start_at = now_us + lunfs_policy_backoff_us (p->short_lives);
  return 0;
}

/* Another worker follows.  One that was to leave for it, or that the upgrade is to blame for, costs no pause. */
static unsigned
succeed (LunfsPolicy *p, int killed_by, int64_t now_us)
{
  bool is_new = p->step == LUNFS_STEP_START || p->step == LUNFS_STEP_TRIAL;

  if (is_new && !p->accused) {
    set_step (p, LUNFS_STEP_DOUBT, now_us + TRIAL_US);
    p->start_at = now_us;
    return LUNFS_DO_FALL_BACK;
  }
  if (p->step == LUNFS_STEP_LEAVE) {
    set_step (p, LUNFS_STEP_START, LUNFS_NEVER);
    p->start_at = now_us;
    return 0;
  }
  if (p->step == LUNFS_STEP_DOUBT && p->accused)
    set_step (p, LUNFS_STEP_START, LUNFS_NEVER);
  return start_again (p, killed_by, now_us);
}

static unsigned
on_exited (LunfsPolicy *p, int killed_by, int64_t now_us)
{
  p->running = false;
  p->serve_by = LUNFS_NEVER;
  if (p->phase == LUNFS_PHASE_SERVE || p->phase == LUNFS_PHASE_LINGER)
    return succeed (p, killed_by, now_us);
  if (p->phase == LUNFS_PHASE_FLUSH && now_us < p->kill_at - KILL_GRACE_US)
    return succeed (p, killed_by, now_us);
  if (!p->stopped)
    decide (p, LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED);
  return finish (p);
}

static unsigned
end_linger (LunfsPolicy *p, int64_t now_us)
{
  unsigned actions = ask_to_stop (p, LUNFS_PHASE_FLUSH, p->stop_by - now_us, now_us);

  if (p->running)
    return actions;
  p->start_at = now_us; /* the dead one's successor has to flush */
  return actions & ~(unsigned) LUNFS_DO_STOP;
}

static unsigned
on_terminate (LunfsPolicy *p, int64_t now_us)
{
  if (!p->running && (!p->served || (p->phase != LUNFS_PHASE_SERVE && p->phase != LUNFS_PHASE_LINGER))) {
    if (p->served)
      decide (p, LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED);
    return finish (p);
  }
  if (p->phase == LUNFS_PHASE_SERVE && p->ready && p->linger_us > 0) {
    p->phase = LUNFS_PHASE_LINGER;
    p->unmount_at = now_us + UNMOUNT_EVERY_US;
    p->linger_until = now_us + p->linger_us;
    p->stop_by = now_us + p->stop_timeout_us;
    return LUNFS_DO_UNMOUNT | (p->step == LUNFS_STEP_CHECK ? give_up_upgrade (p) : 0);
  }
  if (p->phase == LUNFS_PHASE_LINGER)
    return end_linger (p, now_us);
  if (p->phase == LUNFS_PHASE_SERVE && p->running)
    return ask_to_stop (p, LUNFS_PHASE_FLUSH, p->stop_timeout_us, now_us);
  if (p->phase == LUNFS_PHASE_SERVE) {
    unsigned actions = ask_to_stop (p, LUNFS_PHASE_FLUSH, p->stop_timeout_us, now_us);

    p->start_at = now_us; /* the dead one's successor has to flush */
    return actions & ~(unsigned) LUNFS_DO_STOP;
  }
  return p->stopped ? 0 : ask_to_stop (p, LUNFS_PHASE_END, 0, now_us);
}

/* ---- upgrade ---- */

static unsigned
on_upgrade (LunfsPolicy *p, int64_t now_us)
{
  unsigned actions = p->step == LUNFS_STEP_TRIAL || p->step == LUNFS_STEP_DOUBT ? LUNFS_DO_CONFIRM : 0;

  if (p->phase != LUNFS_PHASE_SERVE || (p->step != LUNFS_STEP_NONE && !actions))
    return LUNFS_DO_DECLINE;
  set_step (p, LUNFS_STEP_CHECK, now_us + CHECK_WITHIN_US);
  return actions | LUNFS_DO_CHECK;
}

static unsigned
on_fits (LunfsPolicy *p, int64_t now_us)
{
  if (p->step != LUNFS_STEP_CHECK)
    return 0;
  if (!p->running) {
    set_step (p, LUNFS_STEP_START, LUNFS_NEVER);
    p->start_at = now_us;
    return 0;
  }
  set_step (p, LUNFS_STEP_LEAVE, now_us + LUNFS_POLICY_LEAVE_MS * MS + KILL_GRACE_US);
  p->serve_by = LUNFS_NEVER; /* it leaves, or is killed for that */
  return LUNFS_DO_LEAVE;
}

static unsigned
on_misfit (LunfsPolicy *p)
{
  if (p->step == LUNFS_STEP_CHECK)
    set_step (p, LUNFS_STEP_NONE, LUNFS_NEVER);
  return 0;
}

static unsigned
end_step (LunfsPolicy *p)
{
  p->step_at = LUNFS_NEVER;
  switch (p->step) {
  case LUNFS_STEP_CHECK:
    p->step = LUNFS_STEP_NONE;
    return LUNFS_DO_ABANDON;
  case LUNFS_STEP_TRIAL:
  case LUNFS_STEP_DOUBT:
    p->step = LUNFS_STEP_NONE;
    return LUNFS_DO_CONFIRM;
  default:
    return p->running ? LUNFS_DO_KILL : 0;
  }
}

/* ---- */

static unsigned
start (LunfsPolicy *p, int64_t now_us)
{
  unsigned actions = LUNFS_DO_START;

  p->start_at = LUNFS_NEVER;
  p->running = true;
  p->serving = p->stopped = p->killed = p->accused = false;
  p->started_us = now_us;
  if (p->step == LUNFS_STEP_START) {
    set_step (p, LUNFS_STEP_START, now_us + NEW_SERVES_WITHIN_US);
    actions |= LUNFS_DO_SWITCH;
  }
  if (p->phase == LUNFS_PHASE_FLUSH)
    return actions | ask_to_stop (p, LUNFS_PHASE_FLUSH, p->kill_at - KILL_GRACE_US - now_us, now_us);
  if (!p->served)
    p->serve_by = now_us + SERVE_WITHIN_US;
  return actions;
}

/* KILL: its exit follows and is the last.  One that cannot even die waits for something: perhaps for our unmount. */
static unsigned
kill_worker (LunfsPolicy *p, int status, LunfsPolicyCause cause, int64_t now_us)
{
  if (!p->stopped)
    decide (p, status, cause);
  p->serve_by = p->ready_at = p->kill_at = p->start_at = LUNFS_NEVER;
  if (!p->running || p->killed)
    return finish (p);
  p->phase = LUNFS_PHASE_END;
  p->killed = true;
  p->kill_at = now_us + REAP_WITHIN_US;
  return LUNFS_DO_KILL;
}

/* One that has been killed (LEAVE, step_at has passed) cannot hear FOLLOW. */
static unsigned
on_left (LunfsPolicy *p, int64_t now_us)
{
  if (p->killed || (p->step == LUNFS_STEP_LEAVE && p->step_at == LUNFS_NEVER))
    return 0;
  if (p->phase == LUNFS_PHASE_END || (p->phase == LUNFS_PHASE_FLUSH && now_us >= p->kill_at - KILL_GRACE_US))
    return kill_worker (p, LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, now_us);
  if (p->step == LUNFS_STEP_LEAVE)
    set_step (p, LUNFS_STEP_START, LUNFS_NEVER);
  return (start (p, now_us) & ~(unsigned) LUNFS_DO_START) | LUNFS_DO_FOLLOW;
}

static unsigned
on_tick (LunfsPolicy *p, int64_t now_us)
{
  if (p->kill_at <= now_us)
    return kill_worker (p, LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, now_us);
  if (p->serve_by <= now_us)
    return kill_worker (p, LUNFS_EXIT_FAILED, LUNFS_CAUSE_SILENT, now_us);
  if (p->linger_until <= now_us)
    return end_linger (p, now_us);
  if (p->start_at <= now_us)
    return start (p, now_us);
  if (p->step_at <= now_us)
    return end_step (p);
  if (p->unmount_at <= now_us) {
    p->unmount_at = now_us + UNMOUNT_EVERY_US;
    return LUNFS_DO_UNMOUNT;
  }
  return p->ready_at <= now_us ? become_ready (p) : 0;
}

unsigned
lunfs_policy_event (LunfsPolicy *p, LunfsPolicyEvent event, int status, int64_t now_us)
{
  if (p->phase == LUNFS_PHASE_DONE)
    return 0;
  switch (event) {
  case LUNFS_EVENT_TICK:
    return on_tick (p, now_us);
  case LUNFS_EVENT_SERVING:
    return on_serving (p, now_us);
  case LUNFS_EVENT_SETTLED:
    return on_settled (p, status, now_us);
  case LUNFS_EVENT_STOPPED:
    return on_stopped (p, status, now_us);
  case LUNFS_EVENT_EXITED:
    return on_exited (p, status, now_us);
  case LUNFS_EVENT_TERMINATE:
    return on_terminate (p, now_us);
  case LUNFS_EVENT_UPGRADE:
    return on_upgrade (p, now_us);
  case LUNFS_EVENT_FITS:
    return on_fits (p, now_us);
  case LUNFS_EVENT_MISFIT:
    return on_misfit (p);
  case LUNFS_EVENT_LEFT:
    return on_left (p, now_us);
  case LUNFS_EVENT_ACCUSED:
    p->accused = p->serving; /* else the slots tell of the worker before */
    return 0;
  }
  return 0;
}
