/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values and labels of the metrics; their grammar is tests/functional/openmetrics.py's. */
#include "row.h"

#include "control/metrics.h"

#define LABELS "{target=\"iqn.2026-01.org.example:t1\",lun=\"1\",file=\"odd \\\"name\\\"\\n\\\\ \357\277\275\"}"
#define ODD "odd \"name\"\n\\\1\377"

static Row row;
static char *text;

static void
set_up (void)
{
  static const int64_t read_us[] = { 1, 31, 32, 40000000, INT64_C (1) << 40 };
  LunfsStatusLun lun = { .target_name = "iqn.2026-01.org.example:t1", .host = "192.0.2.1", .port = 3260, .number = 1 };
  LunfsStatusTarget target = { "iqn.2026-01.org.example:t2", "192.0.2.2", "why", 3260 };
  LunfsStatus status = { .luns = &lun, .nluns = 1, .targets = &target, .ntargets = 1, .workers_started = 3 };

  row_init (&row, 8, 512, 1);
  row_build (&row, true, NULL);
  row_until (&row, LUNFS_SESSION_UP, 1000000);
  for (unsigned i = 0; i < G_N_ELEMENTS (read_us); i++)
    lunfs_latency_add (&row.stats.read_latency, read_us[i]);
  LUNFS_COUNT (&row.stats, writes, 7);
  LUNFS_GAUGE (&row.stats, dirty_bytes, 4096);
  lunfs_stats_error (&row.stats, EIO);
  lunfs_stats_error (&row.stats, 5000);
  lun.session = row.session;
  lun.lun = row.lun;
  lun.stats = &row.stats;
  lun.file = (char *) ODD;
  status.settings = row.settings;
  text = lunfs_metrics_text (&status);
}

static void
tear_down (void)
{
  g_clear_pointer (&text, g_free);
  row_free (&row);
}

static const char *const lines[] = {
  "lunfs_workers_started_total 3",
  "lunfs_target_up{target=\"iqn.2026-01.org.example:t1\",host=\"192.0.2.1\",port=\"3260\"} 1",
  "lunfs_target_up{target=\"iqn.2026-01.org.example:t2\",host=\"192.0.2.2\",port=\"3260\"} 0",
  "# TYPE lunfs_writes counter",
  "lunfs_writes_total" LABELS " 7",
  "# TYPE lunfs_dirty_bytes gauge\n# UNIT lunfs_dirty_bytes bytes",
  "lunfs_dirty_bytes" LABELS " 4096",
  "lunfs_lun_up" LABELS " 1",
  "lunfs_lun_size_bytes" LABELS " 4096",
  "lunfs_errors_total" LABELS " 2",
  "# TYPE lunfs_read_latency_seconds histogram\n# UNIT lunfs_read_latency_seconds seconds",
  "# EOF",
};

START_TEST (test_lines)
{
  g_autofree char *line = g_strdup_printf ("\n%s\n", lines[_i]);
  g_autofree char *all = g_strdup_printf ("\n%s", text);

  ck_assert_msg (strstr (all, line) != NULL, "%s is not in\n%s", lines[_i], text);
}
END_TEST

/* Labels that are followed by another one. */
static const struct {
  const char *name, *label, *value;
} more[] = {
  { "errors_by_kind_total", "kind=\"EIO\"", "1" },
  { "errors_by_kind_total", "kind=\"other\"", "1" },
  { "read_latency_seconds_bucket", "le=\"3.2e-05\"", "2" },
  { "read_latency_seconds_bucket", "le=\"6.4e-05\"", "3" },
  { "read_latency_seconds_bucket", "le=\"33.554432\"", "3" },
  { "read_latency_seconds_bucket", "le=\"+Inf\"", "5" },
};

START_TEST (test_more_labels)
{
  g_autofree char *labels = g_strndup (LABELS, strlen (LABELS) - 1);
  g_autofree char *line =
      g_strdup_printf ("\nlunfs_%s%s,%s} %s\n", more[_i].name, labels, more[_i].label, more[_i].value);

  ck_assert_msg (strstr (text, line) != NULL, "%s is not in\n%s", line, text);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("metrics");
  TCase *tc = tcase_create ("metrics");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, set_up, tear_down);
  tcase_add_loop_test (tc, test_lines, 0, G_N_ELEMENTS (lines));
  tcase_add_loop_test (tc, test_more_labels, 0, G_N_ELEMENTS (more));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
