/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection's states; who makes each move:
 *
 *   DOWN     -> RESOLVE   retry_fired: the pause is over
 *   RESOLVE  -> LOGIN     login.c: lunfs_session_resolved;  -> DOWN no address
 *   LOGIN    -> PROBE     login.c: on_login;       -> DOWN refused, lost, or login_timeout (retry_fired)
 *   PROBE    -> RECOVER   lunfs_session_probed, the same LUN; -> FENCED another one;  -> DOWN no answer or no LUN
 *   RECOVER  -> UP        lunfs_session_serve
 *   UP       -> PROBE     lunfs_session_drained, after lunfs_session_recheck
 *   any      -> DOWN      lunfs_session_lost (teardown_run at the end of the pass)
 *   FENCED   -> RESOLVE   retry_fired: looked at again after a pause
 *   any      -> STOPPED   lunfs_session_stop
 *   any      -> LOGGED_OUT  lunfs_session_log_out (logout.c);  -> DOWN lunfs_session_log_in
 * After lunfs_session_leave (leave.c) nothing is begun any more. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AUTH_PAUSE_MS 30000 /* a wrong secret does not get right by asking often, but accounts get locked */
#define GONE_PAUSE_MS 5000
#define IN_USE_PAUSE_MS 400
#define STABLE_US 5000000
#define PATIENT_US 60000000

static const struct {
  const char *name;
} state_names[] = {
  [LUNFS_SESSION_DOWN] = { "down" },
  [LUNFS_SESSION_RESOLVE] = { "resolve" },
  [LUNFS_SESSION_LOGIN] = { "login" },
  [LUNFS_SESSION_PROBE] = { "probe" },
  [LUNFS_SESSION_RECOVER] = { "recover" },
  [LUNFS_SESSION_UP] = { "up" },
  [LUNFS_SESSION_FENCED] = { "fenced" },
  [LUNFS_SESSION_STOPPED] = { "stopped" },
  [LUNFS_SESSION_LOGGED_OUT] = { "logged out" },
};

const char *
lunfs_session_state_name (LunfsSessionState state)
{
  return state_names[state].name;
}

const char *
lunfs_session_label (const LunfsSession *s)
{
  static __thread char label[256];

  snprintf (label, sizeof label, "%s lun %u", s->conf.target_name, s->conf.lun);
  return label;
}

void
lunfs_session_set_state (LunfsSession *s, LunfsSessionState state)
{
  if (s->state == state)
    return;
  lunfs_debug (SESSION, "%s: %s -> %s", lunfs_session_label (s), state_names[s->state].name, state_names[state].name);
  s->state = state;
  g_mutex_lock (&s->snapshot_lock);
  s->snapshot.state = state;
  s->snapshot.failing = s->failing;
  s->snapshot.since_us = lunfs_lane_now_us (s->lane);
  s->snapshot.down_us = s->down_us;
  if (state == LUNFS_SESSION_UP)
    s->snapshot.error[0] = '\0';
  g_mutex_unlock (&s->snapshot_lock);
}

void
lunfs_session_set_error (LunfsSession *s, const char *text)
{
  g_mutex_lock (&s->snapshot_lock);
  g_strlcpy (s->snapshot.error, text ? text : "", sizeof s->snapshot.error);
  s->snapshot.failing = s->failing;
  g_mutex_unlock (&s->snapshot_lock);
}

void
lunfs_session_snapshot (LunfsSession *s, LunfsSessionSnapshot *out)
{
  g_mutex_lock (&s->snapshot_lock);
  *out = s->snapshot;
  g_mutex_unlock (&s->snapshot_lock);
}

unsigned
lunfs_session_records (LunfsSession *s, LunfsRecord *out, uint64_t *out_total)
{
  return lunfs_recorder_read (s->recorder, out, out_total);
}

/* ---- pauses ---- */

/* How long it has not been UP. */
static int64_t
outage_us (const LunfsSession *s)
{
  return s->down_us ? lunfs_lane_now_us (s->lane) - s->down_us : 0;
}

/* 0, 250, 500 ms, 1, 2, 2 ... s, after a minute 10 s: quick after a blip, patient with a dead target; jitter keeps a
 * hundred sessions apart. */
static int64_t
pause_ms (LunfsSession *s)
{
  int64_t most_ms = outage_us (s) < PATIENT_US ? 2000 : 10000;
  int64_t ms = s->attempts == 0 ? 0 : MIN ((int64_t) 250 << MIN (s->attempts - 1, 10), most_ms);

  if (s->last_outcome == LUNFS_LOGIN_AUTH)
    ms = AUTH_PAUSE_MS;
  else if (s->last_outcome == LUNFS_LOGIN_NOT_FOUND || s->last_outcome == LUNFS_LOGIN_NOT_DISK
           || s->last_outcome == LUNFS_LOGIN_REFUSED)
    ms = MAX (ms, GONE_PAUSE_MS);
  return ms ? ms - ms / 5 + g_random_int_range (0, (int) (2 * ms / 5) + 1) : 0;
}

void
lunfs_session_arm_replacement (LunfsSession *s, int at_least_s)
{
  int timeout = s->timeouts.replacement_timeout;

  if (s->failing || s->stopping || s->leaving || s->replacement.slot || timeout < 0)
    return;
  lunfs_lane_arm (s->lane, &s->replacement,
                  MAX ((int64_t) MAX (timeout, at_least_s) * G_USEC_PER_SEC - outage_us (s), 0));
}

static void
replacement_fired (LunfsTimer *timer)
{
  LunfsSession *s = (LunfsSession *) ((char *) timer - offsetof (LunfsSession, replacement));

  if (s->state == LUNFS_SESSION_UP && !s->recheck)
    return;
  s->failing = true;
  g_mutex_lock (&s->snapshot_lock);
  s->snapshot.failing = true;
  g_mutex_unlock (&s->snapshot_lock);
  if (s->ever_up)
    lunfs_error (
        "%s: not reachable for %d s (replacement_timeout): requests now fail with an I/O error until it is back",
        lunfs_session_label (s), s->timeouts.replacement_timeout);
  lunfs_session_fail_waiting (s, -EIO);
  s->events.failing (s->user);
}

/* ---- going down ---- */

void
lunfs_session_go_down (LunfsSession *s)
{
  int64_t ms;

  lunfs_lane_cancel (s->lane, &s->tick);
  if (!s->down_us)
    s->down_us = lunfs_lane_now_us (s->lane);
  lunfs_session_set_state (s, LUNFS_SESSION_DOWN);
  lunfs_session_return_waiting (s);
  lunfs_session_arm_replacement (s, 0);
  if (s->leaving) {
    lunfs_session_go (s);
    lunfs_session_gone (s);
    return;
  }
  ms = s->stopping ? 0 : pause_ms (s);
  s->attempts++;
  if (!s->resting || s->stopping)
    lunfs_lane_arm (s->lane, &s->retry, ms * 1000);
}

void
lunfs_session_drop_transport (LunfsSession *s)
{
  LunfsTransport *transport = g_steal_pointer (&s->transport);

  lunfs_probe_abort (s->probe);
  lunfs_hold_drop (s);
  if (s->recheck) /* it had time for the recheck: an outage has replacement_timeout */
    lunfs_lane_cancel (s->lane, &s->replacement);
  s->recheck = false;
  s->ping_us = s->reset_us = 0;
  if (transport)
    transport->ops->close (transport); /* everything in flight comes back now, into waiting */
  lunfs_session_requeue_done (s);
}

/* A mount that was just unmounted may still flush: its claim goes soon. */
static unsigned
fence_pause_ms (const LunfsSession *s)
{
  return s->fence_outcome == LUNFS_LOGIN_IN_USE && outage_us (s) < GONE_PAUSE_MS * 1000 ? IN_USE_PAUSE_MS
                                                                                        : GONE_PAUSE_MS;
}

static void
fence (LunfsSession *s, const char *why)
{
  g_autofree char *text = g_strdup_printf ("%s: no data goes there; requests fail with an I/O error", why);

  s->failing = true;
  s->attempts = 0;
  lunfs_session_set_error (s, text);
  if (g_strcmp0 (s->last_logged, text) != 0) {
    g_free (s->last_logged);
    s->last_logged = g_strdup (text);
    lunfs_error ("%s: %s", lunfs_session_label (s), text);
  }
  if (!s->down_us)
    s->down_us = lunfs_lane_now_us (s->lane);
  lunfs_session_set_state (s, LUNFS_SESSION_FENCED);
  lunfs_session_drop_transport (s);
  lunfs_lane_cancel (s->lane, &s->tick);
  lunfs_lane_cancel (s->lane, &s->replacement);
  lunfs_session_cancel_recovery (s);
  lunfs_session_fail_waiting (s, -EIO);
  s->events.failing (s->user);
  lunfs_lane_arm (s->lane, &s->retry, s->stopping ? 0 : (int64_t) fence_pause_ms (s) * 1000);
  s->events.failed (s->user, s->fence_outcome, text);
}

static void
teardown_run (LunfsDefer *defer)
{
  LunfsSession *s = (LunfsSession *) ((char *) defer - offsetof (LunfsSession, teardown));
  g_autofree char *why = s->teardown_why ? g_steal_pointer (&s->teardown_why) : g_strdup ("connection closed");
  bool was_up = s->state == LUNFS_SESSION_UP || s->state == LUNFS_SESSION_RECOVER;

  if (s->logged_out && s->state != LUNFS_SESSION_STOPPED && s->state != LUNFS_SESSION_LOGGED_OUT && !s->stopping) {
    lunfs_session_logged_out (s);
    return;
  }
  if (s->state == LUNFS_SESSION_STOPPED || s->state == LUNFS_SESSION_DOWN || s->state == LUNFS_SESSION_LOGGED_OUT)
    return;
  if (s->fence) {
    s->fence = false;
    fence (s, why);
    return;
  }
  if (s->state == LUNFS_SESSION_LOGIN || s->state == LUNFS_SESSION_PROBE) {
    lunfs_login_failed (s, why);
    return;
  }
  if (was_up) {
    LUNFS_COUNT (s->stats, session_losses, 1);
    lunfs_warning ("%s: session lost: %s%s", lunfs_session_label (s), why, s->stopping ? "" : "; logging in again");
    lunfs_session_set_error (s, why);
    g_free (s->lost_address);
    s->lost_address = g_strdup (lunfs_portal_current (s));
    if (s->state == LUNFS_SESSION_UP && lunfs_lane_now_us (s->lane) - s->up_us > STABLE_US)
      s->attempts = 0; /* else: it dies as soon as it is up, so the pauses grow */
    s->last_outcome = LUNFS_LOGIN_TRANSPORT;
  }
  if (!s->down_us)
    s->down_us = lunfs_lane_now_us (s->lane);
  lunfs_session_set_state (s, LUNFS_SESSION_DOWN); /* before close: nothing may be sent on what comes back */
  lunfs_session_drop_transport (s);
  lunfs_session_cancel_recovery (s);
  if (was_up)
    s->events.down (s->user);
  lunfs_session_go_down (s);
}

void
lunfs_session_lost (LunfsSession *s, const char *why)
{
  if (!s->teardown_why)
    s->teardown_why = why && *why ? g_strdup (why) : NULL;
  lunfs_lane_defer (s->lane, &s->teardown);
}

/* ---- when the pause, or the patience, is over ---- */

static void
finish_stop (LunfsSession *s)
{
  lunfs_session_set_state (s, LUNFS_SESSION_STOPPED);
  lunfs_session_drop_transport (s);
  lunfs_session_cancel_recovery (s);
  lunfs_session_fail_waiting (s, -EIO);
  s->events.failing (s->user); /* what waits to the left is not for us any more */
  s->finish.run (&s->finish); /* the user may take the row apart as soon as it hears of the stop */
  s->events.stopped (s->user);
}

static void
retry_fired (LunfsTimer *timer)
{
  LunfsSession *s = (LunfsSession *) ((char *) timer - offsetof (LunfsSession, retry));

  if (s->stopping) {
    finish_stop (s);
    return;
  }
  if (s->leaving)
    return;
  if (s->logged_out) { /* logout_timeout */
    lunfs_session_lost (s, NULL);
    return;
  }
  switch (s->state) {
  case LUNFS_SESSION_LOGIN:
    lunfs_login_expired (s);
    break;
  case LUNFS_SESSION_PROBE: /* the guard's wait is over */
    lunfs_session_probe (s);
    break;
  case LUNFS_SESSION_DOWN:
  case LUNFS_SESSION_FENCED:
    lunfs_login_begin (s);
    break;
  default:
    break;
  }
}

/* ---- life ---- */

static LunfsTimer
timer (void (*fire) (LunfsTimer *t))
{
  return (LunfsTimer){ .fire = fire };
}

LunfsSession *
lunfs_session_new (LunfsLane *lane, const LunfsSessionConf *conf, const LunfsSessionEvents *events, void *user)
{
  LunfsSession *s = g_new0 (LunfsSession, 1);

  s->lane = lane;
  s->conf = *conf;
  s->conf.host = g_strdup (conf->host);
  s->conf.target_name = g_strdup (conf->target_name);
  s->settings = conf->settings;
  s->timeouts = s->snapshot.timeouts = (LunfsTimeouts){
    .replacement_timeout = s->settings->replacement_timeout,
    .login_timeout = s->settings->login_timeout,
    .noop_out_interval = s->settings->noop_out_interval,
    .noop_out_timeout = s->settings->noop_out_timeout,
    .cmd_timeout = s->settings->cmd_timeout,
    .request_limit = conf->request_limit,
  };
  /* Of the worker, or the mount, before. */
  s->unknown_writes = (conf->known_nblocks > 0 && !conf->known_quiet) || conf->known_writes;
  s->stats = conf->stats;
  s->events = *events;
  s->user = user;
  s->retry = timer (retry_fired);
  s->replacement = timer (replacement_fired);
  s->tick = timer (lunfs_session_tick_fired);
  s->teardown.run = teardown_run;
  s->probe = lunfs_probe_new (lane, s->stats, lunfs_session_probed, lunfs_session_waits, s);
  if (conf->witnesses)
    lunfs_probe_ask_keys (s->probe);
  s->witnesses.table = conf->witnesses;
  s->recorder = lunfs_recorder_new ();
  g_mutex_init (&s->snapshot_lock);
  s->snapshot.since_us = g_get_monotonic_time (); /* not the lane's clock: this is the control thread */
  lunfs_session_queue_init (s);
  lunfs_hold_init (s);
  return s;
}

void
lunfs_session_free (LunfsSession *s)
{
  if (!s)
    return;
  lunfs_lane_cancel (s->lane, &s->retry);
  lunfs_lane_cancel (s->lane, &s->replacement);
  lunfs_lane_cancel (s->lane, &s->tick);
  lunfs_lane_undefer (s->lane, &s->teardown);
  lunfs_session_drop_transport (s);
  lunfs_probe_free (s->probe);
  lunfs_reservation_free (s->reservation);
  lunfs_session_queue_clear (s);
  lunfs_portal_clear (s);
  lunfs_portal_move_back (s);
  g_free (s->avoid);
  g_free (s->teardown_why);
  g_free (s->last_logged);
  g_free (s->lost_address);
  g_free ((char *) s->conf.host);
  g_free (s->own_failure);
  lunfs_recorder_free (s->recorder);
  g_free ((char *) s->conf.target_name);
  g_mutex_clear (&s->snapshot_lock);
  g_free (s);
}

LunfsLayer *
lunfs_session_layer (LunfsSession *s)
{
  return &s->base;
}

void
lunfs_session_start (LunfsSession *s)
{
  if (s->started)
    return;
  s->started = true;
  s->down_us = lunfs_lane_now_us (s->lane);
  if (s->logged_out) /* by way of an earlier worker */
    return;
  lunfs_session_arm_replacement (s, 0);
  lunfs_lane_arm (s->lane, &s->retry, 0);
}

void
lunfs_session_set_timeouts (LunfsSession *s, const LunfsTimeouts *timeouts)
{
  s->timeouts = *timeouts;
  g_mutex_lock (&s->snapshot_lock);
  s->snapshot.timeouts = *timeouts;
  g_mutex_unlock (&s->snapshot_lock);
  if (!s->started || s->stopping || s->logged_out || s->state == LUNFS_SESSION_FENCED
      || (s->state == LUNFS_SESSION_UP && !s->recheck))
    return;
  s->failing = false;
  g_mutex_lock (&s->snapshot_lock);
  s->snapshot.failing = false;
  g_mutex_unlock (&s->snapshot_lock);
  lunfs_lane_cancel (s->lane, &s->replacement);
  /* Counted from when the outage began; of a recheck, from now. */
  lunfs_session_arm_replacement (s, s->recheck && timeouts->replacement_timeout != 0 ? timeouts->cmd_timeout : 0);
}

void
lunfs_session_stop (LunfsSession *s, int64_t limit_ms)
{
  if (s->stopping)
    return;
  s->stopping = true;
  lunfs_lane_cancel (s->lane, &s->tick);
  lunfs_lane_cancel (s->lane, &s->replacement);
  if (s->state == LUNFS_SESSION_UP && limit_ms > 0 && !s->teardown.queued && s->active.length == 0 && !s->goodbye) {
    s->transport->ops->logout (s->transport);
    lunfs_lane_arm (s->lane, &s->retry, limit_ms * 1000); /* on_logged_out moves it up */
  } else {
    lunfs_lane_arm (s->lane, &s->retry, 0);
  }
}
