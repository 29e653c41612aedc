/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket's commands: the table, and those that are a few lines. */
#include "config.h"

#include "worker/commands.h"

#include "lunfs/log.h"

#include <string.h>

/* ---- for handlers ---- */

const char *
lunfs_command_string (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  const char *text = node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;

  return text ? text : "";
}

/* "" and a target's directory name all LUNs below. */
static bool
is_below (const char *file, const char *path)
{
  size_t len = strlen (path);

  return len == 0 || (strncmp (file, path, len) == 0 && (file[len] == '\0' || file[len] == '/'));
}

GPtrArray *
lunfs_command_rows (LunfsWorker *w, JsonObject *request, GError **error)
{
  const char *path = lunfs_command_string (request, "lun");
  g_autoptr (GPtrArray) rows = g_ptr_array_new ();

  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];
    g_autofree char *file = lunfs_tree_path (w->tree, row->index);

    if (!row->hidden && !row->gone && !row->stopped && is_below (file, path))
      g_ptr_array_add (rows, row);
  }
  if (rows->len)
    return g_steal_pointer (&rows);
  if (*path)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "%s/%s: there is no such LUN", w->settings->mountpoint,
                 path);
  else
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "%s: there is no LUN (yet)", w->settings->mountpoint);
  return NULL;
}

JsonObject *
lunfs_command_add_lun (LunfsWorker *w, JsonObject *answer, const LunfsRow *row)
{
  g_autofree char *file = lunfs_tree_path (w->tree, row->index);
  JsonObject *lun = json_object_new ();

  if (!json_object_has_member (answer, "luns"))
    json_object_set_array_member (answer, "luns", json_array_new ());
  json_object_set_string_member (lun, "file", file);
  json_array_add_object_element (json_object_get_array_member (answer, "luns"), lun);
  return lun;
}

/* ---- those that are a few lines ---- */

static bool
hello (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  json_object_set_string_member (answer, "mountpoint", w->settings->mountpoint);
  json_object_set_string_member (answer, "source", w->settings->source_text);
  return true;
}

static bool
status (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autofree char *text = lunfs_worker_status (w);

  json_object_set_string_member (answer, "text", text);
  return true;
}

static void /* lane */
look (void *user)
{
  lunfs_session_look (((LunfsRow *) user)->session);
}

static bool
rescan (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (!row->hidden && !row->stopped)
      lunfs_lane_call (row->lane, look, row);
  }
  lunfs_worker_rescan (w);
  return true;
}

static bool
upgrade (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  return lunfs_worker_ask_upgrade (w, answer, error);
}

static bool
upgrade_state (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  lunfs_worker_tell_upgrade (w, answer);
  return true;
}

/* ---- the table ---- */

static const struct {
  const char *name;
  LunfsCommandHandler run;
} commands[] = {
  { "hello", hello },
  { "status", status },
  { "rescan", rescan },
  { "upgrade", upgrade },
  { "upgrade-state", upgrade_state },
  { "set", lunfs_command_set },
  { "stats-reset", lunfs_command_stats_reset },
  { "flush", lunfs_command_flush },
  { "flush-state", lunfs_command_flush_state },
  { "sense", lunfs_command_sense },
  { "inquiry", lunfs_command_inquiry },
  { "login", lunfs_command_login },
  { "reserve", lunfs_command_reserve },
  { "reserve-state", lunfs_command_reserve_state },
  { "keys-state", lunfs_command_reserve_state },
  { "logout", lunfs_command_logout },
};

static bool
handle (void *user, JsonObject *request, JsonObject *answer, GError **error)
{
  const char *name = lunfs_command_string (request, "command");

  for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (name, commands[i].name) == 0)
      return commands[i].run (user, request, answer, error);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "there is no command '%s'", name);
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
