/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi/reservation.c, byte for byte from SPC-4 6.15 and 6.16. */
#include "scsi/cdb.h"
#include "scsi/reservation.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

START_TEST (test_commands)
{
  static const uint8_t in[] = { 0x5e, 0x01, 0, 0, 0, 0, 0, 0x12, 0x34, 0 };
  static const uint8_t out[] = { 0x5f, 0x05, 0x06, 0, 0, 0, 0, 0, 24, 0 };
  static const uint8_t param[] = { 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 0, 0, 0, 1, 0, 0, 0 };
  uint8_t cdb[LUNFS_CDB_MAX], buf[LUNFS_PR_PARAM_BYTES];

  ck_assert_uint_eq (lunfs_cdb_reserve_in (cdb, LUNFS_PR_READ_RESERVATION, 0x1234), sizeof in);
  ck_assert_mem_eq (cdb, in, sizeof in);
  ck_assert_uint_eq (lunfs_cdb_reserve_out (cdb, LUNFS_PR_PREEMPT_AND_ABORT, 6), sizeof out);
  ck_assert_mem_eq (cdb, out, sizeof out);
  lunfs_reserve_param (buf, 0x0102030405060708, 0xabcd, true);
  ck_assert_mem_eq (buf, param, sizeof param);
  lunfs_reserve_param (buf, 0x0102030405060708, 0xabcd, false);
  ck_assert_uint_eq (buf[20], 0);
}
END_TEST

START_TEST (test_types)
{
  for (unsigned type = 0; type < 20; type++) {
    const char *name = lunfs_reservation_type_name (type);
    bool known = type == 1 || type == 3 || (type >= 5 && type <= 8);

    ck_assert_uint_eq (lunfs_reservation_type_parse (name), known ? type : 0);
    ck_assert_int_eq (lunfs_reservation_type_shared (type), type >= 5 && type <= 8);
  }
  ck_assert_str_eq (lunfs_reservation_type_name (5), "write-exclusive-registrants-only");
  ck_assert_str_eq (lunfs_reservation_type_name (0), "");
  ck_assert_str_eq (lunfs_reservation_type_name (9), "unknown type");
}
END_TEST

START_TEST (test_keys)
{
  static const uint8_t answer[] = { 0, 0, 1, 2, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 7,
                                    0, 0, 0, 0, 0, 0, 0, 8,  0, 0, 0, 0, 0, 0, 0, 7 };
  LunfsKeys keys;

  ck_assert (!lunfs_keys_parse (answer, 7, &keys));
  ck_assert (!lunfs_keys_parse (NULL, 8, &keys));
  ck_assert (lunfs_keys_parse (answer, sizeof answer, &keys));
  ck_assert_uint_eq (keys.generation, 0x102);
  ck_assert_uint_eq (keys.nkeys, 3);
  ck_assert (keys.complete);
  ck_assert_uint_eq (lunfs_keys_get (answer, 1), 8);
  ck_assert_uint_eq (lunfs_keys_count (answer, &keys, 7), 2);
  ck_assert_uint_eq (lunfs_keys_count (answer, &keys, 9), 0);
  ck_assert (lunfs_keys_parse (answer, 20, &keys)); /* cut: one and a half */
  ck_assert_uint_eq (keys.nkeys, 1);
  ck_assert (!keys.complete);
}
END_TEST

START_TEST (test_holder)
{
  static const uint8_t none[] = { 0, 0, 0, 5, 0, 0, 0, 0 };
  static const uint8_t held[] = { 0, 0, 0, 5, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 0, 0, 0, 0, 0x05, 0, 0 };
  LunfsHolder holder;

  ck_assert (!lunfs_holder_parse (none, 4, &holder));
  ck_assert (lunfs_holder_parse (none, sizeof none, &holder));
  ck_assert_uint_eq (holder.type, 0);
  ck_assert (lunfs_holder_parse (held, sizeof held, &holder));
  ck_assert_uint_eq (holder.key, 0xabcd);
  ck_assert_uint_eq (holder.type, 5);
  for (size_t len = sizeof none; len < 22; len++) { /* cut before the type */
    ck_assert (lunfs_holder_parse (held, len, &holder));
    ck_assert_uint_eq (holder.type, 0);
  }
}
END_TEST

START_TEST (test_capabilities)
{
  static const uint8_t yes[] = { 0, 8, 0x01, 0x80, 0xea, 1, 0, 0 }, no[] = { 0, 8, 0x04, 0x81, 0xea, 1, 0, 0 };

  ck_assert (lunfs_reservations_persist (yes, sizeof yes));
  ck_assert (!lunfs_reservations_persist (no, sizeof no));
  ck_assert (!lunfs_reservations_persist (yes, 2));
  ck_assert (!lunfs_reservations_persist (NULL, 8));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("reservation_data");
  TCase *tc = tcase_create ("all");
  SRunner *runner;
  int failed;

  tcase_add_test (tc, test_commands);
  tcase_add_test (tc, test_types);
  tcase_add_test (tc, test_keys);
  tcase_add_test (tc, test_holder);
  tcase_add_test (tc, test_capabilities);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
