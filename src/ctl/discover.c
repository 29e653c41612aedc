/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl discover: SendTargets on a portal, or a question to an iSNS server, without a mount; iscsiadm's output lines.  The
 * user and password, if any, are those of the discovery session. */
#include "config.h"

#include "ctl/ctl.h"

#include "control/discovery.h"
#include "control/isns.h"
#include "control/options.h"
#include "iscsi/libiscsi.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  GMainLoop *loop;
  LunfsExit status;
  char *text;       /* if status is not OK */
  GPtrArray *lines; /* char*: "PORTAL,TPGT NAME" */
} Discovery;

static void
found (void *user, const LunfsFound *f)
{
  Discovery *d = user;

  d->status = lunfs_login_exit (f->outcome);
  d->text = g_strdup (f->text);
  for (unsigned i = 0; i < f->lines->len; i++)
    g_ptr_array_add (d->lines, g_strdup (f->lines->pdata[i]));
  g_main_loop_quit (d->loop);
}

static void
ask (const LunfsSettings *settings, Discovery *d)
{
  LunfsLane *lane = lunfs_lane_new (0, NULL, NULL);
  LunfsFindConf conf = {
    .lane = lane,
    .open = lunfs_iscsi_open,
    .settings = settings,
    .host = settings->source.host,
    .port = settings->source.port,
    .isid_random = g_random_int () & 0xffffff,
  };

  signal (SIGPIPE, SIG_IGN); /* libiscsi writes without MSG_NOSIGNAL */
  /* Owned: else the lane would run found () itself. */
  if (!g_main_context_acquire (NULL))
    g_assert_not_reached ();
  d->loop = g_main_loop_new (NULL, FALSE);
  lunfs_lane_start (lane);
  lunfs_find (&conf, found, d);
  g_main_loop_run (d->loop);
  lunfs_lane_stop (lane);
  lunfs_lane_free (lane);
  g_main_loop_unref (d->loop);
  g_main_context_release (NULL);
}

/* "192.0.2.1:3260,1 iqn..." */
static JsonObject *
line_object (const char *line)
{
  JsonObject *object = json_object_new ();
  const char *blank = strchr (line, ' '), *comma = strrchr (line, ',');
  g_autofree char *portal = g_strndup (line, strcspn (line, ", "));

  json_object_set_string_member (object, "portal", portal);
  json_object_set_int_member (object, "tpgt", comma && comma < blank ? g_ascii_strtoll (comma + 1, NULL, 10) : -1);
  json_object_set_string_member (object, "target", blank + 1);
  return object;
}

static void
print (const GPtrArray *lines, bool json)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();

  for (unsigned i = 0; i < lines->len; i++)
    if (json)
      json_array_add_object_element (array, line_object (lines->pdata[i]));
    else
      puts (lines->pdata[i]);
  json_node_take_array (node, array);
  if (json)
    lunfs_ctl_print_json (node);
  else
    json_node_unref (node);
}

/* @list: the values of -o.  The arguments as lunfs would get them. */
static LunfsSettings *
make_settings (char **list, const char *where, GError **error)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (args, g_strdup ("lunfsctl discover"));
  for (; list && *list; list++) {
    g_ptr_array_add (args, g_strdup ("-o"));
    g_ptr_array_add (args, g_strdup (*list));
  }
  g_ptr_array_add (args, g_strdup ("--"));
  g_ptr_array_add (args, strstr (where, "://") ? g_strdup (where) : g_strconcat ("iscsi://", where, NULL));
  return lunfs_options_parse_source ((int) args->len, (char **) args->pdata, error);
}

/* No iSNS server is at iSCSI's port, which the settings have if none was given. */
static void
ask_isns (const LunfsSettings *s, Discovery *d, GError **error)
{
  uint16_t port = s->source.port == 3260 ? LUNFS_ISNS_PORT : s->source.port;
  GPtrArray *lines =
      lunfs_isns_ask (s->source.host, port, s->initiator_name, (unsigned) MAX (s->login_timeout, 1), error);

  if (!lines)
    return;
  g_ptr_array_unref (d->lines);
  d->lines = lines;
}

int
lunfs_ctl_discover (int argc, char **argv, GError **error)
{
  gboolean json = FALSE, isns = FALSE;
  g_auto (GStrv) list = NULL;
  const GOptionEntry entries[] = {
    { "option", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &list,
      "of lunfs: credentials=FILE, user=NAME, initiator_name=NAME, login_timeout=SECONDS, ...", "NAME=VALUE,..." },
    { "isns", 0, 0, G_OPTION_ARG_NONE, &isns, "HOST is an iSNS server (port 3205)", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "an array of objects", NULL },
    { 0 }
  };
  g_autoptr (LunfsSettings) settings = NULL;
  Discovery d = { .lines = g_ptr_array_new_with_free_func (g_free) };
  char *where;

  if (lunfs_ctl_options (&argc, &argv, entries, 1, "HOST[:PORT] | iscsi://[USER@]HOST[:PORT]", error)
      && (settings = make_settings (list, argc > 0 ? argv[0] : "", error))) {
    if (isns)
      ask_isns (settings, &d, error);
    else
      ask (settings, &d);
    if (!*error)
      print (d.lines, json);
    where = settings->source.host;
    if (d.status != LUNFS_EXIT_OK)
      g_set_error (error, LUNFS_ERROR, d.status, "discovery on %s port %u: %s", where, settings->source.port, d.text);
    else if (d.lines->len == 0 && !*error)
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS,
                   "%s port %u offers no targets to %s (check their access lists)", where, settings->source.port,
                   settings->initiator_name);
  }
  g_ptr_array_unref (d.lines);
  g_free (d.text);
  return LUNFS_EXIT_OK;
}
