/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is made of libiscsi's texts (1.19, as it has them). */
#include "iscsi/outcome.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED(what, code) "Failed to log in to target. Status: " what "(" #code ")"

static const struct {
  const char *text;
  LunfsLoginOutcome outcome;
  const char *says; /* part of what the user reads, who has given a user and a password */
} cases[] = {
  { REFUSED ("Authentication failure", 513), LUNFS_LOGIN_AUTH, "check user and credentials" },
  { REFUSED ("Authorization failure", 514), LUNFS_LOGIN_AUTH, "allows this initiator name" },
  { REFUSED ("Target not found", 515), LUNFS_LOGIN_NOT_FOUND, "no such target" },
  { REFUSED ("Target removed", 516), LUNFS_LOGIN_NOT_FOUND, "no such target" },
  { REFUSED ("Unsupported version", 517), LUNFS_LOGIN_REFUSED, "Unsupported version" },
  { REFUSED ("Too many connections", 518), LUNFS_LOGIN_BUSY, "for now" },
  { REFUSED ("Target error", 768), LUNFS_LOGIN_BUSY, "for now" },
  { REFUSED ("Service unavailable", 769), LUNFS_LOGIN_BUSY, "for now" },
  { REFUSED ("Out of resources", 770), LUNFS_LOGIN_BUSY, "for now" },
  { REFUSED ("Unknown", 1023), LUNFS_LOGIN_REFUSED, "(1023)" },
  { REFUSED ("Unknown", 1024), LUNFS_LOGIN_TRANSPORT, "(1024)" },
  { "Invalid CHAP_R value received from the target", LUNFS_LOGIN_AUTH, "mutual authentication failed" },
  { "target did not return CHAP_N", LUNFS_LOGIN_AUTH, "mutual authentication failed" },
  { "Failed to parse CHAP: NUL not found after offset 40", LUNFS_LOGIN_AUTH, "a known fault with mutual CHAP" },
  { "iscsi_service_reconnect_if_loggedin. Can not reconnect right now.", LUNFS_LOGIN_TRANSPORT, "reconnect" },
  { "", LUNFS_LOGIN_TRANSPORT, "connection was lost" },
  { NULL, LUNFS_LOGIN_TRANSPORT, "connection was lost" },
};

START_TEST (test_login)
{
  LunfsLoginOutcome outcome = lunfs_outcome_of (cases[_i].text);
  const char *says = lunfs_outcome_text (outcome, cases[_i].text, true);

  ck_assert_msg (outcome == cases[_i].outcome, "%s: %d", cases[_i].text, (int) outcome);
  ck_assert_msg (strstr (says, cases[_i].says) != NULL, "%s: %s", cases[_i].text, says);
}
END_TEST

START_TEST (test_no_user)
{
  ck_assert_ptr_nonnull (strstr (lunfs_outcome_text (LUNFS_LOGIN_AUTH, cases[0].text, false), "no user and password"));
}
END_TEST

static const struct {
  const char *text, *clean;
} texts[] = {
  { "Connection reset by peer\n", "Connection reset by peer" },
  { "iscsi_service: socket error SENSE KEY:UNIT_ATTENTION(6) ASCQ:BUS_RESET(0x2900)", "iscsi_service: socket error" },
  { "SENSE KEY:ILLEGAL_REQUEST(5) ASCQ:INVALID_FIELD_IN_CDB(0x2400)", "the target closed the connection" },
  { "iscsi_reconnect failed", "the target closed the connection" },
  { NULL, "the target closed the connection" },
};

START_TEST (test_clean)
{
  g_autofree char *clean = lunfs_outcome_clean (texts[_i].text);

  ck_assert_str_eq (clean, texts[_i].clean);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("outcome");
  TCase *tc = tcase_create ("texts");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_login, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tc, test_no_user);
  tcase_add_loop_test (tc, test_clean, 0, G_N_ELEMENTS (texts));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
