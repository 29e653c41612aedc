/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, mounts and what they answer. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_TIMEOUT_S 10
#define TIMEOUT_MAX_S (366 * 86400)

bool
lunfs_ctl_options (int *argc, char ***argv, const GOptionEntry *entries, int max, const char *arguments, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new (arguments);
  g_autoptr (GError) why = NULL;
  char **all = *argv - 1; /* GOption wants a program's name in front */
  int n = *argc + 1;
  g_autofree char *name = g_strdup_printf ("lunfsctl %s", all[0]);

  g_set_prgname (name);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &n, &all, &why)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s; %s --help says more", why->message, name);
    return false;
  }
  if (n > 1 && strcmp (all[1], "--") == 0) {
    all++;
    n--;
  }
  *argc = n - 1;
  *argv = all + 1;
  if (max < 0 || *argc <= max)
    return true;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "'%s' is one argument too many; %s --help says more", (*argv)[max],
               name);
  return false;
}

bool
lunfs_ctl_check_timeout (gint64 timeout_s, gint64 min, GError **error)
{
  if (timeout_s >= min && timeout_s <= TIMEOUT_MAX_S)
    return true;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "--timeout: from %d to %d seconds", (int) min, TIMEOUT_MAX_S);
  return false;
}

JsonObject *
lunfs_ctl_request (const char *command)
{
  JsonObject *request = json_object_new ();

  json_object_set_string_member (request, "command", command);
  return request;
}

int
lunfs_ctl_say (const GError *error)
{
  fprintf (stderr, "lunfsctl: %s\n", error->message);
  return error->domain == LUNFS_ERROR ? error->code : LUNFS_EXIT_FAILED;
}

/* @mountpoint, @socket and @inside: LunfsControlMount's. */
static JsonObject *
ask_mount (const char *mountpoint, const char *socket, const char *inside, JsonObject *request, GError **error)
{
  JsonObject *answer;

  json_object_set_string_member (request, "lun", inside);
  answer = lunfs_control_ask_at (socket, request, ASK_TIMEOUT_S, error);
  if (answer) {
    json_object_set_string_member (answer, "mountpoint", mountpoint);
    json_object_set_string_member (answer, "socket", socket);
    json_object_set_string_member (answer, "inside", inside);
  }
  return answer;
}

GPtrArray *
lunfs_ctl_ask (int argc, char **argv, JsonObject *request, int *status, GError **error)
{
  g_autoptr (GPtrArray) mounts = lunfs_control_find (argc > 0 ? argv[0] : NULL, error);
  g_autoptr (GPtrArray) answers = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);

  *status = LUNFS_EXIT_OK;
  if (!mounts)
    return NULL;
  for (unsigned i = 0; i < mounts->len; i++) {
    const LunfsControlMount *mount = mounts->pdata[i];
    g_autoptr (GError) why = mount->silent ? g_error_copy (mount->silent) : NULL;
    JsonObject *answer = why ? NULL : ask_mount (mount->mountpoint, mount->socket, mount->inside, request, &why);

    if (answer) {
      g_ptr_array_add (answers, answer);
    } else {
      int code = lunfs_ctl_say (why);

      *status = *status ? *status : code;
    }
  }
  return g_steal_pointer (&answers);
}

JsonObject *
lunfs_ctl_ask_again (JsonObject *answer, const char *command, GError **error)
{
  const char *mountpoint = lunfs_ctl_text (answer, "mountpoint"), *socket = lunfs_ctl_text (answer, "socket");
  g_autoptr (JsonObject) request = lunfs_ctl_request (command);
  g_autoptr (GError) why = NULL;
  JsonObject *again = ask_mount (mountpoint, socket, lunfs_ctl_text (answer, "inside"), request, &why);

  if (again)
    return again;
  if (!lunfs_control_has_owner (socket)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "%s: the mount has ended meanwhile", mountpoint);
    return NULL;
  }
  again = json_object_new ();
  if (g_error_matches (why, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS))
    json_object_set_array_member (again, "luns", json_array_new ());
  return again;
}

JsonObject *
lunfs_ctl_find_lun (JsonObject *answer, const char *file)
{
  JsonArray *luns = json_object_has_member (answer, "luns") ? lunfs_ctl_array (answer, "luns") : NULL;

  for (unsigned i = 0; luns && i < json_array_get_length (luns); i++) {
    JsonObject *lun = json_array_get_object_element (luns, i);

    if (strcmp (lunfs_ctl_text (lun, "file"), file) == 0)
      return lun;
  }
  return NULL;
}

/* ---- members ---- */

gint64
lunfs_ctl_number (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_int (node) : 0;
}

const char *
lunfs_ctl_text (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  const char *text = node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;

  return text ? text : "";
}

JsonArray *
lunfs_ctl_array (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  if (!node || !JSON_NODE_HOLDS_ARRAY (node)) {
    json_object_set_array_member (object, name, json_array_new ());
    node = json_object_get_member (object, name);
  }
  return json_node_get_array (node);
}

JsonObject *
lunfs_ctl_object (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  if (!node || !JSON_NODE_HOLDS_OBJECT (node)) {
    json_object_set_object_member (object, name, json_object_new ());
    node = json_object_get_member (object, name);
  }
  return json_node_get_object (node);
}

/* ---- status files ---- */

void
lunfs_ctl_each_lun (JsonObject *mount, LunfsCtlLunFunc func, void *user)
{
  JsonArray *targets = lunfs_ctl_array (mount, "targets");

  for (unsigned i = 0; i < json_array_get_length (targets); i++) {
    JsonObject *target = json_array_get_object_element (targets, i);
    JsonArray *luns = lunfs_ctl_array (target, "luns");

    for (unsigned j = 0; j < json_array_get_length (luns); j++)
      func (mount, target, json_array_get_object_element (luns, j), user);
  }
}

char *
lunfs_ctl_lun_path (JsonObject *mount, JsonObject *lun)
{
  const char *file = lunfs_ctl_text (lun, "file");

  return *file ? g_build_filename (lunfs_ctl_text (mount, "mountpoint"), file, NULL)
               : g_strdup (lunfs_ctl_text (mount, "mountpoint"));
}

const char *
lunfs_ctl_lun_state (JsonObject *lun)
{
  static const char *const lost[] = { "preempted", "lost", NULL };
  const char *state = lunfs_ctl_text (lun, "state");

  if (strcmp (state, "up") == 0
      && g_strv_contains (lost, lunfs_ctl_text (lunfs_ctl_object (lun, "reservation"), "state")))
    return "preempted";
  if (strcmp (state, "down") == 0 && json_object_get_boolean_member_with_default (lun, "failing", FALSE))
    return "failing";
  return state;
}

/* Nothing but what is below @inside, and the targets without LUNs if all is meant. */
static void
keep_only (JsonObject *mount, const char *inside)
{
  JsonArray *targets = lunfs_ctl_array (mount, "targets");
  size_t len = strlen (inside);

  for (unsigned i = json_array_get_length (targets); len && i-- > 0;) {
    JsonArray *luns = lunfs_ctl_array (json_array_get_object_element (targets, i), "luns");

    for (unsigned j = json_array_get_length (luns); j-- > 0;) {
      const char *file = lunfs_ctl_text (json_array_get_object_element (luns, j), "file");

      if (strncmp (file, inside, len) != 0 || (file[len] != '\0' && file[len] != '/'))
        json_array_remove_element (luns, j);
    }
    if (json_array_get_length (luns) == 0)
      json_array_remove_element (targets, i);
  }
}

GPtrArray *
lunfs_ctl_statuses (int argc, char **argv, int *status, GError **error)
{
  g_autoptr (JsonObject) request = lunfs_ctl_request ("status");
  g_autoptr (GPtrArray) answers = lunfs_ctl_ask (argc, argv, request, status, error);
  g_autoptr (GPtrArray) mounts = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);

  for (unsigned i = 0; answers && i < answers->len; i++) {
    g_autoptr (JsonParser) parser = json_parser_new ();
    JsonNode *root;
    JsonObject *mount;

    if (!json_parser_load_from_data (parser, lunfs_ctl_text (answers->pdata[i], "text"), -1, error))
      return NULL;
    root = json_parser_get_root (parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT (root))
      continue;
    mount = json_object_ref (json_node_get_object (root));
    keep_only (mount, lunfs_ctl_text (answers->pdata[i], "inside"));
    g_ptr_array_add (mounts, mount);
  }
  return answers ? g_steal_pointer (&mounts) : NULL;
}
