/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker leaves for its successor.  Nothing more is sent; when everything that was sent has been answered the session is
 * quiet: no write of it can come late, so that its successor needs no LUN RESET (guard.c).  Then it logs out: the successor's
 * login finds no older session to end, whatever the target thinks of reinstatement.  What waits stays where it is: its data
 * is in the arena, and its users' requests come again. */
#include "config.h"

#include "session/session-private.h"

#include "lunfs/log.h"

void
lunfs_session_gone (LunfsSession *s)
{
  if (!s->leaving || s->has_left)
    return;
  s->has_left = true;
  s->events.left (s->user);
}

void
lunfs_session_go (LunfsSession *s)
{
  bool can_say_so = s->state == LUNFS_SESSION_UP && s->transport && !s->teardown.queued;

  if (s->has_left || s->going)
    return;
  s->going = true;
  if (!s->unknown_writes)
    s->events.quiet (s->user);
  lunfs_debug (SESSION, "%s: leaving%s", lunfs_session_label (s),
               s->unknown_writes ? ", with writes of unknown fate" : "");
  if (can_say_so)
    s->transport->ops->logout (s->transport);
  else
    lunfs_session_gone (s);
}

void
lunfs_session_leave (LunfsSession *s)
{
  if (s->leaving || s->stopping)
    return;
  s->leaving = true;
  lunfs_lane_cancel (s->lane, &s->retry);
  lunfs_lane_cancel (s->lane, &s->replacement);
  if (s->active.length == 0)
    lunfs_session_go (s);
}
