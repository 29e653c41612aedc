/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl ls, sessions, status: what is in the status files, as tables, iscsiadm's lines and JSON. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* Takes @array. */
static void
print_array (JsonArray *array)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  json_node_take_array (node, array);
  lunfs_ctl_print_json (node);
}

/* The members of @from named in @names, into @to. */
static void
copy_members (JsonObject *to, JsonObject *from, const char *const *names)
{
  for (; *names; names++)
    if (json_object_has_member (from, *names))
      json_object_set_member (to, *names, json_object_dup_member (from, *names));
}

/* ---- ls ---- */

static void
ls_row (JsonObject *mount, JsonObject *target, JsonObject *lun, void *table)
{
  char **cells = g_new0 (char *, 7);

  cells[0] = lunfs_ctl_lun_path (mount, lun);
  cells[1] = lunfs_ctl_size (lunfs_ctl_number (lun, "size"));
  cells[2] = g_strdup (lunfs_ctl_lun_state (lun));
  cells[3] = g_strdup (lunfs_ctl_text (target, "name"));
  cells[4] = g_strdup_printf ("%d", (int) lunfs_ctl_number (lun, "lun"));
  cells[5] = g_strdup (lunfs_ctl_text (lun, "identity"));
  lunfs_ctl_table_add (table, cells);
}

static void
ls_object (JsonObject *mount, JsonObject *target, JsonObject *lun, void *array)
{
  static const char *const names[] = { "lun",       "state",    "failing", "size",   "block_size",
                                       "read_only", "identity", "serial",  "portal", NULL };
  JsonObject *object = json_object_new ();
  g_autofree char *path = lunfs_ctl_lun_path (mount, lun);

  json_object_set_string_member (object, "path", path);
  json_object_set_string_member (object, "mountpoint", lunfs_ctl_text (mount, "mountpoint"));
  json_object_set_string_member (object, "target", lunfs_ctl_text (target, "name"));
  copy_members (object, lun, names);
  json_array_add_object_element (array, object);
}

int
lunfs_ctl_ls (int argc, char **argv, GError **error)
{
  static const char *const titles[] = { "FILE", ">SIZE", "STATE", "TARGET", ">LUN", "IDENTITY", NULL };
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "an array of objects", NULL }, { 0 } };
  g_autoptr (LunfsCtlTable) table = lunfs_ctl_table_new (titles);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GPtrArray) mounts = NULL;
  JsonArray *array;
  int status;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error)
      || !(mounts = lunfs_ctl_statuses (argc, argv, &status, error)))
    return LUNFS_EXIT_FAILED;
  array = json_array_new ();
  for (unsigned i = 0; i < mounts->len; i++) {
    lunfs_ctl_each_lun (mounts->pdata[i], ls_row, table);
    lunfs_ctl_each_lun (mounts->pdata[i], ls_object, array);
  }
  lunfs_ctl_table_print (table, "", text);
  if (json)
    print_array (json_array_ref (array));
  else
    fputs (text->str, stdout);
  json_array_unref (array);
  return status;
}

/* ---- sessions ---- */

typedef struct {
  unsigned sid;
  bool verbose, json;
  JsonArray *array;
} Sessions;

static bool
has_session (JsonObject *lun)
{
  static const char *const states[] = { "probe", "recover", "up", NULL };

  return g_strv_contains (states, lunfs_ctl_text (lun, "state"));
}

static void
session_detail (JsonObject *mount, JsonObject *target, JsonObject *lun, const Sessions *s)
{
  g_autofree char *path = lunfs_ctl_lun_path (mount, lun);
  bool up = strcmp (lunfs_ctl_text (lun, "state"), "up") == 0;

  printf ("Target: %s\n\tCurrent Portal: %s,-1\n\tPersistent Portal: %s:%d,-1\n", lunfs_ctl_text (target, "name"),
          lunfs_ctl_text (lun, "portal"), lunfs_ctl_text (target, "host"), (int) lunfs_ctl_number (target, "port"));
  printf ("\t\tIface Initiatorname: %s\n\t\tSID: %u\n\t\tiSCSI Connection State: LOGGED IN\n"
          "\t\tiSCSI Session State: %s\n\t\tRecovery Timeout: %d\n",
          lunfs_ctl_text (mount, "initiator_name"), s->sid, up ? "LOGGED_IN" : lunfs_ctl_text (lun, "state"),
          (int) lunfs_ctl_number (lun, "replacement_timeout"));
  printf ("\t\tAttached SCSI devices:\n\t\t\tLun: %d\n\t\t\t\tAttached file %s\tState: %s\n",
          (int) lunfs_ctl_number (lun, "lun"), path, up ? "running" : lunfs_ctl_text (lun, "state"));
}

static void
one_session (JsonObject *mount, JsonObject *target, JsonObject *lun, void *user)
{
  static const char *const names[] = { "portal", "lun", "state", "state_seconds", "replacement_timeout", NULL };
  Sessions *s = user;
  JsonObject *object;

  if (!has_session (lun))
    return;
  s->sid++;
  object = json_object_new ();
  json_object_set_int_member (object, "sid", s->sid);
  json_object_set_string_member (object, "target", lunfs_ctl_text (target, "name"));
  json_object_set_string_member (object, "initiator_name", lunfs_ctl_text (mount, "initiator_name"));
  json_object_set_string_member (object, "mountpoint", lunfs_ctl_text (mount, "mountpoint"));
  copy_members (object, lun, names);
  json_array_add_object_element (s->array, object);
  if (s->json)
    return;
  if (s->verbose)
    session_detail (mount, target, lun, s);
  else
    printf ("tcp: [%u] %s,-1 %s (lun %d)\n", s->sid, lunfs_ctl_text (lun, "portal"), lunfs_ctl_text (target, "name"),
            (int) lunfs_ctl_number (lun, "lun"));
}

int
lunfs_ctl_sessions (int argc, char **argv, GError **error)
{
  gboolean json = FALSE, verbose = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "an array of objects", NULL },
                                   { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose,
                                     "portals, states, time limits and files, as iscsiadm's -P", NULL },
                                   { 0 } };
  g_autoptr (GPtrArray) mounts = NULL;
  Sessions s = { 0 };
  int status;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error)
      || !(mounts = lunfs_ctl_statuses (argc, argv, &status, error)))
    return LUNFS_EXIT_FAILED;
  s = (Sessions){ .verbose = verbose, .json = json, .array = json_array_new () };
  for (unsigned i = 0; i < mounts->len; i++)
    lunfs_ctl_each_lun (mounts->pdata[i], one_session, &s);
  if (json)
    print_array (json_array_ref (s.array));
  json_array_unref (s.array);
  if (status == LUNFS_EXIT_OK && s.sid == 0)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "no session is logged in now");
  return status;
}

/* ---- status ---- */

/* Below its mount point, or that itself where it is the LUN. */
static char *
name_of (JsonObject *mount, JsonObject *lun)
{
  const char *file = lunfs_ctl_text (lun, "file");

  return *file ? g_strdup (file) : g_path_get_basename (lunfs_ctl_text (mount, "mountpoint"));
}

static void
status_row (JsonObject *mount, JsonObject *target, JsonObject *lun, void *table)
{
  JsonObject *counters = lunfs_ctl_object (lun, "counters");
  char **cells = g_new0 (char *, 9);

  cells[0] = name_of (mount, lun);
  cells[1] = g_strdup (lunfs_ctl_lun_state (lun));
  cells[2] = g_strdup_printf ("%" G_GINT64_FORMAT "s", lunfs_ctl_number (lun, "state_seconds"));
  cells[3] = lunfs_ctl_size (lunfs_ctl_number (lun, "size"));
  cells[4] = lunfs_ctl_size (lunfs_ctl_number (counters, "read_bytes"));
  cells[5] = lunfs_ctl_size (lunfs_ctl_number (counters, "write_bytes"));
  cells[6] = lunfs_ctl_size (lunfs_ctl_number (counters, "unstable_bytes"));
  cells[7] = g_strdup_printf ("%" G_GINT64_FORMAT, lunfs_ctl_number (counters, "errors"));
  lunfs_ctl_table_add (table, cells);
}

static void
status_error (JsonObject *mount, JsonObject *target, JsonObject *lun, void *text)
{
  const char *why = lunfs_ctl_text (lun, "error");
  g_autofree char *name = name_of (mount, lun);

  if (*why)
    g_string_append_printf (text, "  %s: %s\n", name, why);
}

static void
look_for_down (JsonObject *mount, JsonObject *target, JsonObject *lun, void *down)
{
  *(bool *) down |= strcmp (lunfs_ctl_lun_state (lun), "up") != 0;
}

/* A target without LUNs has not answered yet. */
static void
status_targets (JsonObject *mount, GString *text, bool *down)
{
  JsonArray *targets = lunfs_ctl_array (mount, "targets");

  for (unsigned i = 0; i < json_array_get_length (targets); i++) {
    JsonObject *target = json_array_get_object_element (targets, i);

    if (json_array_get_length (lunfs_ctl_array (target, "luns")) > 0)
      continue;
    *down = true;
    g_string_append_printf (text, "  %s at %s:%d: %s\n",
                            *lunfs_ctl_text (target, "name") ? lunfs_ctl_text (target, "name") : "discovery",
                            lunfs_ctl_text (target, "host"), (int) lunfs_ctl_number (target, "port"),
                            *lunfs_ctl_text (target, "error") ? lunfs_ctl_text (target, "error") : "no answer yet");
  }
}

static void
status_table (JsonObject *mount, GString *text, bool *down)
{
  static const char *const titles[] = { "FILE",     "STATE",      ">SINCE",  ">SIZE", ">READ",
                                        ">WRITTEN", ">UNFLUSHED", ">ERRORS", NULL };
  JsonObject *lunfs = lunfs_ctl_object (mount, "lunfs"), *cache = lunfs_ctl_object (mount, "cache");
  g_autoptr (LunfsCtlTable) table = lunfs_ctl_table_new (titles);
  g_autofree char *size = lunfs_ctl_size (lunfs_ctl_number (cache, "size_bytes"));

  g_string_append_printf (text, "%s: %s, lunfs %s, process %d, up %ds, cache %s %s\n",
                          lunfs_ctl_text (mount, "mountpoint"), lunfs_ctl_text (mount, "source"),
                          lunfs_ctl_text (lunfs, "version"), (int) lunfs_ctl_number (lunfs, "supervisor_pid"),
                          (int) lunfs_ctl_number (lunfs, "uptime_s"), lunfs_ctl_text (cache, "mode"), size);
  if (*lunfs_ctl_text (lunfs_ctl_object (lunfs, "worker"), "last_end"))
    g_string_append_printf (text, "  %d workers started; the last one: %s\n",
                            (int) lunfs_ctl_number (lunfs, "workers_started"),
                            lunfs_ctl_text (lunfs_ctl_object (lunfs, "worker"), "last_end"));
  lunfs_ctl_each_lun (mount, status_row, table);
  lunfs_ctl_table_print (table, "  ", text);
  lunfs_ctl_each_lun (mount, status_error, text);
  status_targets (mount, text, down);
}

/* 4 if a LUN or target is not up. */
int
lunfs_ctl_status (int argc, char **argv, GError **error)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "what .lunfs/status.json holds", NULL },
                                   { 0 } };
  g_autoptr (GPtrArray) mounts = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  bool down = false;
  int status;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error)
      || !(mounts = lunfs_ctl_statuses (argc, argv, &status, error)))
    return LUNFS_EXIT_FAILED;
  if (json && argc == 0 && mounts->len > 1) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "there are %u mounts: say which", mounts->len);
    return LUNFS_EXIT_USAGE;
  }
  for (unsigned i = 0; i < mounts->len; i++) {
    lunfs_ctl_each_lun (mounts->pdata[i], look_for_down, &down);
    if (i)
      g_string_append_c (text, '\n');
    status_table (mounts->pdata[i], text, &down);
    if (json)
      lunfs_ctl_print_json (json_node_init_object (json_node_alloc (), mounts->pdata[i]));
  }
  if (!json)
    fputs (text->str, stdout);
  return status ? status : down ? LUNFS_EXIT_TRANSPORT : LUNFS_EXIT_OK;
}
