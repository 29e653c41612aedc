/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A target with several portals: one list of addresses, as if one name stood for all of them, so that whoever tries addresses
 * in turn tries portals. */
#include "config.h"

#include "control/resolve.h"
#include "control/url.h"
#include "iscsi/address.h"

#include <glib.h>
#include <string.h>

typedef struct {
  char *hosts[LUNFS_PORTALS_MAX];
  uint16_t ports[LUNFS_PORTALS_MAX]; /* 0: of the first, whose port the caller knows */
  char *found[LUNFS_PORTALS_MAX][LUNFS_RESOLVE_MAX];
  unsigned nfound[LUNFS_PORTALS_MAX];
  unsigned n, next;
  char *error; /* the first one's */
  LunfsResolveDone done;
  void *user;
} Portals;

static void
portals_free (Portals *p)
{
  for (unsigned i = 0; i < p->n; i++) {
    g_free (p->hosts[i]);
    for (unsigned j = 0; j < p->nfound[i]; j++)
      g_free (p->found[i][j]);
  }
  g_free (p->error);
  g_free (p);
}

static void
tell (Portals *p)
{
  const char *list[LUNFS_RESOLVE_MAX];
  unsigned n = 0;

  for (unsigned rank = 0; rank < LUNFS_RESOLVE_MAX; rank++)
    for (unsigned i = 0; i < p->n && n < LUNFS_RESOLVE_MAX; i++)
      if (rank < p->nfound[i])
        list[n++] = p->found[i][rank];
  p->done (p->user, list, n, p->error);
  portals_free (p);
}

static void ask_next (Portals *p);

static void
resolved (void *user, const char *const *addresses, unsigned n, const char *error)
{
  Portals *p = user;
  unsigned at = p->next++;

  for (unsigned i = 0; i < n; i++)
    p->found[at][i] = p->ports[at] ? g_strdup_printf ("[%s]:%u", addresses[i], p->ports[at]) : g_strdup (addresses[i]);
  p->nfound[at] = n;
  if (n == 0 && !p->error)
    p->error = g_strdup (error);
  ask_next (p);
}

static void
ask_next (Portals *p)
{
  if (p->next < p->n)
    lunfs_resolve (p->hosts[p->next], resolved, p);
  else
    tell (p);
}

void
lunfs_resolve_all (const char *host, const char *others, LunfsResolveDone done, void *user)
{
  g_auto (GStrv) more = NULL;
  Portals *p;

  if (!others) {
    lunfs_resolve (host, done, user);
    return;
  }
  p = g_new0 (Portals, 1);
  p->done = done;
  p->user = user;
  p->hosts[p->n++] = g_strdup (host);
  more = g_strsplit (others, " ", -1);
  for (char **one = more; *one && p->n < LUNFS_PORTALS_MAX; one++)
    p->n += lunfs_address_split (*one, &p->hosts[p->n], &p->ports[p->n]) ? 1 : 0;
  ask_next (p);
}
