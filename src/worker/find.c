/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which LUNs there are: asks portals and targets, again and again until they answer. */
#include "config.h"

#include "worker/worker-private.h"

#include "control/discovery.h"
#include "control/luns.h"
#include "control/url.h"
#include "iscsi/libiscsi.h"
#include "lunfs/log.h"

#include <string.h>

#define MAX_TARGETS 256
#define MAX_QUESTIONS 16 /* connections that ask what there is, at once */
#define FIND_PAUSE_MIN_MS 250
#define FIND_PAUSE_MAX_MS 10000
#define RESCAN_SOON_MS 200 /* every LUN of a target says that there are others */

/* ---- what is there ---- */

static void lunfs_ask (LunfsAsking *a);

static void
start_asking (LunfsWorker *w, const char *host, uint16_t port, const char *target_name)
{
  LunfsAsking *a;

  for (unsigned i = 0; i < w->askings->len; i++) {
    a = w->askings->pdata[i];
    if (g_strcmp0 (a->target_name, target_name) == 0 && target_name) {
      if (a->removed && !a->busy)
        lunfs_ask (a);
      a->removed = false;
      return;
    }
  }
  a = g_new0 (LunfsAsking, 1);
  a->worker = w;
  a->host = g_strdup (host);
  a->port = port;
  a->target_name = g_strdup (target_name);
  g_ptr_array_add (w->askings, a);
  w->unsettled++;
  lunfs_ask (a);
}

static gboolean
ask_again_cb (gpointer data)
{
  LunfsAsking *a = data;

  a->busy = !a->removed;
  if (a->busy)
    lunfs_ask (a);
  return G_SOURCE_REMOVE;
}

static void
asking_failed (LunfsAsking *a, LunfsExit status, const char *text)
{
  g_autofree char *object =
      g_strdup_printf (strchr (a->host, ':') ? "%s %s [%s]:%u" : "%s %s %s:%u",
                       a->target_name ? a->target_name : "discovery", a->target_name ? "at" : "on", a->host, a->port);

  if (g_strcmp0 (a->error, text) != 0)
    lunfs_warning ("%s: %s; trying again", object, text);
  g_free (a->error);
  a->error = g_strdup (text);
  lunfs_worker_settle (a->worker, &a->settled, status, object, text);
  a->pause_ms = CLAMP (a->pause_ms * 2, FIND_PAUSE_MIN_MS, FIND_PAUSE_MAX_MS);
  if (status == LUNFS_EXIT_AUTH) /* accounts get locked */
    a->pause_ms = MAX (a->pause_ms, 30000);
  a->busy = true;
  g_timeout_add (a->pause_ms, ask_again_cb, a);
}

/* What is not there any more.  Lists that are full may have left something out. */
static void
compare (LunfsAsking *a, const LunfsFound *found)
{
  if (a->target_name && found->nluns < LUNFS_ARENA_LUNS)
    lunfs_worker_luns_named (a->worker, a->target_name, found);
  else if (!a->target_name && found->targets->len < MAX_TARGETS)
    lunfs_worker_targets_named (a->worker, found);
}

static void
asking_found (void *user, const LunfsFound *found)
{
  LunfsAsking *a = user;
  LunfsWorker *w = a->worker;

  w->questions--;
  a->busy = false;
  if (w->stopping)
    return;
  if (w->to_ask.length)
    lunfs_ask (g_queue_pop_head (&w->to_ask));
  if (a->removed) {
    w->unsettled -= a->settled ? 0 : 1;
    a->settled = true;
    return;
  }
  if (found->outcome != LUNFS_LOGIN_OK) {
    asking_failed (a, lunfs_login_exit (found->outcome), found->text);
    return;
  }
  compare (a, found);
  if (a->target_name ? found->nluns == 0 : found->targets->len == 0) {
    asking_failed (a, LUNFS_EXIT_NO_OBJECTS,
                   a->target_name ? "the target has no LUNs for this initiator (check its access list)"
                                  : "the portal offers no targets to this initiator (check their access lists)");
    return;
  }
  g_clear_pointer (&a->error, g_free);
  a->found = true;
  for (unsigned i = 0; i < found->nluns; i++)
    if (lunfs_luns_include (w->settings->luns, found->luns[i]))
      lunfs_worker_add_lun (w, a->host, a->port, a->target_name, found->luns[i], true);
  for (unsigned i = 0; i < found->targets->len; i++) {
    LunfsFoundTarget *target = found->targets->pdata[i];

    if (!lunfs_iscsi_name_valid (target->name)) {
      lunfs_warning ("discovery on %s:%u: a target name that is none is left out", a->host, a->port);
      continue;
    }
    if (w->askings->len > MAX_TARGETS) {
      lunfs_warning ("discovery on %s:%u: more than %d targets; the rest is left out", a->host, a->port, MAX_TARGETS);
      break;
    }
    start_asking (w, target->host, target->port, target->name);
  }
  w->unsettled -= a->settled ? 0 : 1; /* what it found is counted now */
  a->settled = true;
  if (a->again)
    lunfs_ask (a);
}

static void
lunfs_ask (LunfsAsking *a)
{
  LunfsWorker *w = a->worker;
  LunfsFindConf conf = {
    .lane = w->lanes[0],
    .open = lunfs_iscsi_open,
    .settings = w->settings,
    .host = a->host,
    .port = a->port,
    .target_name = a->target_name,
    .isid_random = w->arena->header->isid_random,
  };

  if (w->stopping)
    return;
  a->busy = true;
  a->again = false;
  if (w->questions >= MAX_QUESTIONS) {
    g_queue_push_tail (&w->to_ask, a);
    return;
  }
  w->questions++;
  lunfs_find (&conf, asking_found, a);
}

void
lunfs_worker_rescan (LunfsWorker *w)
{
  if (w->stopping || w->leave_limit_ms)
    return;
  for (unsigned i = 0, n = w->askings->len; i < n; i++) {
    LunfsAsking *a = w->askings->pdata[i];

    if (!a->found || a->removed)
      continue;
    if (a->busy)
      a->again = true;
    else
      lunfs_ask (a);
  }
}

static gboolean
rescan_soon_cb (gpointer user)
{
  LunfsWorker *w = user;

  w->rescan_source = 0;
  lunfs_worker_rescan (w);
  return G_SOURCE_REMOVE;
}

void
lunfs_worker_rescan_soon (LunfsWorker *w)
{
  if (!w->rescan_source)
    w->rescan_source = g_timeout_add (RESCAN_SOON_MS, rescan_soon_cb, w);
}

static gboolean
rescan_interval_cb (gpointer user)
{
  lunfs_worker_rescan (user);
  return G_SOURCE_CONTINUE;
}

void
lunfs_worker_find (LunfsWorker *w)
{
  const LunfsSource *source = &w->settings->source;

  /* Of an earlier worker: their files may be open.  One that never was up may be no disk at all. */
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++) {
    LunfsArenaLun *record = &w->arena->luns[i];

    if (__atomic_load_n (&record->used, __ATOMIC_ACQUIRE) && record->proven)
      lunfs_worker_add_lun (w, record->host, record->port, record->target_name, record->lun,
                            source->lun == LUNFS_LUN_ALL);
  }
  lunfs_worker_add_saved (w);
  if (source->lun != LUNFS_LUN_ALL)
    lunfs_worker_add_lun (w, source->host, source->port, source->target_name, (uint16_t) source->lun, false);
  else
    start_asking (w, source->host, source->port, source->target_name);
  if (source->lun == LUNFS_LUN_ALL && w->settings->rescan_interval > 0)
    g_timeout_add_seconds ((guint) w->settings->rescan_interval, rescan_interval_cb, w);
}

void
lunfs_worker_free_askings (LunfsWorker *w)
{
  g_queue_clear (&w->to_ask);
  for (unsigned i = 0; i < w->askings->len; i++) {
    LunfsAsking *a = w->askings->pdata[i];

    g_free (a->host);
    g_free (a->target_name);
    g_free (a->error);
    g_free (a);
  }
  g_ptr_array_unref (w->askings);
}
