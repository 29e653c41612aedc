/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CDBs, byte for byte.  Expected bytes are from SPC-4 and SBC-3, not from the code. */

#include "scsi/cdb.h"
#include "util/bytes.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

/* Checks the length, the bytes, and that what is behind the CDB is zero. */
#define EXPECT(call, ...)                                                                                    \
  do {                                                                                                       \
    static const uint8_t want[] = { __VA_ARGS__ };                                                           \
    uint8_t full[LUNFS_CDB_MAX] = { 0 };                                                                     \
    uint8_t *cdb = malloc (LUNFS_CDB_MAX);                                                                   \
                                                                                                             \
    memset (cdb, 0xee, LUNFS_CDB_MAX);                                                                       \
    memcpy (full, want, sizeof want);                                                                        \
    ck_assert_uint_eq (call, sizeof want);                                                                   \
    ck_assert_mem_eq (cdb, full, LUNFS_CDB_MAX);                                                             \
    free (cdb);                                                                                              \
  } while (0)

#define LBA 0x0123456789abcdef

START_TEST (probe_commands)
{
  EXPECT (lunfs_cdb_test_unit_ready (cdb), 0, 0, 0, 0, 0, 0);
  EXPECT (lunfs_cdb_start_unit (cdb), 0x1b, 0, 0, 0, 1, 0);
  EXPECT (lunfs_cdb_inquiry (cdb, false, 0x83, 0x1234), 0x12, 0, 0, 0x12, 0x34, 0);
  EXPECT (lunfs_cdb_inquiry (cdb, true, 0x83, 0xff), 0x12, 1, 0x83, 0, 0xff, 0);
  EXPECT (lunfs_cdb_report_luns (cdb, 0x01020304), 0xa0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0);
  EXPECT (lunfs_cdb_read_capacity10 (cdb), 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  EXPECT (lunfs_cdb_read_capacity16 (cdb, 32), 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
  EXPECT (lunfs_cdb_mode_sense6 (cdb, 8, 252), 0x1a, 0, 8, 0, 252, 0);
  EXPECT (lunfs_cdb_mode_sense10 (cdb, 0x3f, 0x1234), 0x5a, 0, 0x3f, 0, 0, 0, 0, 0x12, 0x34, 0);
  EXPECT (lunfs_cdb_read_keys (cdb, 0x1234), 0x5e, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0);
}
END_TEST

START_TEST (reads_and_writes)
{
  EXPECT (lunfs_cdb_read (cdb, true, 0xfffefdfc, 0xabcd), 0x28, 0, 0xff, 0xfe, 0xfd, 0xfc, 0, 0xab, 0xcd, 0);
  EXPECT (lunfs_cdb_read (cdb, false, LBA, 0x11223344), 0x88, 0, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
          0xef, 0x11, 0x22, 0x33, 0x44, 0, 0);
  EXPECT (lunfs_cdb_write (cdb, true, 0xfffefdfc, 1, false), 0x2a, 0, 0xff, 0xfe, 0xfd, 0xfc, 0, 0, 1, 0);
  EXPECT (lunfs_cdb_write (cdb, true, 2, 1, true), 0x2a, 8, 0, 0, 0, 2, 0, 0, 1, 0);
  EXPECT (lunfs_cdb_write (cdb, false, LBA, 0x11223344, false), 0x8a, 0, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
          0xcd, 0xef, 0x11, 0x22, 0x33, 0x44, 0, 0);
  EXPECT (lunfs_cdb_write (cdb, false, 0, 1, true), 0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
}
END_TEST

START_TEST (cache_and_provisioning)
{
  EXPECT (lunfs_cdb_sync_cache16 (cdb), 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  EXPECT (lunfs_cdb_sync_cache10 (cdb), 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  EXPECT (lunfs_cdb_write_same16 (cdb, LBA, 0x80000001, true), 0x93, 8, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
          0xcd, 0xef, 0x80, 0, 0, 1, 0, 0);
  EXPECT (lunfs_cdb_write_same16 (cdb, 0, 1, false), 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
  EXPECT (lunfs_cdb_unmap (cdb, 24), 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0);
  EXPECT (lunfs_cdb_get_lba_status (cdb, LBA, 24), 0x9e, 0x12, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
          0, 0, 0, 24, 0, 0);
}
END_TEST

START_TEST (unmap_parameter_list)
{
  static const uint8_t want[LUNFS_UNMAP_PARAM_BYTES] = { 0,    22,   0,    16,   0,    0,    0,    0,
                                                         0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                                         0xff, 0xee, 0xdd, 0xcc, 0,    0,    0,    0 };
  uint8_t *buf = malloc (LUNFS_UNMAP_PARAM_BYTES);

  memset (buf, 0xee, LUNFS_UNMAP_PARAM_BYTES);
  lunfs_unmap_param (buf, LBA, 0xffeeddcc);
  ck_assert_mem_eq (buf, want, sizeof want);
  free (buf);
}
END_TEST

START_TEST (big_endian_helpers)
{
  uint8_t buf[9] = { 0 };
  uint8_t *p = buf + 1; /* unaligned */

  lunfs_put_be64 (p, 0xfedcba9876543210);
  ck_assert_uint_eq (p[0], 0xfe);
  ck_assert_uint_eq (p[7], 0x10);
  ck_assert (lunfs_get_be64 (p) == 0xfedcba9876543210);
  ck_assert_uint_eq (lunfs_get_be32 (p), 0xfedcba98);
  ck_assert_uint_eq (lunfs_get_be24 (p), 0xfedcba);
  ck_assert_uint_eq (lunfs_get_be16 (p), 0xfedc);
  lunfs_put_be24 (p, 0xff010203);
  ck_assert_uint_eq (lunfs_get_be32 (p), 0x01020398);
}
END_TEST

static Suite *
cdb_suite (void)
{
  Suite *suite = suite_create ("cdb");
  TCase *tcase = tcase_create ("cdb");

  tcase_add_test (tcase, probe_commands);
  tcase_add_test (tcase, reads_and_writes);
  tcase_add_test (tcase, cache_and_provisioning);
  tcase_add_test (tcase, unmap_parameter_list);
  tcase_add_test (tcase, big_endian_helpers);
  suite_add_tcase (suite, tcase);
  return suite;
}

int
main (void)
{
  SRunner *runner = srunner_create (cdb_suite ());
  int failed;

  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
