/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command: which names, the configuration, and what is told of the steps (check_steps.c). */
#include "config.h"

#include "worker/check.h"

#include "worker/check-private.h"

#include "control/keyfile.h"
#include "control/options.h"
#include "control/url.h"
#include "iscsi/libiscsi.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- telling ---- */

bool
lunfs_check_say (LunfsCheck *c, const char *step, int status, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);

  if (status && !c->status)
    c->status = status;
  if (c->json) {
    json_builder_begin_object (c->json);
    json_builder_set_member_name (c->json, "name");
    json_builder_add_string_value (c->json, c->name);
    json_builder_set_member_name (c->json, "step");
    json_builder_add_string_value (c->json, step);
    json_builder_set_member_name (c->json, "status");
    json_builder_add_int_value (c->json, status);
    json_builder_set_member_name (c->json, "text");
    json_builder_add_string_value (c->json, text);
    json_builder_end_object (c->json);
  } else if (status) {
    printf ("%s: %s: failed (%d): %s\n", c->name, step, status, text);
  } else {
    printf ("%s: %s: ok: %s\n", c->name, step, text);
  }
  fflush (stdout);
  return status == 0;
}

/* ---- one name ---- */

/* @args: those of lunfs, the name last.  The status. */
static int
check_one (char **args, const char *name, JsonBuilder *json)
{
  LunfsCheck c = { .name = name, .json = json };
  g_autoptr (GError) why = NULL;
  g_autofree char *text = NULL;
  const char *others;

  c.settings = lunfs_options_parse_source ((int) g_strv_length (args), args, &why);
  if (why)
    lunfs_check_say (&c, "configuration", why->domain == LUNFS_ERROR ? why->code : LUNFS_EXIT_FAILED, "%s",
                     why->message);
  if (!c.settings)
    return c.status;
  lunfs_log_open ("stderr", c.settings->debug_mask ? LUNFS_LOG_DEBUG : LUNFS_LOG_ERROR, c.settings->debug_mask, NULL);
  text = lunfs_source_text (&c.settings->source, NULL);
  others = c.settings->other_portals;
  lunfs_check_say (&c, "configuration", 0, "%s%s%s", text, others ? ", or at " : "", others ? others : "");
  lunfs_check_online (&c);
  lunfs_settings_free (c.settings);
  return c.status;
}

/* ---- the command ---- */

typedef struct {
  GPtrArray *args; /* for lunfs: its name, options */
  const char *source;
  const char *config_path;
  bool json;
} Command;

static bool
take_arguments (Command *cmd, int argc, char **argv, GError **error)
{
  for (int i = 0; i < argc; i++) {
    if (g_str_equal (argv[i], "--json")) {
      cmd->json = true;
    } else if (*argv[i] != '-' && cmd->source) {
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "give one NAME or URL, or none for all names");
      return false;
    } else if (*argv[i] != '-') {
      cmd->source = argv[i];
    } else {
      const LunfsOption *o = g_str_has_prefix (argv[i], "--") ? lunfs_option_find (argv[i] + 2) : NULL;
      bool next = i + 1 < argc && (o ? o->value_name && !o->value_optional : g_str_equal (argv[i], "-o"));

      if (g_str_equal (argv[i], "--config") && next)
        cmd->config_path = argv[i + 1];
      else if (g_str_has_prefix (argv[i], "--config="))
        cmd->config_path = argv[i] + strlen ("--config=");
      g_ptr_array_add (cmd->args, g_strdup (argv[i]));
      if (next)
        g_ptr_array_add (cmd->args, g_strdup (argv[++i]));
    }
  }
  return true;
}

static int
check_source (const Command *cmd, const char *source, JsonBuilder *json)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *shown = g_strdup (source);
  g_auto (GStrv) args = NULL;

  for (unsigned i = 0; i < cmd->args->len; i++)
    g_strv_builder_add (builder, cmd->args->pdata[i]);
  g_strv_builder_add (builder, source);
  args = g_strv_builder_end (builder);
  lunfs_url_hide_password (shown);
  return check_one (args, shown, json);
}

static int
check_all (const Command *cmd, JsonBuilder *json, GError **error)
{
  g_autoptr (LunfsKeyfile) file = lunfs_keyfile_load (cmd->config_path, error);
  int first = LUNFS_EXIT_OK;

  if (!file)
    return LUNFS_EXIT_USAGE;
  if (!*lunfs_keyfile_names (file))
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "%s names no target", lunfs_keyfile_path (file));
  for (char **name = lunfs_keyfile_names (file); *name; name++) {
    int status = check_source (cmd, *name, json);

    first = first ? first : status;
  }
  return first;
}

static void
print_json (JsonBuilder *json, int status)
{
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_end_array (json);
  json_builder_set_member_name (json, "status");
  json_builder_add_int_value (json, status);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  puts (text);
}

int
lunfs_check_run (int argc, char **argv, GError **error)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (JsonBuilder) json = NULL;
  Command cmd = { .args = args };
  int status;

  g_ptr_array_add (args, g_strdup ("lunfs"));
  if (!take_arguments (&cmd, argc, argv, error) || !lunfs_iscsi_self_test (error))
    return LUNFS_EXIT_USAGE;
  signal (SIGPIPE, SIG_IGN); /* libiscsi writes without MSG_NOSIGNAL */
  if (cmd.json) {
    json = json_builder_new ();
    json_builder_begin_object (json);
    json_builder_set_member_name (json, "steps");
    json_builder_begin_array (json);
  }
  status = cmd.source ? check_source (&cmd, cmd.source, json) : check_all (&cmd, json, error);
  if (json && !*error)
    print_json (json, status);
  return status;
}
