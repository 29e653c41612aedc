/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/secret.h"

#include "lunfs/error.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
  const char *text, *user, *password, *target_user, *target_password;
} good[] = {
  { "user=joe\npassword=secret\n", "joe", "secret", NULL, NULL },
  { "# a comment\n\n user = joe \r\npassword= with = and blank in it\n", "joe", "with = and blank in it", NULL, NULL },
  { "user=a\npassword=b\ntarget_user=c\ntarget_password=d", "a", "b", "c", "d" },
  { "node.session.auth.authmethod = CHAP\nnode.session.auth.username = a\nnode.session.auth.password = b\n"
    "node.session.auth.username_in = c\nnode.session.auth.password_in = d\nnode.startup = manual\n",
    "a", "b", "c", "d" },
  { "lone password ", NULL, "lone password ", NULL, NULL },
  { "lone\n", NULL, "lone", NULL, NULL },
  { "lone\r\n", NULL, "lone", NULL, NULL },
  { "user=joe", "joe", NULL, NULL, NULL },
  { "\xef\xbb\xbfuser=joe\r\npassword=secret\r\n", "joe", "secret", NULL, NULL },
  { "\xef\xbb\xbflone\r\n", NULL, "lone", NULL, NULL },
};

static const struct {
  const char *text, *says;
} wrong[] = {
  { "", "holds no user name" },
  { "# nothing\n", "holds no user name" },
  { "\xef\xbb\xbf", "holds no user name" },
  { "pasword=hunter2\n", "line 1: unknown name 'pasword'; did you mean 'password'?" },
  { "user=joe\nPassword = hunter2\n", "line 2: unknown name 'Password'; did you mean 'password'?" },
  { "username=hunter2\n", "line 1: unknown name 'username'; did you mean 'user'?" },
  { "target-pasword=hunter2\n", "unknown name 'target-pasword'; did you mean 'target_password'?" },
  { "user=joe\npassword_in=hunter2\n", "unknown name 'password_in'; did you mean 'target_password'?" },
  { "hunter2hunter2==", "line 1: unknown name before '='; known are user," },
  { "correcthorse=battery=staple", "line 1: unknown name before '='" },
  { "passw0rd-hunter2=", "line 1: unknown name before '='" },
  { "user=joe\nhunter2\n", "line 2: expected name=value" },
  { "hunter2\nhunter2\n", "line 1: expected name=value" },
  { "password=hunter2\npassword=hunter2\n", "line 2: given twice" },
  { "user=\n", "line 1: the value is empty" },
  { "node.session.auth.passwd = hunter2\n", "did you mean 'node.session.auth.password'?" },
};

START_TEST (test_good)
{
  LunfsCredentials c;
  g_autoptr (GError) error = NULL;
  ck_assert_msg (lunfs_credentials_parse (good[_i].text, "x", &c, &error), "%s", error ? error->message : "");
  ck_assert_pstr_eq (c.user, good[_i].user);
  ck_assert_pstr_eq (c.password, good[_i].password);
  ck_assert_pstr_eq (c.target_user, good[_i].target_user);
  ck_assert_pstr_eq (c.target_password, good[_i].target_password);
  lunfs_credentials_clear (&c);
  ck_assert_ptr_null (c.password);
}
END_TEST

START_TEST (test_wrong)
{
  LunfsCredentials c;
  g_autoptr (GError) error = NULL;
  ck_assert (!lunfs_credentials_parse (wrong[_i].text, "file 'x'", &c, &error));
  ck_assert_msg (strstr (error->message, wrong[_i].says) != NULL, "%s", error->message);
  ck_assert_ptr_null (strstr (error->message, "hunter2"));
  ck_assert_ptr_null (strstr (error->message, "correct"));
}
END_TEST

START_TEST (test_length)
{
  LunfsCredentials c;
  g_autofree char *longest = g_strnfill (255, 'p'), *too_long = g_strnfill (256, 'p');
  ck_assert (lunfs_credentials_parse (longest, "x", &c, NULL));
  lunfs_credentials_clear (&c);
  ck_assert (!lunfs_credentials_parse (too_long, "x", &c, NULL));
}
END_TEST

static char *
make_file (const char *dir, const char *text, gssize len, int mode)
{
  char *path = g_build_filename (dir, "cred", NULL);
  ck_assert (g_file_set_contents (path, text, len, NULL));
  ck_assert_int_eq (g_chmod (path, mode), 0);
  return path;
}

static void
refused (const char *path, LunfsExit status, const char *says)
{
  LunfsCredentials c;
  g_autoptr (GError) error = NULL;
  ck_assert (!lunfs_credentials_read_file (path, &c, &error));
  ck_assert_int_eq (error->code, status);
  ck_assert_msg (strstr (error->message, says) != NULL, "%s", error->message);
}

START_TEST (test_file)
{
  LunfsCredentials c;
  g_autofree char *dir = g_dir_make_tmp ("lunfs-XXXXXX", NULL);
  g_autofree char *path = make_file (dir, "user=joe\npassword=secret\n", -1, 0600);
  ck_assert (lunfs_credentials_read_file (path, &c, NULL));
  ck_assert_str_eq (c.user, "joe");
  lunfs_credentials_clear (&c);

  static const int open_modes[] = { 0640, 0604, 0620, 0610, 0644 };
  for (size_t i = 0; i < G_N_ELEMENTS (open_modes); i++) {
    g_chmod (path, open_modes[i]);
    refused (path, LUNFS_EXIT_ACCESS, "chmod 600");
  }
  refused (dir, LUNFS_EXIT_USAGE, "not a regular file");
  g_free (path);
  path = make_file (dir, "a\0b", 3, 0400);
  refused (path, LUNFS_EXIT_USAGE, "NUL");
  g_unlink (path);
  refused (path, LUNFS_EXIT_USAGE, "No such file");
  ck_assert_int_eq (mkfifo (path, 0600), 0);
  refused (path, LUNFS_EXIT_USAGE, "not a regular file");
  g_unlink (path);
  g_rmdir (dir);
}
END_TEST

START_TEST (test_fd)
{
  LunfsCredentials c;
  int fds[2];
  g_autoptr (GError) error = NULL;
  ck_assert_int_eq (pipe (fds), 0);
  ck_assert_int_eq (write (fds[1], "secret\n", 7), 7);
  close (fds[1]);
  ck_assert (lunfs_credentials_read_fd (fds[0], &c, NULL));
  ck_assert_str_eq (c.password, "secret");
  lunfs_credentials_clear (&c);
  close (fds[0]);
  ck_assert (!lunfs_credentials_read_fd (fds[0], &c, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_ACCESS);
}
END_TEST

START_TEST (test_env_and_merge)
{
  g_setenv ("LIBISCSI_CHAP_USERNAME", "env", true);
  g_setenv ("LIBISCSI_CHAP_PASSWORD", "envpw", true);
  g_setenv ("LIBISCSI_CHAP_TARGET_USERNAME", "", true);
  LunfsCredentials env, mine = { .user = g_strdup ("mine") };
  lunfs_credentials_from_env (&env);
  ck_assert_str_eq (env.user, "env");
  ck_assert_ptr_null (env.target_user);
  lunfs_credentials_merge (&mine, &env);
  ck_assert_str_eq (mine.user, "mine");
  ck_assert_str_eq (mine.password, "envpw");
  ck_assert_str_eq (env.user, "env"); /* not taken: still its owner's */
  ck_assert_ptr_null (env.password);
  lunfs_credentials_clear (&env);
  lunfs_credentials_clear (&mine);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("secret");
  TCase *tc = tcase_create ("secret");
  tcase_add_loop_test (tc, test_good, 0, G_N_ELEMENTS (good));
  tcase_add_loop_test (tc, test_wrong, 0, G_N_ELEMENTS (wrong));
  tcase_add_test (tc, test_length);
  tcase_add_test (tc, test_file);
  tcase_add_test (tc, test_fd);
  tcase_add_test (tc, test_env_and_merge);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
