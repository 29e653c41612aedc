/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The addresses of one attempt to log in: all that the name stands for, best first.  One session at a time: the next
 * address is for when this one cannot be reached, its port group does not serve the LUN (ALUA standby), or it has sent us
 * to where nothing came of it. */
#include "config.h"

#include "session/session-private.h"

#include "iscsi/address.h"

#include <string.h>

#define MAX_MOVES 8

void
lunfs_portal_set (LunfsSession *s, const char *const *addresses, unsigned n)
{
  char *avoided = NULL;
  unsigned count = 0;

  lunfs_portal_clear (s);
  for (unsigned i = MIN (n, G_N_ELEMENTS (s->addresses)); i-- > 0;) { /* best last: they are taken from the end */
    if (s->avoid && !avoided && n > 1 && strcmp (s->avoid, addresses[i]) == 0)
      avoided = g_strdup (addresses[i]);
    else
      s->addresses[count++] = g_strdup (addresses[i]);
  }
  if (avoided) { /* tried last, this time */
    memmove (s->addresses + 1, s->addresses, count * sizeof *s->addresses);
    s->addresses[0] = avoided;
    count++;
  }
  g_clear_pointer (&s->avoid, g_free);
  s->untried = s->naddresses = count;
}

const char *
lunfs_portal_next (LunfsSession *s)
{
  return s->untried ? s->addresses[--s->untried] : NULL;
}

const char *
lunfs_portal_current (const LunfsSession *s)
{
  return s->untried < s->naddresses ? s->addresses[s->untried] : NULL;
}

bool
lunfs_portal_leave (LunfsSession *s)
{
  if (s->naddresses < 2 || !lunfs_portal_current (s))
    return false;
  g_free (s->avoid);
  s->avoid = g_strdup (lunfs_portal_current (s));
  return true;
}

bool
lunfs_portal_move (LunfsSession *s, const char *where)
{
  char *host;

  if (s->moves == 0 && s->naddresses > 1) {
    g_free (s->moved_by);
    s->moved_by = g_strdup (lunfs_portal_current (s));
  }
  if (s->moves >= MAX_MOVES || !lunfs_address_split (where, &host, &s->moved_port))
    return false;
  s->moves++;
  g_free (s->moved_host);
  s->moved_host = host;
  return true;
}

void
lunfs_portal_moved_in_vain (LunfsSession *s)
{
  if (!s->moved_by)
    return;
  g_free (s->avoid);
  s->avoid = g_steal_pointer (&s->moved_by);
}

void
lunfs_portal_move_back (LunfsSession *s)
{
  s->moves = 0;
  g_clear_pointer (&s->moved_host, g_free);
  g_clear_pointer (&s->moved_by, g_free);
}

void
lunfs_portal_clear (LunfsSession *s)
{
  for (unsigned i = 0; i < s->naddresses; i++)
    g_clear_pointer (&s->addresses[i], g_free);
  s->untried = s->naddresses = 0;
}
