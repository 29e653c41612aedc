/* SPDX-License-Identifier: GPL-2.0-or-later */
/* supervisor/interface.c: which program may take over from which. */
#include "config.h"

#include "supervisor/interface.h"

#include "lunfs/error.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST (test_text)
{
  LunfsInterface own = lunfs_interface_own (), read;
  g_autofree char *text = lunfs_interface_to_text (&own);

  ck_assert (lunfs_interface_parse (text, &read));
  ck_assert_int_eq (memcmp (&own, &read, sizeof own), 0);
  ck_assert_str_eq (read.version, PACKAGE_VERSION);
  ck_assert_uint_eq (read.arena, LUNFS_ARENA_VERSION);
}
END_TEST

START_TEST (test_no_interface)
{
  static const char *const texts[] = {
    "",
    "\n",
    "lunfs 0.1.0\n",
    "lunfs-worker-interface version=1 protocol=1 settings=1 arena=3 layout=12", /* cut */
    "lunfs-worker-interface version=1 protocol=1 settings=1 arena=3\n",
    "lunfs-worker-interface version=1 protocol=1 settings=1 arena=3 layout=12 more=1\n",
    "lunfs-worker-interface version=1 protocol=x settings=1 arena=3 layout=12\n",
    "lunfs-worker-interface version=0123456789012345678901234567890123456789 protocol=1 settings=1 arena=3 layout=12\n",
  };
  LunfsInterface read = { .arena = 77 };

  for (unsigned i = 0; i < G_N_ELEMENTS (texts); i++)
    ck_assert_msg (!lunfs_interface_parse (texts[i], &read), "%s", texts[i]);
  ck_assert_uint_eq (read.arena, 77);
}
END_TEST

START_TEST (test_fits)
{
  const LunfsInterface own = lunfs_interface_own ();
  LunfsInterface other[] = { own, own, own, own };
  LunfsInterface newer = own;

  g_strlcpy (newer.version, "99.1", sizeof newer.version);
  ck_assert (lunfs_interface_fits (&own, &newer, NULL));
  other[0].protocol++;
  other[1].settings--;
  other[2].arena++;
  other[3].layout ^= 1;
  for (unsigned i = 0; i < G_N_ELEMENTS (other); i++) {
    g_autoptr (GError) error = NULL;

    ck_assert (!lunfs_interface_fits (&own, &other[i], &error));
    ck_assert_int_eq (error->code, LUNFS_EXIT_MISFIT);
  }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("interface");
  TCase *tc = tcase_create ("interface");
  tcase_add_test (tc, test_text);
  tcase_add_test (tc, test_no_interface);
  tcase_add_test (tc, test_fits);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
