/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which hosts are addresses already: no others may reach a connection, which would look them up and hold up its lane. */
#include "control/resolve.h"

#include <check.h>
#include <stdlib.h>

static const struct {
  const char *host;
  bool numeric;
} hosts[] = {
  { "192.0.2.1", true },       { "2001:db8::1", true },    { "::1", true },    { "fe80::1%eth0", true },
  { "fe80::1%2", true },       { "san.example", false },   { "san", false },   { "", false },
  { "192.0.2.1%eth0", false }, { "san.example%x", false }, { "%eth0", false }, { ":", false },
  { "[::1]", false },          { "a%b%c", false },         { "[:", false },    { "192.0.2", false },
};

START_TEST (test_numeric)
{
  ck_assert_msg (lunfs_host_is_numeric (hosts[_i].host) == hosts[_i].numeric, "%s", hosts[_i].host);
}
END_TEST

static const char *given;

static void
resolved (void *user, const char *const *addresses, unsigned n, const char *error)
{
  ck_assert_uint_eq (n, 1);
  given = addresses[0];
}

START_TEST (test_at_once)
{
  lunfs_resolve ("fe80::1%eth0", resolved, NULL);
  ck_assert_str_eq (given, "fe80::1%eth0");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("resolve");
  TCase *tc = tcase_create ("resolve");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_numeric, 0, sizeof hosts / sizeof hosts[0]);
  tcase_add_test (tc, test_at_once);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
