/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line that came over the control socket, to a worker without LUNs: one line of JSON comes back, whatever it was. */
#include "config.h"

#include "fuzz.h"

#include "control/control.c" /* answer() */
#include "worker/commands.c" /* handle() */

/* json-glib 1.6 loses the first of two values in one line; nothing else here is worth a look by the leak checker. */
int __lsan_is_turned_off (void);
int
__lsan_is_turned_off (void)
{
  return 1;
}

static LunfsControl control;

/* A mount point that is no UTF-8. */
static void
make_worker (void)
{
  LunfsWorker *w = g_new0 (LunfsWorker, 1);

  w->settings = lunfs_settings_new ();
  w->settings->mountpoint = g_strdup ("/mnt/gr\xf6\xdf"
                                      "e\x1f");
  w->settings->source_text = g_strdup ("iscsi://h");
  w->settings->initiator_name = g_strdup ("iqn.2026-01.org.example:host");
  w->arena = lunfs_arena_create (0, NULL);
  w->rows = g_ptr_array_new ();
  w->askings = g_ptr_array_new ();
  control.handler = handle;
  control.user = w;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  g_autofree char *line = fuzz_string (&in), *reply = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object;
  gint64 status;

  fuzz_quiet ();
  if (!control.user)
    make_worker ();
  if (!g_utf8_validate (line, -1, NULL) || strchr (line, '\n')) /* next_line() sees to that */
    return 0;
  reply = answer (&control, line);
  must (g_utf8_validate (reply, -1, NULL) && strchr (reply, '\n') == reply + strlen (reply) - 1);
  for (const char *p = reply; p[1]; p++)
    must ((uint8_t) *p >= 0x20);
  must (json_parser_load_from_data (parser, reply, -1, NULL));
  object = json_node_get_object (json_parser_get_root (parser));
  status = json_object_get_int_member (object, "status");
  must (status >= 0 && status < 64 && (status == 0) == !json_object_has_member (object, "error"));
  return 0;
}
