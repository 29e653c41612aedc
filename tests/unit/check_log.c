/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lunfs/log.h"

#include "lunfs/error.h"

#include <check.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define LINES 500

static char *
log_file (const char *dir, LunfsLogLevel level, unsigned mask)
{
  char *path = g_build_filename (dir, "log", NULL);
  ck_assert (lunfs_log_open (path, level, mask, NULL));
  return path;
}

static char *
contents (const char *path)
{
  char *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

START_TEST (test_file)
{
  g_autofree char *dir = g_dir_make_tmp ("lunfs-XXXXXX", NULL);
  g_autofree char *path = log_file (dir, LUNFS_LOG_NOTICE, LUNFS_DBG_SESSION);
  errno = ENOSPC;
  lunfs_error ("broken: %m");
  ck_assert_int_eq (errno, ENOSPC);
  lunfs_info ("not seen");
  lunfs_debug (SESSION, "state %d", 3);
  lunfs_debug (FUSE, "not seen");
  lunfs_notice ("two\nlines\x1b");
  g_autofree char *text = contents (path);
  ck_assert (g_regex_match_simple ("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z lunfs\\[\\d+\\]: "
                                   "error: broken: No space left on device\n",
                                   text, 0, 0));
  ck_assert_ptr_nonnull (strstr (text, "]: session: state 3\n"));
  ck_assert_ptr_nonnull (strstr (text, "]: two lines \n"));
  ck_assert_ptr_null (strstr (text, "not seen"));
  g_unlink (path);
  g_rmdir (dir);
}
END_TEST

START_TEST (test_long_line)
{
  g_autofree char *dir = g_dir_make_tmp ("lunfs-XXXXXX", NULL);
  g_autofree char *path = log_file (dir, LUNFS_LOG_NOTICE, 0);
  g_autofree char *filler = g_strnfill (10000, 'x');
  lunfs_warning ("%s", filler);
  g_autofree char *text = contents (path);
  ck_assert (g_str_has_suffix (text, "x\n"));
  ck_assert_uint_lt (strlen (text), 3000);
  g_unlink (path);
  g_rmdir (dir);
}
END_TEST

static gpointer
writer (gpointer data)
{
  for (int i = 0; i < LINES; i++)
    lunfs_notice ("thread %d line %d end", GPOINTER_TO_INT (data), i);
  return NULL;
}

START_TEST (test_threads)
{
  g_autofree char *dir = g_dir_make_tmp ("lunfs-XXXXXX", NULL);
  g_autofree char *path = log_file (dir, LUNFS_LOG_NOTICE, 0);
  GThread *thread[THREADS];
  for (int i = 0; i < THREADS; i++)
    thread[i] = g_thread_new ("log", writer, GINT_TO_POINTER (i));
  g_free (log_file (dir, LUNFS_LOG_NOTICE, 0)); /* reopened while in use */
  for (int i = 0; i < THREADS; i++)
    g_thread_join (thread[i]);
  g_autofree char *text = contents (path);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  ck_assert_uint_eq (g_strv_length (lines), THREADS * LINES + 1);
  for (int i = 0; i < THREADS * LINES; i++)
    ck_assert (g_str_has_suffix (lines[i], " end"));
  g_unlink (path);
  g_rmdir (dir);
}
END_TEST

START_TEST (test_open_fails)
{
  g_autoptr (GError) error = NULL;
  ck_assert (!lunfs_log_open ("/nonexistent/log", LUNFS_LOG_NOTICE, 0, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_USAGE);
  ck_assert (lunfs_log_open (NULL, LUNFS_LOG_NOTICE, 0, NULL));
}
END_TEST

START_TEST (test_domains)
{
  unsigned mask = 42;
  ck_assert (lunfs_log_parse_domains ("cache,session", &mask));
  ck_assert_uint_eq (mask, LUNFS_DBG_CACHE | LUNFS_DBG_SESSION);
  ck_assert (lunfs_log_parse_domains ("all", &mask));
  ck_assert_uint_eq (mask, LUNFS_DBG_ALL);
  ck_assert (!lunfs_log_parse_domains ("cache,nonsense", &mask));
  ck_assert_uint_eq (mask, LUNFS_DBG_ALL);
  ck_assert (!lunfs_log_parse_domains ("cache,,lun", &mask));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("log");
  TCase *tc = tcase_create ("log");
  tcase_add_test (tc, test_file);
  tcase_add_test (tc, test_long_line);
  tcase_add_test (tc, test_threads);
  tcase_add_test (tc, test_open_fails);
  tcase_add_test (tc, test_domains);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
