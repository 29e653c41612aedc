/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logged out by the administrator: no session, and none is tried; requests fail with EIO at once, until he logs in again.
 *
 *   UP, answers outstanding   nothing more is sent; lunfs_session_drained () goes on
 *   UP, all answered          Logout Request; its answer, the loss of the connection or logout_timeout goes on
 *   any other                 whatever is tried is dropped
 *   -> LOGGED_OUT             lunfs_session_logged_out, from the teardown at the end of a pass
 * What is dirty stays in the cache and goes out after the next login. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"

#include <errno.h>

static void
set_failing (LunfsSession *s, bool failing)
{
  s->failing = failing;
  g_mutex_lock (&s->snapshot_lock);
  s->snapshot.failing = failing;
  g_mutex_unlock (&s->snapshot_lock);
}

void
lunfs_session_say_goodbye (LunfsSession *s)
{
  if (s->goodbye || s->teardown.queued)
    return;
  s->goodbye = true;
  s->transport->ops->logout (s->transport);
  lunfs_lane_arm (s->lane, &s->retry, (int64_t) MAX (s->settings->logout_timeout, 1) * G_USEC_PER_SEC);
}

void
lunfs_session_log_out (LunfsSession *s)
{
  if (s->logged_out || s->stopping || s->leaving)
    return;
  s->logged_out = true;
  s->goodbye = s->recheck = false;
  set_failing (s, true);
  lunfs_lane_cancel (s->lane, &s->replacement);
  lunfs_session_fail_waiting (s, -EIO);
  if (s->state != LUNFS_SESSION_UP)
    lunfs_session_lost (s, NULL);
  else if (s->active.length == 0)
    lunfs_session_say_goodbye (s);
}

void
lunfs_session_logged_out (LunfsSession *s)
{
  bool was_served = s->state == LUNFS_SESSION_UP || s->state == LUNFS_SESSION_RECOVER;

  lunfs_lane_cancel (s->lane, &s->retry);
  lunfs_lane_cancel (s->lane, &s->tick);
  s->fence = false;
  if (!s->down_us)
    s->down_us = lunfs_lane_now_us (s->lane);
  lunfs_session_set_state (s, LUNFS_SESSION_LOGGED_OUT); /* before close: nothing may be sent on what comes back */
  lunfs_session_set_error (s, "logged out by lunfsctl; requests fail with an I/O error until lunfsctl login");
  lunfs_session_drop_transport (s);
  lunfs_session_cancel_recovery (s);
  lunfs_session_return_waiting (s);
  lunfs_session_fail_waiting (s, -EIO);
  lunfs_notice ("%s: logged out", lunfs_session_label (s));
  if (was_served)
    s->events.down (s->user);
  s->events.failing (s->user);
}

void
lunfs_session_log_in (LunfsSession *s)
{
  if (!s->logged_out || s->stopping || s->leaving)
    return;
  s->logged_out = false;
  set_failing (s, false);
  if (s->state != LUNFS_SESSION_LOGGED_OUT) { /* still on its way out: through the usual way back */
    lunfs_session_lost (s, "logged out, and in again");
    return;
  }
  s->attempts = 0;
  s->down_us = lunfs_lane_now_us (s->lane); /* replacement_timeout counts from here */
  lunfs_session_set_state (s, LUNFS_SESSION_DOWN);
  lunfs_session_set_error (s, NULL);
  lunfs_session_arm_replacement (s, 0);
  lunfs_lane_arm (s->lane, &s->retry, 0);
}
