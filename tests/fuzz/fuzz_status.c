/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status.json and metrics with names and texts from a hostile target and odd paths in it: always UTF-8 and JSON, and what is UTF-8
 * reads as it was; and lines of metrics that a label cannot break.
 *
 * The input: texts separated by NULs, see TEXTS; the last one is an answer to INQUIRY, used for every page. */
#include "config.h"

#include "fuzz.h"

#include "fuzz_row.h"

#include "control/metrics.h"
#include "session/session-private.h"

#include <json-glib/json-glib.h>

typedef enum { SOURCE, MOUNTPOINT, INITIATOR, TARGET, HOST, PORTAL, ERROR, FILE_NAME, TARGET2, ERROR2, TEXTS } Text;

static Row row;

/* The row is never started: the status is made from what it has published. */
static void
make_row (void)
{
  LunfsSessionConf conf = { .settings = NULL, .host = "h", .target_name = "t" };
  static const LunfsSessionEvents events = { 0 };

  row_init (&row, 8, 512, 1);
  conf.settings = row.settings;
  conf.stats = &row.stats;
  row.session = lunfs_session_new (row.lane, &conf, &events, NULL);
  row.lun = lunfs_lun_new (row.lane, lunfs_session_layer (row.session), row.pool, &row.stats, false, false);
}

static void
learn (const uint8_t *data, size_t len)
{
  LunfsLunInfo info = { .capacity = { .nblocks = 8, .block_size = 512, .physical_block_size = 512 } };
  const char *why;

  lunfs_inquiry_parse (data, len, &info.inquiry);
  lunfs_vpd83_parse (data, len, &info.identity);
  lunfs_vpd80_parse (data, len, &info.identity);
  must (lunfs_lun_update (row.lun, &info, &why));
}

static void
snapshot (char **text)
{
  LunfsSessionSnapshot *s = &row.session->snapshot;

  g_strlcpy (s->error, text[ERROR], sizeof s->error); /* as the session has it: cut wherever that is */
  g_strlcpy (s->portal, text[PORTAL], sizeof s->portal);
  s->state = (LunfsSessionState) (strlen (text[ERROR]) % (LUNFS_SESSION_STOPPED + 1));
}

static void
same (JsonObject *object, const char *member, const char *text)
{
  const char *got = json_object_get_string_member (object, member);
  g_autofree char *expected = g_strdelimit (g_strdup (text), "\x1f", ' ');

  must (got && g_utf8_validate (got, -1, NULL));
  must (!g_utf8_validate (text, -1, NULL) || g_str_equal (got, expected));
}

static void
compare (const char *json, char **text)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) error = NULL;
  JsonObject *top, *target, *lun;
  JsonArray *targets;

  must (g_utf8_validate (json, -1, NULL) && g_str_has_suffix (json, "}\n"));
  for (const char *p = json; *p; p++)
    must ((uint8_t) *p >= 0x20 || *p == '\n');
  must (json_parser_load_from_data (parser, json, -1, &error));
  top = json_node_get_object (json_parser_get_root (parser));
  same (top, "source", text[SOURCE]);
  same (top, "mountpoint", text[MOUNTPOINT]);
  same (top, "initiator_name", text[INITIATOR]);
  targets = json_object_get_array_member (top, "targets");
  must (json_array_get_length (targets) == 2);
  target = json_array_get_object_element (targets, 0);
  same (target, "name", text[TARGET]);
  same (target, "host", text[HOST]);
  lun = json_array_get_object_element (json_object_get_array_member (target, "luns"), 0);
  same (lun, "portal", row.session->snapshot.portal);
  same (lun, "error", row.session->snapshot.error);
  same (lun, "file", text[FILE_NAME]);
  target = json_array_get_object_element (targets, 1);
  same (target, "name", text[TARGET2]);
  same (target, "error", text[ERROR2]);
}

/* Whole samples and comments; tests/functional/openmetrics.py knows the rest. */
static void
check_metrics (const LunfsStatus *status)
{
  g_autofree char *metrics = lunfs_metrics_text (status);
  g_auto (GStrv) lines = g_strsplit (metrics, "\n", -1);
  unsigned n = g_strv_length (lines);

  must (g_utf8_validate (metrics, -1, NULL));
  must (n > 2 && g_str_equal (lines[n - 2], "# EOF") && !*lines[n - 1]);
  for (unsigned i = 0; i + 2 < n; i++) {
    const char *value = strrchr (lines[i], ' ');

    must (g_str_has_prefix (lines[i], "# TYPE lunfs_") || g_str_has_prefix (lines[i], "# UNIT lunfs_")
          || g_str_has_prefix (lines[i], "# HELP lunfs_")
          || (g_str_has_prefix (lines[i], "lunfs_") && value && g_ascii_isdigit (value[1])));
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  char *text[TEXTS];
  LunfsStatusLun lun = { .port = 3260, .number = 1 };
  LunfsStatusTarget target = { .port = 3261 };
  LunfsStatus status = { .luns = &lun, .nluns = 1, .targets = &target, .ntargets = 1 };
  g_autofree char *json = NULL;

  fuzz_quiet ();
  if (!row.lun)
    make_row ();
  for (unsigned i = 0; i < TEXTS; i++)
    text[i] = fuzz_string (&in);
  learn (in.p, in.left);
  snapshot (text);
  row.settings->source_text = text[SOURCE];
  row.settings->mountpoint = text[MOUNTPOINT];
  row.settings->initiator_name = text[INITIATOR];
  lun.session = row.session;
  lun.lun = row.lun;
  lun.stats = &row.stats;
  lun.target_name = text[TARGET];
  lun.host = text[HOST];
  lun.file = text[FILE_NAME];
  target.name = text[TARGET2];
  target.host = text[HOST];
  target.error = text[ERROR2];
  status.settings = row.settings;
  json = lunfs_status_text (&status);
  compare (json, text);
  check_metrics (&status);
  row.settings->source_text = row.settings->mountpoint = row.settings->initiator_name = NULL;
  for (unsigned i = 0; i < TEXTS; i++)
    g_free (text[i]);
  return 0;
}
