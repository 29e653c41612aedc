/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LUN behind the session: the proof after each login that it is the one we wrote to, what is heard of changes while it
 * is up, and whether the target is alive. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"

#include <errno.h>
#include <string.h>

/* ---- the proof: is it the LUN we wrote to? ---- */

const char *
lunfs_session_differs (const LunfsIdentity *known, uint64_t known_nblocks, uint32_t known_block_size,
                       const LunfsLunInfo *info)
{
  if (known_nblocks == 0)
    return NULL;
  if (strcmp (known->text, info->identity.text) != 0)
    return "another LUN answers under this number: its identity differs";
  if (known->serial[0] && info->identity.serial[0] && strcmp (known->serial, info->identity.serial) != 0)
    return "another LUN answers under this number: its serial number differs";
  if (known_block_size != info->capacity.block_size)
    return "the LUN's block size has changed";
  if (!known->text[0] && info->capacity.nblocks != known_nblocks)
    return "the LUN has no identity and its size has changed";
  return NULL;
}

static void
learn (LunfsSession *s, const LunfsLunInfo *info)
{
  uint64_t before = s->conf.known_nblocks;

  s->info = *info;
  s->info.shrunk_from_nblocks = info->capacity.nblocks < before ? before : 0;
  s->info_valid = true;
  if (before && info->capacity.nblocks > before)
    lunfs_notice ("%s: has grown from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " blocks", lunfs_session_label (s),
                  before, info->capacity.nblocks);
  lunfs_guard_learn (s, &info->inquiry);
  s->conf.known_identity = info->identity;
  s->conf.known_nblocks = MAX (before, info->capacity.nblocks);
  s->conf.known_block_size = info->capacity.block_size;
}

void
lunfs_session_probed (void *user, int error, const LunfsLunInfo *info, const char *text)
{
  LunfsSession *s = user;
  const char *difference;

  if (error) {
    s->probe_error = error;
    s->elsewhere = error == -EHOSTUNREACH && lunfs_portal_leave (s);
    lunfs_session_lost (s, error == -ECANCELED ? "the connection was lost" : text);
    return;
  }
  difference = lunfs_session_differs (&s->conf.known_identity, s->conf.known_nblocks, s->conf.known_block_size, info);
  if (difference) {
    s->fence = true;
    s->fence_outcome = LUNFS_LOGIN_REFUSED;
    lunfs_session_lost (s, difference);
    return;
  }
  learn (s, info);
  s->info.pr_generation_now = info->pr_generation;
  lunfs_session_attend (s, lunfs_probe_attentions (s->probe), "unit attention after the login");
  if (lunfs_guard_start (s) || lunfs_hold_start (s))
    return;
  lunfs_session_proven (s);
}

void
lunfs_session_proven (LunfsSession *s)
{
  lunfs_session_set_state (s, LUNFS_SESSION_RECOVER);
  s->events.up (s->user, &s->info);
}

void
lunfs_session_waits (void *user, const char *why)
{
  LunfsSession *s = user;

  lunfs_session_set_error (s, why);
  lunfs_warning ("%s: waiting for the LUN: %s", lunfs_session_label (s), why);
}

/* The data beyond the end may be gone, and what is written now may be what destroys the rest. */
static void
say_shrunk (LunfsSession *s)
{
  g_autofree char *text = g_strdup_printf ("smaller than before (%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                                           " blocks): writes fail with an I/O error until it "
                                           "has its size again, or is mounted anew",
                                           s->info.capacity.nblocks, s->info.shrunk_from_nblocks);

  lunfs_session_set_error (s, text);
  if (g_strcmp0 (s->last_logged, text) != 0)
    lunfs_error ("%s: %s", lunfs_session_label (s), text);
  g_free (s->last_logged);
  s->last_logged = g_steal_pointer (&text);
}

void
lunfs_session_serve (LunfsSession *s)
{
  char portal[sizeof s->snapshot.portal];

  if (s->state != LUNFS_SESSION_RECOVER || s->teardown.queued)
    return;
  s->failing = false;
  s->down_us = 0;
  s->up_us = lunfs_lane_now_us (s->lane);
  lunfs_lane_cancel (s->lane, &s->replacement);
  lunfs_session_set_state (s, LUNFS_SESSION_UP);
  if (!s->recheck) {
    LUNFS_COUNT (s->stats, logins, 1);
    if (s->ever_up)
      LUNFS_COUNT (s->stats, relogins, 1);
    g_strlcpy (portal, s->snapshot.portal, sizeof portal);
    lunfs_notice ("%s: up at %s: %s, %" G_GUINT64_FORMAT " blocks of %u bytes%s%s", lunfs_session_label (s), portal,
                  s->info.identity.text[0] ? s->info.identity.text : "no identity", s->info.capacity.nblocks,
                  s->info.capacity.block_size, s->info.modes.write_protected ? ", write protected" : "",
                  s->info.modes.wce ? ", write cache" : "");
    g_clear_pointer (&s->last_logged, g_free);
  }
  if (s->info.shrunk_from_nblocks)
    say_shrunk (s);
  else if (lunfs_hold_is_lost (s))
    lunfs_hold_say_lost (s);
  s->recheck = false;
  s->ever_up = true;
  lunfs_hold_serve (s);
  lunfs_session_dispatch (s);
}

void
lunfs_session_reject (LunfsSession *s, LunfsLoginOutcome outcome, const char *why)
{
  s->fence = true;
  s->fence_outcome = outcome;
  lunfs_session_lost (s, why);
}

/* ---- changes while up ---- */

void
lunfs_session_drained (LunfsSession *s)
{
  if (G_UNLIKELY (s->leaving))
    lunfs_session_go (s);
  if (G_UNLIKELY (s->logged_out)) {
    if (s->state == LUNFS_SESSION_UP && !s->leaving)
      lunfs_session_say_goodbye (s);
    return;
  }
  if (!s->recheck || s->state != LUNFS_SESSION_UP || s->teardown.queued || s->leaving
      || lunfs_reservation_busy (s->reservation))
    return;
  lunfs_session_set_state (s, LUNFS_SESSION_PROBE);
  lunfs_session_return_waiting (s);
  lunfs_session_probe (s);
}

void
lunfs_session_attend (LunfsSession *s, unsigned ua, const char *sense)
{
  if ((ua & LUNFS_UA_RESERVATION) && lunfs_hold_stands (s)) {
    lunfs_session_recheck (s, sense); /* it may be about others: our own registration tells */
  } else if (ua & LUNFS_UA_RESERVATION) {
    lunfs_warning ("%s: %s: another initiator has taken the reservation", lunfs_session_label (s), sense);
    s->events.taken (s->user);
  }
  if (ua & LUNFS_UA_THIN_LOW)
    lunfs_warning ("%s: the target's storage pool is nearly full", lunfs_session_label (s));
  if (ua & LUNFS_UA_LUNS)
    s->events.luns_changed (s->user);
}

void
lunfs_session_look (LunfsSession *s)
{
  if (s->stopping || s->leaving || !s->started)
    return;
  s->resting = false;
  if (s->state == LUNFS_SESSION_UP)
    lunfs_session_recheck (s, "asked to");
  else if (s->state == LUNFS_SESSION_DOWN && s->last_outcome != LUNFS_LOGIN_AUTH) /* accounts get locked */
    lunfs_lane_arm (s->lane, &s->retry, 0);
}

void
lunfs_session_rest (LunfsSession *s)
{
  if (s->stopping || s->leaving)
    return;
  s->resting = true;
  if (s->state == LUNFS_SESSION_DOWN)
    lunfs_lane_cancel (s->lane, &s->retry);
}

void
lunfs_session_recheck (LunfsSession *s, const char *why)
{
  if (s->state == LUNFS_SESSION_RECOVER) { /* what was written again so far may be gone: all of it once more */
    lunfs_session_lost (s, why);
    return;
  }
  if (s->recheck || s->logged_out || s->state != LUNFS_SESSION_UP)
    return;
  lunfs_notice ("%s: %s: looking at the LUN again", lunfs_session_label (s), why);
  lunfs_session_set_error (s, why);
  s->recheck = true;
  lunfs_session_arm_replacement (s, s->timeouts.cmd_timeout); /* the LUN answers: no outage yet */
  if (s->active.length == 0)
    lunfs_session_drained (s);
}

/* ---- liveness ---- */

static const char *
find_dead (LunfsSession *s, int64_t now)
{
  int64_t interval = (int64_t) s->timeouts.noop_out_interval * G_USEC_PER_SEC;
  int64_t timeout = (int64_t) MAX (s->timeouts.noop_out_timeout, 1) * G_USEC_PER_SEC;
  int64_t limit = (int64_t) s->timeouts.cmd_timeout * G_USEC_PER_SEC;
  int64_t probe_since = lunfs_probe_since_us (s->probe), idle;
  int64_t hold_since = lunfs_reservation_since_us (s->reservation);

  if (lunfs_session_overdue (s, now) || (probe_since && now - probe_since > limit)
      || (hold_since && now - hold_since > limit) || (s->reset_us && now - s->reset_us > limit)) {
    LUNFS_COUNT (s->stats, timeouts, 1);
    return "a command was not answered in time (cmd_timeout)";
  }
  if (interval <= 0)
    return NULL;
  idle = s->transport->ops->idle_us (s->transport);
  /* Alive is whoever sends bytes: a NOP-Out may be stuck behind a closed window or a long transfer. */
  if (s->ping_us && now - s->ping_us > timeout && idle > timeout)
    return "no sign of life from the target (noop_out_timeout)";
  if (!s->ping_us && idle > interval) {
    s->ping_us = now;
    LUNFS_COUNT (s->stats, noops, 1);
    s->transport->ops->ping (s->transport);
  }
  return NULL;
}

void
lunfs_session_tick_fired (LunfsTimer *timer)
{
  LunfsSession *s = (LunfsSession *) ((char *) timer - offsetof (LunfsSession, tick));
  const char *dead;

  if (!s->transport || s->stopping)
    return;
  dead = find_dead (s, lunfs_lane_now_us (s->lane));
  if (dead)
    lunfs_session_lost (s, dead);
  else
    lunfs_lane_arm (s->lane, &s->tick, LUNFS_SESSION_TICK_US);
}
