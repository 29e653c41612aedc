/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One attempt to log in: the addresses in their order, redirections, and what a failure means.  When there is another attempt,
 * and what an outage means for requests, is session.c's. */
#include "config.h"

#include "session/session-private.h"

#include "iscsi/address.h"
#include "lunfs/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- it fails ---- */

/* Log a failure when it is news, not each time it happens again. */
static void
log_failure (LunfsSession *s, const char *text)
{
  if (g_strcmp0 (s->last_logged, text) == 0)
    return;
  g_free (s->last_logged);
  s->last_logged = g_strdup (text);
  if (s->last_outcome == LUNFS_LOGIN_NOT_DISK) /* whoever asked for it by name hears so from the worker */
    return;
  lunfs_warning ("%s: %s; trying again", lunfs_session_label (s), text);
}

static void open_transport (LunfsSession *s);

/* To the portal that the target names: by way of the resolver, as it may be a name. */
static bool
follow (LunfsSession *s, const char *where)
{
  if (!lunfs_portal_move (s, where))
    return false;
  lunfs_debug (SESSION, "%s: redirected to %s", lunfs_session_label (s), where);
  lunfs_session_drop_transport (s);
  lunfs_session_set_state (s, LUNFS_SESSION_RESOLVE);
  s->conf.resolve (s->conf.resolve_user, s, s->moved_host);
  return true;
}

static void
attempt_failed (LunfsSession *s, LunfsLoginOutcome outcome, const char *text)
{
  g_autofree char *copy = g_strdup (text ? text : "no answer");
  bool elsewhere = s->elsewhere;

  s->elsewhere = false;
  if (outcome == LUNFS_LOGIN_MOVED && !s->stopping) {
    if (follow (s, copy))
      return;
    attempt_failed (s, LUNFS_LOGIN_REFUSED,
                    s->moves ? "redirected too often" : "redirected to something that is no portal");
    return;
  }
  if (s->state == LUNFS_SESSION_LOGIN && !s->stopping && lunfs_guard_refused (s, outcome)) {
    s->untried++;
    lunfs_session_drop_transport (s);
    open_transport (s);
    return;
  }
  /* What one portal refuses another may grant, but for the password: guesses at each would lock the account sooner. */
  if (((s->state == LUNFS_SESSION_LOGIN && outcome != LUNFS_LOGIN_AUTH) || elsewhere) && s->untried > 0
      && !s->stopping) {
    lunfs_debug (SESSION, "%s: %s; next address", lunfs_session_label (s), copy);
    lunfs_session_drop_transport (s);
    if (!s->down_us)
      s->down_us = lunfs_lane_now_us (s->lane);
    lunfs_session_arm_replacement (s, 0);
    open_transport (s);
    return;
  }
  LUNFS_COUNT (s->stats, login_failures, 1);
  s->last_outcome = outcome;
  lunfs_session_set_error (s, copy);
  log_failure (s, copy);
  lunfs_portal_moved_in_vain (s);
  lunfs_session_drop_transport (s);
  lunfs_session_go_down (s);
  s->events.failed (s->user, outcome, copy);
}

static LunfsLoginOutcome
outcome_of_attempt (LunfsSession *s)
{
  int probe_error = s->probe_error;

  s->probe_error = 0;
  if (s->state == LUNFS_SESSION_LOGIN)
    return s->last_outcome; /* on_login's */
  if (probe_error == -ENODEV)
    return LUNFS_LOGIN_NOT_DISK;
  return probe_error == -ENXIO ? LUNFS_LOGIN_NOT_FOUND : LUNFS_LOGIN_TRANSPORT;
}

void
lunfs_login_failed (LunfsSession *s, const char *why)
{
  attempt_failed (s, outcome_of_attempt (s), why);
}

void
lunfs_login_expired (LunfsSession *s)
{
  char text[64];

  snprintf (text, sizeof text, "no login within %d s (login_timeout)", s->timeouts.login_timeout);
  attempt_failed (s, LUNFS_LOGIN_TRANSPORT, text);
}

/* ---- it goes on ---- */

static void
on_login (void *user, LunfsLoginOutcome outcome, const char *text)
{
  LunfsSession *s = user;

  if (s->stopping) /* finish_stop closes; its timer must stay */
    return;
  lunfs_lane_cancel (s->lane, &s->retry);
  s->last_outcome = outcome;
  lunfs_guard_login (s, outcome);
  if (outcome != LUNFS_LOGIN_OK) {
    lunfs_session_lost (s, text);
    return;
  }
  lunfs_session_forget_features (s);
  lunfs_session_set_state (s, LUNFS_SESSION_PROBE);
  lunfs_lane_arm (s->lane, &s->tick, LUNFS_SESSION_TICK_US);
  lunfs_session_probe (s);
}

void
lunfs_session_probe (LunfsSession *s)
{
  lunfs_probe_start (s->probe, s->transport, s->naddresses > 1);
}

static void
on_dead (void *user, const char *why)
{
  lunfs_session_lost (user, why);
}

static void
on_pong (void *user)
{
  ((LunfsSession *) user)->ping_us = 0;
}

static void
on_logged_out (void *user)
{
  LunfsSession *s = user;

  lunfs_session_gone (s);
  if (s->stopping)
    lunfs_lane_arm (s->lane, &s->retry, 0); /* finish_stop closes: not from inside an event */
  else if (s->logged_out)
    lunfs_session_lost (s, NULL);
}

static void
on_lun_reset (void *user, unsigned response)
{
  lunfs_guard_was_reset (user, response);
}

static void
on_target (void *user, const char *name, const char *portal)
{
}

static const LunfsTransportEvents transport_events = {
  .login = on_login,
  .dead = on_dead,
  .pong = on_pong,
  .logged_out = on_logged_out,
  .lun_was_reset = on_lun_reset,
  .target = on_target,
};

static void
open_transport (LunfsSession *s)
{
  const char *place = lunfs_portal_next (s);
  uint16_t port = s->moved_host ? s->moved_port : s->conf.port;
  g_autofree char *address = lunfs_address_parse (place, &port);
  const LunfsSettings *set = s->settings;
  LunfsConnConf conf = {
    .initiator_name = set->initiator_name,
    .target_name = s->conf.target_name,
    .address = address,
    .port = port,
    .lun = s->conf.lun,
    .user = set->user,
    .password = set->password,
    .target_user = set->target_user,
    .target_password = set->target_password,
    .header_digest = set->header_digest,
    .isid_random = s->conf.isid_random,
    .isid_qualifier = s->conf.isid_qualifier,
    .tcp_user_timeout_ms = 15000,
    .security_negotiation = lunfs_guard_security (s),
  };
  g_autoptr (GError) error = NULL;

  s->moved = s->unknown_writes && s->lost_address && strcmp (s->lost_address, place) != 0;
  g_mutex_lock (&s->snapshot_lock);
  snprintf (s->snapshot.portal, sizeof s->snapshot.portal, strchr (address, ':') ? "[%s]:%u" : "%s:%u", address, port);
  g_mutex_unlock (&s->snapshot_lock);
  lunfs_session_set_state (s, LUNFS_SESSION_LOGIN);
  s->transport = s->conf.open (s->lane, &conf, &transport_events, s, &error);
  if (!s->transport) {
    attempt_failed (s, LUNFS_LOGIN_TRANSPORT, error->message);
    return;
  }
  lunfs_lane_arm (s->lane, &s->retry, (int64_t) MAX (s->timeouts.login_timeout, 1) * G_USEC_PER_SEC);
}

void
lunfs_session_resolved (LunfsSession *s, const char *const *addresses, unsigned n, const char *error_text)
{
  if (s->state != LUNFS_SESSION_RESOLVE || s->stopping || s->leaving)
    return;
  lunfs_portal_set (s, addresses, n);
  if (n == 0)
    attempt_failed (s, LUNFS_LOGIN_TRANSPORT, error_text);
  else
    open_transport (s);
}

void
lunfs_login_begin (LunfsSession *s)
{
  s->security_tried = false;
  lunfs_portal_move_back (s);
  lunfs_session_set_state (s, LUNFS_SESSION_RESOLVE);
  s->conf.resolve (s->conf.resolve_user, s, s->conf.host);
}
