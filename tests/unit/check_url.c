/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/url.h"

#include "control/secret.h"
#include "lunfs/error.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define T "iqn.2026-01.org.example:t1"

static const struct {
  const char *text;
  const char *host;
  unsigned port;
  const char *target;
  int lun;
  const char *user, *password;
  const char *canonical;
} good[] = {
  { "iscsi://san", "san", 3260, NULL, -1, NULL, NULL, "iscsi://san" },
  { "iscsi://san/", "san", 3260, NULL, -1, NULL, NULL, "iscsi://san" },
  { "ISCSI://10.0.0.5:3261/" T, "10.0.0.5", 3261, T, -1, NULL, NULL, "iscsi://10.0.0.5:3261/" T },
  { "iscsi://san/" T "/", "san", 3260, T, -1, NULL, NULL, "iscsi://san/" T },
  { "iscsi://san/" T "/0", "san", 3260, T, 0, NULL, NULL, "iscsi://san/" T "/0" },
  { "iscsi://san/" T "/16383/", "san", 3260, T, 16383, NULL, NULL, "iscsi://san/" T "/16383" },
  { "iscsi://[2001:db8::1]:860/" T "/3", "2001:db8::1", 860, T, 3, NULL, NULL, "iscsi://[2001:db8::1]:860/" T "/3" },
  { "iscsi://[::1]", "::1", 3260, NULL, -1, NULL, NULL, "iscsi://[::1]" },
  { "iscsi://[fe80::1%eth0]/", "fe80::1%eth0", 3260, NULL, -1, NULL, NULL, "iscsi://[fe80::1%eth0]" },
  { "iscsi://[fe80::1%25eth0]/", "fe80::1%eth0", 3260, NULL, -1, NULL, NULL, "iscsi://[fe80::1%eth0]" },
  { "iscsi://[fe80::1%25253]/", "fe80::1%253", 3260, NULL, -1, NULL, NULL, "iscsi://[fe80::1%25253]" },
  { "iscsi://joe@san/" T, "san", 3260, T, -1, "joe", NULL, "iscsi://joe@san/" T },
  { "iscsi://joe%secret@san/" T, "san", 3260, T, -1, "joe", "secret", "iscsi://joe@san/" T },
  { "iscsi://joe%ab%40cd@san", "san", 3260, NULL, -1, "joe", "ab@cd", "iscsi://joe@san" },
  { "iscsi://joe:se%2Fcret@san", "san", 3260, NULL, -1, "joe", "se/cret", "iscsi://joe@san" },
  { "iscsi://j%25e:x@san", "san", 3260, NULL, -1, "j%e", "x", "iscsi://j%25e:@san" },
  { "iscsi://j%25e:@san", "san", 3260, NULL, -1, "j%e", NULL, "iscsi://j%25e:@san" },
  { "iscsi://joe:p@ss@san:3260", "san", 3260, NULL, -1, "joe", "p@ss", "iscsi://joe@san" },
  { "iscsi://san/iqn.2026-01.org.example:a@b/1", "san", 3260, "iqn.2026-01.org.example:a@b", 1, NULL, NULL,
    "iscsi://san/iqn.2026-01.org.example:a@b/1" },
  { "iscsi://san/eui.0123456789abcdef", "san", 3260, "eui.0123456789abcdef", -1, NULL, NULL,
    "iscsi://san/eui.0123456789abcdef" },
};

static const struct {
  const char *text, *says;
} wrong[] = {
  { "", "expected iscsi://" },
  { "san", "expected iscsi://" },
  { "http://san", "expected iscsi://" },
  { "iscsi://", "host is missing" },
  { "iscsi://:3260", "host is missing" },
  { "iscsi:///" T, "host is missing" },
  { "iscsi://@san", "user name before '@'" },
  { "iscsi://%x@san", "user name before '@'" },
  { "iscsi://joe:%zz@san", "two hexadecimal" },
  { "iscsi://joe:a%00b@san", "two hexadecimal" },
  { "iscsi://san:0", "the port is not a number" },
  { "iscsi://san:65536", "the port is not a number" },
  { "iscsi://san:", "the port is not a number" },
  { "iscsi://san:32x", "the port is not a number" },
  { "iscsi://2001:db8::1/" T, "brackets" },
  { "iscsi://[2001:db8::1", "']'" },
  { "iscsi://[2001:db8::1]x", "only a port" },
  { "iscsi://[nonsense]", "IPv6" },
  { "iscsi://[fe80::1%]", "not an IPv6 address" },
  { "iscsi://s!n", "not a name or an address" },
  { "iscsi://s n", "blanks" },
  { "iscsi://san/\n", "blanks" },
  { "iscsi://san/target", "not an iSCSI target name" },
  { "iscsi://san//0", "not an iSCSI target name" },
  { "iscsi://san/" T "/x", "the LUN is not a number" },
  { "iscsi://san/" T "/-1", "the LUN is not a number" },
  { "iscsi://san/" T "/16384", "the LUN is not a number" },
  { "iscsi://san/" T "/99999999999999999999", "the LUN is not a number" },
  { "iscsi://san/" T "/0/1", "too many '/'" },
  { "iscsi://san/" T "?header_digest=crc32c", "'?'" },
};

/* A password must not come back in the message, however the source is wrong. */
static const char *const leaky[] = {
  "iscsi://joe%hunter2@s n/" T,           "iscsi://joe:hunter2@san/target",   "iscsi://joe:hunter2@[x/" T,
  "iscsi://joe%hunter2@san/" T "/x",      "iscsi://joe:hunter2/x@san/" T,     "iscsi://joe:x@y/hunter2@san/" T,
  "iscsi://joe%hunter2",                  "http://joe:hunter2@san",           "joe:hunter2@san",
  "iscsi://joe%hunter2@san/iqn.x:a@b/zz", "iscsi://joe:%zzhunter2@san/" T,
};

START_TEST (test_good)
{
  LunfsSource s;
  char *user = NULL, *password = NULL;
  g_autoptr (GError) error = NULL;
  ck_assert_msg (lunfs_url_parse (good[_i].text, &s, &user, &password, &error), "%s: %s", good[_i].text,
                 error ? error->message : "");
  ck_assert_str_eq (s.host, good[_i].host);
  ck_assert_uint_eq (s.port, good[_i].port);
  ck_assert_pstr_eq (s.target_name, good[_i].target);
  ck_assert_int_eq (s.lun, good[_i].lun);
  ck_assert_pstr_eq (user, good[_i].user);
  ck_assert_pstr_eq (password, good[_i].password);
  g_autofree char *text = lunfs_source_text (&s, user);
  ck_assert_str_eq (text, good[_i].canonical);
  lunfs_source_clear (&s);
  g_free (user);
  lunfs_secret_free (password);
}
END_TEST

START_TEST (test_wrong)
{
  LunfsSource s;
  char *user = NULL, *password = NULL;
  g_autoptr (GError) error = NULL;
  ck_assert_msg (!lunfs_url_parse (wrong[_i].text, &s, &user, &password, &error), "%s", wrong[_i].text);
  ck_assert (g_error_matches (error, LUNFS_ERROR, LUNFS_EXIT_USAGE));
  ck_assert_msg (strstr (error->message, wrong[_i].says) != NULL, "%s", error->message);
  ck_assert_ptr_null (user);
  ck_assert_ptr_null (password);
}
END_TEST

START_TEST (test_leaky)
{
  LunfsSource s;
  char *user = NULL, *password = NULL;
  g_autoptr (GError) error = NULL;
  ck_assert (!lunfs_url_parse (leaky[_i], &s, &user, &password, &error));
  ck_assert_msg (strstr (error->message, "hunter2") == NULL, "%s", error->message);
}
END_TEST

START_TEST (test_hide)
{
  static const char *const cases[][2] = {
    { "iscsi://joe%hunter2@san/" T "/0", "iscsi://joe%*@san/" T "/0" },
    { "iscsi://joe:h@san", "iscsi://joe:*@san" },
    { "iscsi://joe@san:3260/" T, "iscsi://joe@san:3260/" T },
    { "iscsi://san:3260/iqn.2026-01.x:a@b", "iscsi://san:3260/iqn.2026-01.x:a@b" },
    { "iscsi://[fe80::1%eth0]/" T, "iscsi://[fe80::1%eth0]/" T },
    { "iscsi://joe:@san", "iscsi://joe:@san" },
    { "", "" },
  };
  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strdup (cases[i][0]);
    lunfs_url_hide_password (text);
    ck_assert_str_eq (text, cases[i][1]);
  }
}
END_TEST

START_TEST (test_names)
{
  g_autofree char *longest = g_strnfill (223, 'a'), *too_long = g_strnfill (224, 'a');
  memcpy (longest, "iqn.", 4);
  memcpy (too_long, "iqn.", 4);
  ck_assert (lunfs_iscsi_name_valid (longest));
  ck_assert (!lunfs_iscsi_name_valid (too_long));
  ck_assert (lunfs_iscsi_name_valid ("naa.52004567ba64678d"));
  ck_assert (lunfs_iscsi_name_valid ("naa.62004567ba64678d0123456789abcdef"));
  ck_assert (lunfs_iscsi_name_valid ("iqn.2026-01.org.example:disk_1"));
  ck_assert (!lunfs_iscsi_name_valid ("naa.5200"));
  ck_assert (!lunfs_iscsi_name_valid ("eui.0123456789abcdeg"));
  ck_assert (!lunfs_iscsi_name_valid ("iqn."));
  ck_assert (!lunfs_iscsi_name_valid ("iqn.a b"));
  ck_assert (!lunfs_iscsi_name_valid ("iqn.a/../b"));
  ck_assert (!lunfs_iscsi_name_valid ("iqn.a\xff"));
  ck_assert (!lunfs_iscsi_name_valid (""));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("url");
  TCase *tc = tcase_create ("url");
  tcase_add_loop_test (tc, test_good, 0, G_N_ELEMENTS (good));
  tcase_add_loop_test (tc, test_wrong, 0, G_N_ELEMENTS (wrong));
  tcase_add_loop_test (tc, test_leaky, 0, G_N_ELEMENTS (leaky));
  tcase_add_test (tc, test_hide);
  tcase_add_test (tc, test_names);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
