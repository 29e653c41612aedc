/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guard against stale writes.  A write whose session was lost before its answer may be sent again, be followed by a
 * newer write to the same blocks, and then still be executed by the old session: silent corruption.
 *
 * RFC 7143 6.3.5 makes the target end the old session (its commands included) before it completes a login with the same
 * initiator name and ISID, and lunfs keeps its ISIDs.  tgtd does so only in a login that passes SecurityNegotiation,
 * which libiscsi leaves out without CHAP.  So, for targets known for that (or with stale_write_guard=on):
 *   - logins offer "CHAP,None", which makes tgtd close the old connection: what has not arrived there never will;
 *   - when writes of unknown fate were lost, LUN RESET comes before anything is sent again: it is answered when what the
 *     old session had begun is over (tgtd's threads may be at it), and it holds for a login at another portal, too.
 * LUN RESET disturbs other users of a shared LUN (a unit attention, commands ended): hence not without need. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"

#include <string.h>

#define UNANSWERED_MAX 2  /* LUN RESETs that end in cmd_timeout, one after the other */
#define NO_ANSWER 256     /* no RFC 7143 response code */
#define SETTLE_US 2000000 /* DefaultTime2Wait: what is left to do where LUN RESET is not supported */

bool
lunfs_inquiry_lacks_reinstatement (const LunfsInquiry *inquiry)
{
  return strcmp (inquiry->vendor, "IET") == 0 && g_str_has_prefix (inquiry->product, "VIRTUAL-DISK");
}

static bool
wanted (const LunfsSession *s)
{
  switch (s->settings->stale_write_guard) {
  case LUNFS_GUARD_ON:
    return true;
  case LUNFS_GUARD_OFF:
    return false;
  default:
    return s->conf.known_no_reinstatement;
  }
}

bool
lunfs_guard_security (const LunfsSession *s)
{
  return wanted (s) && !s->security_refused;
}

bool
lunfs_guard_refused (LunfsSession *s, LunfsLoginOutcome outcome)
{
  if (s->security_tried || !lunfs_guard_security (s) || s->settings->user
      || (outcome != LUNFS_LOGIN_AUTH && outcome != LUNFS_LOGIN_REFUSED))
    return false;
  s->security_refused = true; /* taken back if it refuses the other kind, too */
  return true;
}

void
lunfs_guard_login (LunfsSession *s, LunfsLoginOutcome outcome)
{
  if (!s->security_refused || s->security_known)
    return;
  if (outcome == LUNFS_LOGIN_OK) {
    s->security_known = true;
    lunfs_notice ("%s: the target refuses a login with SecurityNegotiation: without it from now on",
                  lunfs_session_label (s));
  } else if (outcome == LUNFS_LOGIN_AUTH || outcome == LUNFS_LOGIN_REFUSED) {
    s->security_refused = false; /* it was about something else */
    s->security_tried = true;
  }
}

void
lunfs_guard_lost_write (LunfsSession *s)
{
  s->unknown_writes = true;
}

void
lunfs_guard_learn (LunfsSession *s, const LunfsInquiry *inquiry)
{
  if (lunfs_inquiry_lacks_reinstatement (inquiry))
    s->conf.known_no_reinstatement = true;
}

bool
lunfs_guard_start (LunfsSession *s)
{
  if (!s->unknown_writes || s->recheck)
    return false;
  if (s->settings->stale_write_guard == LUNFS_GUARD_OFF || (!wanted (s) && !s->moved)) {
    s->unknown_writes = false; /* the login has ended the session they belonged to, or nobody minds */
    return false;
  }
  if (s->resets_unanswered >= UNANSWERED_MAX) { /* as where it is not supported */
    s->reset_us = lunfs_lane_now_us (s->lane);
    lunfs_guard_was_reset (s, NO_ANSWER);
    return true;
  }
  s->resets_unanswered++;
  s->reset_us = lunfs_lane_now_us (s->lane);
  LUNFS_COUNT (s->stats, lun_resets, 1);
  lunfs_info ("%s: LUN RESET, so that no write of the lost session comes late", lunfs_session_label (s));
  s->transport->ops->lun_reset (s->transport);
  return true;
}

void
lunfs_guard_was_reset (LunfsSession *s, unsigned response)
{
  if (s->state != LUNFS_SESSION_PROBE || !s->reset_us || s->teardown.queued)
    return;
  s->reset_us = 0;
  s->unknown_writes = s->moved = false;
  s->resets_unanswered = 0;
  if (response == 0) {
    lunfs_session_probe (s); /* eats the unit attention that the reset leaves behind */
    return;
  }
  if (response == NO_ANSWER)
    lunfs_warning ("%s: LUN RESET is never answered: waiting 2 s for what the lost session may still do",
                   lunfs_session_label (s));
  else
    lunfs_warning ("%s: LUN RESET is not supported (response %u): waiting 2 s for what the lost session may still do",
                   lunfs_session_label (s), response);
  lunfs_lane_arm (s->lane, &s->retry, SETTLE_US);
}
