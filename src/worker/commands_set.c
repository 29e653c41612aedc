/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "set": options that may change while the mount is in use.
 *
 * Time limits are each LUN's, and stand in the arena: they outlive the worker.  Log level, debug domains and the cache's
 * size are the mount's, and this worker's: its successor begins with what the mount was started with. */
#include "config.h"

#include "worker/commands.h"

#include "control/option_table.h"
#include "control/option_value.h"
#include "lunfs/log.h"

#include <string.h>

/* ---- time limits ---- */

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

/* ---- the mount's ---- */

static bool
is_of_mount (const LunfsOption *option)
{
  static const char *const names[] = { "log_level", "debug", "cache_size", "cache_max_dirty", NULL };

  return g_strv_contains (names, option->name);
}

static bool
refuse (GError **error, const char *why)
{
  g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, why);
  return false;
}

/* The arena is as large as the cache was meant to be at first. */
static bool
check_cache (const LunfsWorker *w, const LunfsSettings *s, GError **error)
{
  uint64_t most = (uint64_t) w->arena->header->nchunks * LUNFS_CHUNK_BYTES;

  if (s->cache_size > most)
    return refuse (error, "option cache_size: this mount has no memory for that; it can be made smaller, and again as "
                          "large as it was when mounted");
  if (s->cache_max_dirty > s->cache_size / 4 * 3)
    return refuse (error, "option cache_max_dirty: at most 3/4 of cache_size");
  return true;
}

static void /* lane */
shrink (void *user)
{
  lunfs_cache_shrink (((LunfsRow *) user)->cache);
}

static void
apply_to_mount (LunfsWorker *w, const LunfsSettings *s)
{
  bool cache_changed = s->cache_size != w->settings->cache_size || s->cache_max_dirty != w->settings->cache_max_dirty;

  w->settings->log_level = s->log_level;
  w->settings->debug_mask = s->debug_mask;
  lunfs_log_set ((LunfsLogLevel) s->log_level, s->debug_mask);
  if (!cache_changed)
    return;
  w->settings->cache_size = s->cache_size;
  w->settings->cache_max_dirty = s->cache_max_dirty;
  lunfs_frames_set_limits (w->frames, s->cache_size, lunfs_settings_max_dirty (s));
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (!row->stopped)
      lunfs_lane_call (row->lane, shrink, row);
  }
}

/* ---- the command ---- */

typedef struct {
  LunfsTimeouts timeouts;
  LunfsSettings mount; /* a shallow copy: only the fields above are used */
  bool for_mount;
} Values;

static bool
apply_value (Values *v, const char *name, const char *value, GError **error)
{
  const LunfsOption *option = lunfs_option_find (name);
  LunfsOptionState state = { .settings = &v->mount };

  for (unsigned i = 0; i < G_N_ELEMENTS (changeable); i++)
    if (option && strcmp (changeable[i].name, option->name) == 0)
      return lunfs_value_int (option->name, value, option->min, option->max, timeout_at (&v->timeouts, i), error);
  if (option && is_of_mount (option)) {
    v->for_mount = true;
    if (strcmp (option->name, "debug") == 0 && strcmp (value, "none") == 0) {
      v->mount.debug_mask = 0;
      return true;
    }
    return lunfs_option_apply (&state, option, value, error);
  }
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
               option ? "option %s cannot be changed while the mount is in use" : "there is no option '%s'", name);
  return false;
}

static bool
apply_values (Values *v, JsonObject *values, GError **error)
{
  g_autoptr (GList) names = json_object_get_members (values);

  for (GList *l = names; l; l = l->next) {
    if (!apply_value (v, l->data, lunfs_command_string (values, l->data), error))
      return false;
  }
  return true;
}

static void
change_row (LunfsRow *row, JsonObject *values)
{
  NewTimeouts change = { .row = row };
  LunfsSessionSnapshot snapshot;
  Values v = { .mount = *row->worker->settings };

  lunfs_session_snapshot (row->session, &snapshot);
  v.timeouts = snapshot.timeouts;
  apply_values (&v, values, NULL);
  change.timeouts = v.timeouts;
  lunfs_lane_call (row->lane, set_timeouts, &change);
  keep_timeouts (row->record, &change.timeouts);
}

bool
lunfs_command_set (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  JsonNode *node = json_object_get_member (request, "values");
  Values v = { .mount = *w->settings };
  g_autoptr (GPtrArray) rows = NULL;

  if (!node || !JSON_NODE_HOLDS_OBJECT (node))
    return refuse (error, "nothing to set");
  if (!apply_values (&v, json_node_get_object (node), error)
      || !check_cache (w, &v.mount, error)) /* all are right, or nothing is changed */
    return false;
  if (v.for_mount && *lunfs_command_string (request, "lun"))
    return refuse (error,
                   "log_level, debug, cache_size and cache_max_dirty are of the whole mount: give its mount point");
  rows = lunfs_command_rows (w, request, v.for_mount ? NULL : error);
  if (!rows && !v.for_mount)
    return false;
  if (v.for_mount)
    apply_to_mount (w, &v.mount);
  for (unsigned i = 0; rows && i < rows->len; i++)
    change_row (rows->pdata[i], json_node_get_object (node));
  json_object_set_int_member (answer, "luns", rows ? rows->len : 0);
  return true;
}
