/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control thread answers: the status file and the control socket. */
#include "config.h"

#include "worker/worker-private.h"

#include "control/control.h"
#include "control/metrics.h"
#include "control/option_table.h"
#include "control/option_value.h"
#include "control/status.h"
#include "lunfs/log.h"
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

/* ---- the control socket ---- */

typedef struct {
  LunfsRow *row;
  LunfsTimeouts timeouts;
} NewTimeouts;

static void /* lane */
set_timeouts (void *user)
{
  const NewTimeouts *n = user;

  lunfs_session_set_timeouts (n->row->session, &n->timeouts);
}

/* "" for whatever is not a string. */
static const char *
string_member (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  const char *text = node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;

  return text ? text : "";
}

/* What may be changed while running. */
static const struct {
  const char *name;
  size_t offset;
} changeable[] = {
  { "replacement_timeout", offsetof (LunfsTimeouts, replacement_timeout) },
  { "login_timeout", offsetof (LunfsTimeouts, login_timeout) },
  { "noop_out_interval", offsetof (LunfsTimeouts, noop_out_interval) },
  { "noop_out_timeout", offsetof (LunfsTimeouts, noop_out_timeout) },
  { "cmd_timeout", offsetof (LunfsTimeouts, cmd_timeout) },
};

static int *
timeout_at (LunfsTimeouts *timeouts, unsigned i)
{
  return (int *) ((char *) timeouts + changeable[i].offset);
}

/* For the workers to come. */
static void
keep_timeouts (LunfsArenaLun *record, LunfsTimeouts *timeouts)
{
  G_STATIC_ASSERT (G_N_ELEMENTS (changeable) == G_N_ELEMENTS (record->timeouts));
  for (unsigned i = 0; i < G_N_ELEMENTS (changeable); i++)
    record->timeouts[i] = *timeout_at (timeouts, i);
  __atomic_store_n (&record->timeouts_set, 1, __ATOMIC_RELEASE);
}

void
lunfs_worker_restore_timeouts (LunfsRow *row)
{
  LunfsSessionSnapshot snapshot;

  if (!__atomic_load_n (&row->record->timeouts_set, __ATOMIC_ACQUIRE))
    return;
  lunfs_session_snapshot (row->session, &snapshot);
  for (unsigned i = 0; i < G_N_ELEMENTS (changeable); i++)
    *timeout_at (&snapshot.timeouts, i) = row->record->timeouts[i];
  lunfs_session_set_timeouts (row->session, &snapshot.timeouts);
}

static bool
apply_value (LunfsTimeouts *timeouts, const char *name, const char *value, GError **error)
{
  const LunfsOption *option = lunfs_option_find (name);

  for (unsigned i = 0; i < G_N_ELEMENTS (changeable); i++)
    if (option && strcmp (changeable[i].name, option->name) == 0)
      return lunfs_value_int (option->name, value, option->min, option->max, timeout_at (timeouts, i), error);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
               option ? "option %s cannot be changed while the mount is in use" : "there is no option '%s'", name);
  return false;
}

static bool
apply_values (LunfsTimeouts *timeouts, JsonObject *values, GError **error)
{
  g_autoptr (GList) names = json_object_get_members (values);

  for (GList *l = names; l; l = l->next) {
    if (!apply_value (timeouts, l->data, string_member (values, l->data), error))
      return false;
  }
  return true;
}

/* "" and a target's directory name all LUNs below. */
static bool
is_below (const char *file, const char *path)
{
  size_t len = strlen (path);

  return len == 0 || (strncmp (file, path, len) == 0 && (file[len] == '\0' || file[len] == '/'));
}

static bool
handle_set (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  const char *path = string_member (request, "lun");
  JsonNode *node = json_object_get_member (request, "values");
  LunfsTimeouts ignored = { 0 };
  unsigned n = 0;

  if (!node || !JSON_NODE_HOLDS_OBJECT (node)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "nothing to set");
    return false;
  }
  if (!apply_values (&ignored, json_node_get_object (node), error)) /* all are right, or nothing is changed */
    return false;
  for (unsigned i = 0; i < w->rows->len; i++) {
    NewTimeouts change = { .row = w->rows->pdata[i] };
    g_autofree char *file = lunfs_tree_path (w->tree, change.row->index);
    LunfsSessionSnapshot snapshot;

    if (change.row->hidden || change.row->gone || change.row->stopped || !is_below (file, path))
      continue;
    lunfs_session_snapshot (change.row->session, &snapshot);
    change.timeouts = snapshot.timeouts;
    apply_values (&change.timeouts, json_node_get_object (node), NULL);
    lunfs_lane_call (change.row->lane, set_timeouts, &change);
    keep_timeouts (change.row->record, &change.timeouts);
    n++;
  }
  if (n == 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "%s/%s: there is no such LUN", w->settings->mountpoint,
                 path);
    return false;
  }
  json_object_set_int_member (answer, "luns", n);
  return true;
}

static void /* lane */
look (void *user)
{
  lunfs_session_look (((LunfsRow *) user)->session);
}

static void
rescan (LunfsWorker *w)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (!row->hidden && !row->stopped)
      lunfs_lane_call (row->lane, look, row);
  }
  lunfs_worker_rescan (w);
}

static bool
handle (void *user, JsonObject *request, JsonObject *answer, GError **error)
{
  LunfsWorker *w = user;
  const char *command = string_member (request, "command");

  if (strcmp (command, "hello") == 0) {
    json_object_set_string_member (answer, "mountpoint", w->settings->mountpoint);
    json_object_set_string_member (answer, "source", w->settings->source_text);
    return true;
  }
  if (strcmp (command, "status") == 0) {
    g_autofree char *text = lunfs_worker_status (w);

    json_object_set_string_member (answer, "text", text);
    return true;
  }
  if (strcmp (command, "rescan") == 0) {
    rescan (w);
    return true;
  }
  if (strcmp (command, "upgrade") == 0)
    return lunfs_worker_ask_upgrade (w, answer, error);
  if (strcmp (command, "upgrade-state") == 0) {
    lunfs_worker_tell_upgrade (w, answer);
    return true;
  }
  if (strcmp (command, "set") == 0)
    return handle_set (w, request, answer, error);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "there is no command '%s'", command);
  return false;
}

void
lunfs_worker_listen (LunfsWorker *w)
{
  g_autofree char *path = lunfs_control_path ((int) w->supervisor);
  g_autoptr (GError) error = NULL;

  w->control = lunfs_control_new (path, handle, w, &error);
  if (!w->control)
    lunfs_notice ("no control socket (lunfsctl will not find this mount): %s", error->message);
}
