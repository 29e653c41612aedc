/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control thread answers: the status file.  The control socket's commands are in commands.c. */
#include "config.h"

#include "worker/worker-private.h"

#include "control/metrics.h"
#include "control/status.h"
#include "supervisor/ending.h"

#include <string.h>

/* ---- status ---- */

/* Known from an earlier worker, though the target has not answered this one yet. */
static bool
has_rows (const LunfsWorker *w, const char *target_name)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    const LunfsRow *row = w->rows->pdata[i];

    if (!row->hidden && g_strcmp0 (row->record->target_name, target_name) == 0)
      return true;
  }
  return false;
}

static char *
report (LunfsWorker *w, char *(*make_text) (const LunfsStatus *status))
{
  g_autofree LunfsStatusLun *luns = g_new0 (LunfsStatusLun, w->rows->len + 1);
  g_autofree LunfsStatusTarget *targets = g_new0 (LunfsStatusTarget, w->askings->len + 1);
  g_autofree char *last_end = lunfs_ending_text (w->arena->header);
  LunfsStatus status = {
    .settings = w->settings,
    .supervisor_pid = w->supervisor,
    .workers_started = w->arena->header->worker_count,
    .resent = w->arena->header->resent,
    .upgrades = w->arena->header->upgrade.done,
    .supervisor_version = w->arena->header->upgrade.supervisor_version,
    .replayed = w->arena->header->replayed,
    .poisoned = w->arena->header->poisoned,
    .crashes = w->arena->header->crashes,
    .last_end = last_end,
    .recovery = w->inbox ? "inbox" : "resend",
    .started_us = w->arena->header->started_us,
    .luns = luns,
    .targets = targets,
  };
  char *text;

  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (row->hidden || row->gone)
      continue;
    luns[status.nluns] = (LunfsStatusLun){ row->record->target_name,
                                           row->record->host,
                                           row->record->port,
                                           row->record->lun,
                                           row->session,
                                           row->lun,
                                           &row->stats,
                                           NULL,
                                           lunfs_worker_saved_bytes (row),
                                           lunfs_worker_row_is_gone (row) };
    luns[status.nluns++].file = lunfs_tree_path (w->tree, row->index);
  }
  for (unsigned i = 0; i < w->askings->len; i++) {
    LunfsAsking *a = w->askings->pdata[i];

    if (!a->found && !a->removed && !has_rows (w, a->target_name))
      targets[status.ntargets++] = (LunfsStatusTarget){ a->target_name, a->host, a->error, a->port };
  }
  text = make_text (&status);
  for (unsigned i = 0; i < status.nluns; i++)
    g_free (luns[i].file);
  return text;
}

char *
lunfs_worker_status (void *user)
{
  return report (user, lunfs_status_text);
}

char *
lunfs_worker_metrics (void *user)
{
  return report (user, lunfs_metrics_text);
}
