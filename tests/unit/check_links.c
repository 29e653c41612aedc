/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names as udev makes them. */
#include "fuse/links.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *identity, *names[LUNFS_LINK_SCHEMES]; /* NULL: it has none */
} ids[] = {
  { "naa.6001405a", { "naa.6001405a", "scsi-36001405a", "wwn-0x6001405a" } },
  { "eui.0011223344556677", { "eui.0011223344556677", "scsi-20011223344556677", "wwn-0x0011223344556677" } },
  { "t10.IET_00010001", { "t10.IET_00010001", "scsi-1IET_00010001", NULL } },
  { "iqn.2026-01.org.example:t1,t,0x1,l,0x1", { "iqn.2026-01.org.example:t1,t,0x1,l,0x1", NULL, NULL } },
  { "serial.sn1", { "serial.sn1", NULL, NULL } },
  { "", { NULL, NULL, NULL } },
};

START_TEST (test_ids)
{
  for (unsigned scheme = 0; scheme < LUNFS_LINK_SCHEMES; scheme++) {
    const char *expected = ids[_i].names[scheme];
    char name[LUNFS_LINK_MAX];

    ck_assert_int_eq (lunfs_link_by_id (ids[_i].identity, scheme, name, sizeof name), expected != NULL);
    if (expected)
      ck_assert_str_eq (name, expected);
  }
}
END_TEST

START_TEST (test_too_long)
{
  g_autofree char *hex = g_strnfill (LUNFS_LINK_MAX - 5, 'a');
  g_autofree char *identity = g_strconcat ("naa.", hex, NULL), *target = g_strnfill (223, 't');
  char name[LUNFS_LINK_MAX];

  ck_assert_uint_eq (strlen (identity), LUNFS_LINK_MAX - 1);
  ck_assert (lunfs_link_by_id (identity, 0, name, sizeof name));
  ck_assert (!lunfs_link_by_id (identity, 1, name, sizeof name)); /* two more: another LUN's, cut */
  ck_assert (lunfs_link_by_path ("10.0.0.1", 3260, target, 1, name, sizeof name));
  ck_assert (!lunfs_link_by_path ("a-host-of-some-length", 3260, target, 1, name, sizeof name));
}
END_TEST

static const struct {
  const char *host;
  uint16_t port, lun;
  const char *name;
} paths[] = {
  { "192.0.2.1", 3260, 0, "ip-192.0.2.1:3260-iscsi-iqn.2026-01.org.example:t1-lun-0" },
  { "2001:db8::1", 860, 255, "ip-2001:db8::1:860-iscsi-iqn.2026-01.org.example:t1-lun-255" },
  { "san", 3260, 256, "ip-san:3260-iscsi-iqn.2026-01.org.example:t1-lun-0x4100000000000000" },
};

START_TEST (test_paths)
{
  char name[LUNFS_LINK_MAX];

  ck_assert (lunfs_link_by_path (paths[_i].host, paths[_i].port, "iqn.2026-01.org.example:t1", paths[_i].lun, name,
                                 sizeof name));
  ck_assert_str_eq (name, paths[_i].name);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("links");
  TCase *tc = tcase_create ("links");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_ids, 0, G_N_ELEMENTS (ids));
  tcase_add_test (tc, test_too_long);
  tcase_add_loop_test (tc, test_paths, 0, G_N_ELEMENTS (paths));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
