/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the reservation that lunfsctl was asked for means for the session: after each probe it is looked for (a CHECK, between
 * PROBE and RECOVER), and if it is lost nothing is written until the user has decided.  His commands run while the session is
 * up, one at a time; one that comes during a recheck waits for its end, and a look at the keys and a change wait for each other. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/error.h"
#include "lunfs/log.h"

#include <stdio.h>

bool
lunfs_hold_stands (const LunfsSession *s)
{
  return s->wish->key && !s->wish->lost;
}

bool
lunfs_hold_is_lost (const LunfsSession *s)
{
  return s->wish->key && s->wish->lost;
}

void
lunfs_hold_tell (LunfsSession *s)
{
  g_mutex_lock (&s->snapshot_lock);
  s->snapshot.reservation = *s->wish;
  g_mutex_unlock (&s->snapshot_lock);
}

/* ---- lost ---- */

static void
lost_text (const LunfsSession *s, char *text, size_t size)
{
  const LunfsArenaReservation *wish = s->wish;
  char holder[40] = "";

  if (wish->lost_to)
    snprintf (holder, sizeof holder, " (key 0x%" G_GINT64_MODIFIER "x)", wish->lost_to);
  snprintf (text, size,
            "%s%s: writes fail, and nothing is registered again, until lunfsctl reserve (join again) or "
            "lunfsctl release (go on without)",
            wish->lost == LUNFS_LOST_HELD ? "reservation lost: another initiator holds it"
                                          : "preempted: another initiator has removed our registration",
            holder);
}

void
lunfs_hold_say_lost (LunfsSession *s)
{
  char text[sizeof s->snapshot.error];

  lost_text (s, text, sizeof text);
  lunfs_session_set_error (s, text);
}

static void
lose (LunfsSession *s)
{
  char text[sizeof s->snapshot.error];

  lost_text (s, text, sizeof text);
  lunfs_error ("%s: our key 0x%" G_GINT64_MODIFIER "x: %s", lunfs_session_label (s), s->wish->key, text);
  s->events.taken (s->user);
}

/* ---- after a probe ---- */

bool
lunfs_hold_start (LunfsSession *s)
{
  static const LunfsReserveJob check = { .what = LUNFS_RESERVE_CHECK };

  if (s->hold_checked) { /* the probe once more, now that we are registered */
    s->hold_checked = false;
    s->info.pr_generation = s->found_generation;
    return false;
  }
  if (!lunfs_hold_stands (s))
    return false;
  s->found_generation = s->info.pr_generation;
  lunfs_reservation_start (s->reservation, s->transport, &check);
  return true;
}

static void
checked (LunfsSession *s, const LunfsReserveReport *report)
{
  if (s->state != LUNFS_SESSION_PROBE || s->teardown.queued)
    return;
  switch (report->outcome) {
  case LUNFS_RESERVE_LOST:
    lose (s);
    break;
  case LUNFS_RESERVE_OK:
    break;
  case LUNFS_RESERVE_GONE:
    lunfs_session_lost (s, "the connection was lost");
    return;
  default:
    lunfs_session_lost (s, report->text);
    return;
  }
  if (report->anew) { /* until now the target may have refused to say some of what the probe asks for */
    if (s->wish->key)
      lunfs_notice ("%s: registered again with key 0x%" G_GINT64_MODIFIER "x", lunfs_session_label (s), s->wish->key);
    s->hold_checked = true;
    lunfs_session_probe (s);
    return;
  }
  s->info.pr_generation_now = report->generation;
  lunfs_session_proven (s);
}

/* ---- lunfsctl ---- */

static void
log_job (LunfsSession *s, const char *name, const LunfsReserveReport *report)
{
  const char *type = lunfs_reservation_type_name (s->wish->type);

  if (report->outcome != LUNFS_RESERVE_OK)
    lunfs_notice ("%s: lunfsctl %s: %s", lunfs_session_label (s), name,
                  *report->text ? report->text : "another initiator has reserved the LUN");
  else if (s->wish->key)
    lunfs_notice ("%s: lunfsctl %s: registered with key 0x%" G_GINT64_MODIFIER "x, %s", lunfs_session_label (s), name,
                  s->wish->key, *type ? type : "no reservation");
  else
    lunfs_notice ("%s: lunfsctl %s: no longer registered", lunfs_session_label (s), name);
}

/* Others may have written to the LUN until now: what is known of it, and cached, begins anew. */
static void
commanded (LunfsSession *s, const LunfsReserveJob *job, const LunfsReserveReport *report)
{
  static const char *const names[] = {
    [LUNFS_RESERVE_TAKE] = "reserve",
    [LUNFS_RESERVE_RELEASE] = "release",
    [LUNFS_RESERVE_PREEMPT] = "preempt",
  };

  if (job->what != LUNFS_RESERVE_KEYS)
    log_job (s, names[job->what], report);
  if (report->changed && report->outcome != LUNFS_RESERVE_GONE)
    lunfs_session_recheck (s, "its reservation was changed by lunfsctl");
  s->events.reserved (s->user, job, report);
  lunfs_hold_serve (s);
  if (s->active.length == 0)
    lunfs_session_drained (s);
}

static void
on_done (void *user, const LunfsReserveJob *job, const LunfsReserveReport *report)
{
  LunfsSession *s = user;

  lunfs_hold_tell (s);
  if (job->what == LUNFS_RESERVE_CHECK)
    checked (s, report);
  else
    commanded (s, job, report);
}

static void
on_attended (void *user, const LunfsReserveJob *job, unsigned ua, const char *sense)
{
  LunfsSession *s = user;

  LUNFS_COUNT (s->stats, unit_attentions, 1);
  /* That is being looked at; or it is our own doing (tgtd tells whoever releases, too). */
  if (job->what == LUNFS_RESERVE_CHECK || job->what == LUNFS_RESERVE_RELEASE)
    ua &= ~(unsigned) LUNFS_UA_RESERVATION;
  lunfs_session_attend (s, ua, sense);
  if (!(ua & LUNFS_UA_RECHECK))
    return;
  if (s->state == LUNFS_SESSION_PROBE) /* what the probe has found out may be wrong by now */
    lunfs_session_lost (s, sense);
  else
    lunfs_session_recheck (s, sense);
}

static bool
refuse (GError **error, LunfsExit code, const char *why)
{
  g_set_error_literal (error, LUNFS_ERROR, code, why);
  return false;
}

/* What is wrong with @job whatever the target says. */
static bool
is_allowed (const LunfsSession *s, const LunfsReserveJob *job, GError **error)
{
  const LunfsArenaReservation *wish = s->wish;

  switch (job->what) {
  case LUNFS_RESERVE_TAKE:
    if (wish->key && wish->key != job->key) {
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_EXISTS,
                   "registered with another key already, 0x%" G_GINT64_MODIFIER
                   "x; use that, or lunfsctl release first",
                   wish->key);
      return false;
    }
    return true;
  case LUNFS_RESERVE_RELEASE:
    return wish->key || refuse (error, LUNFS_EXIT_NO_OBJECTS, "not registered through lunfsctl: nothing to release");
  case LUNFS_RESERVE_PREEMPT:
    if (!lunfs_hold_stands (s))
      return refuse (error, LUNFS_EXIT_NO_OBJECTS,
                     "not registered: lunfsctl reserve --register-only first, with a key of our own");
    return wish->key != job->key || refuse (error, LUNFS_EXIT_USAGE, "that is our own key");
  default:
    return true;
  }
}

static bool
is_another_in_the_way (const LunfsSession *s, const LunfsReserveJob *job)
{
  if (s->job_waits)
    return true;
  return s->state == LUNFS_SESSION_UP && lunfs_reservation_busy (s->reservation)
         && lunfs_reservation_looks (s->reservation) == (job->what == LUNFS_RESERVE_KEYS);
}

bool
lunfs_session_reserve (LunfsSession *s, const LunfsReserveJob *job, GError **error)
{
  bool has_session =
      s->state == LUNFS_SESSION_UP || s->state == LUNFS_SESSION_PROBE || s->state == LUNFS_SESSION_RECOVER;

  if (!has_session || s->stopping || s->leaving || s->logged_out || s->teardown.queued) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TRANSPORT, "it has no session now (%s); ask again when it is up",
                 lunfs_session_state_name (s->state));
    return false;
  }
  if (is_another_in_the_way (s, job))
    return refuse (error, LUNFS_EXIT_BUSY, "another command about its reservation is under way");
  if (!is_allowed (s, job, error))
    return false;
  s->job = *job;
  s->job_waits = true;
  lunfs_hold_serve (s);
  return true;
}

void
lunfs_hold_serve (LunfsSession *s)
{
  if (!s->job_waits || !s->transport || s->state != LUNFS_SESSION_UP || s->recheck || s->teardown.queued || s->leaving
      || s->logged_out || s->stopping || lunfs_reservation_busy (s->reservation))
    return;
  s->job_waits = false;
  lunfs_reservation_start (s->reservation, s->transport, &s->job);
}

/* ---- life ---- */

void
lunfs_hold_drop (LunfsSession *s)
{
  static const LunfsReserveReport gone = { .outcome = LUNFS_RESERVE_GONE,
                                           .text = "the session was lost before it was begun" };

  s->hold_checked = false;
  lunfs_reservation_abort (s->reservation);
  if (!s->job_waits)
    return;
  s->job_waits = false;
  s->events.reserved (s->user, &s->job, &gone);
}

void
lunfs_hold_init (LunfsSession *s)
{
  static const LunfsReservationEvents events = { .done = on_done, .attended = on_attended };

  s->wish = s->conf.reservation ? s->conf.reservation : &s->own_wish;
  s->reservation = lunfs_reservation_new (s->lane, s->wish, &events, s);
  s->snapshot.reservation = *s->wish;
}
