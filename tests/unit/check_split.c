/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/split.h"
#include "util/iov.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

START_TEST (test_span)
{
  static const uint32_t sizes[] = { 512, 4096, 32768 };
  uint32_t bs = sizes[_i];

  for (uint64_t base = 0; base <= UINT64_C (1) << 50; base = base ? base << 10 : 1 << 20)
    for (uint32_t off = 0; off < 2 * bs; off += bs / 16 + (off % 3))
      for (uint32_t len = 1; len < 3 * bs; len += bs / 8 + 1) {
        LunfsSpan s = lunfs_span (base + off, len, bs);

        ck_assert (s.start % bs == 0 && s.end % bs == 0 && s.head_skip < bs && s.tail_skip < bs);
        ck_assert_uint_eq (s.start + s.head_skip, base + off);
        ck_assert_uint_eq (s.end - s.tail_skip, base + off + len);
        ck_assert_int_eq (lunfs_span_aligned (&s), (base + off) % bs == 0 && len % bs == 0);
      }
}
END_TEST

START_TEST (test_iov_slice)
{
  char data[100];
  struct iovec iov[4] = { { data, 10 }, { data + 10, 0 }, { data + 10, 40 }, { data + 50, 50 } };
  struct iovec out[4];

  for (unsigned i = 0; i < sizeof data; i++)
    data[i] = (char) i;
  for (uint64_t skip = 0; skip <= 100; skip++)
    for (uint64_t len = 0; len <= 101; len++) {
      unsigned n = lunfs_iov_slice (iov, 4, skip, len, out, 4);
      uint64_t at = skip;

      if (len == 0 || skip + len > 100) {
        ck_assert_uint_eq (n, 0);
        continue;
      }
      for (unsigned i = 0; i < n; i++) {
        ck_assert_uint_ne (out[i].iov_len, 0);
        ck_assert_int_eq (memcmp (out[i].iov_base, data + at, out[i].iov_len), 0);
        at += out[i].iov_len;
      }
      ck_assert_uint_eq (at, skip + len);
    }
  ck_assert_uint_eq (lunfs_iov_slice (iov, 4, 5, 80, out, 3), 3);
  ck_assert_uint_eq (lunfs_iov_slice (iov, 4, 5, 80, out, 2), 0);
}
END_TEST

START_TEST (test_piece_end)
{
  static const struct {
    uint64_t pos, end, max, granularity, stop;
  } cases[] = {
    { 0, 100, 100, 0, 100 },  { 0, 101, 100, 0, 100 },  { 7, 1000, 100, 0, 107 },   { 7, 1000, 100, 10, 100 },
    { 95, 1000, 100, 10, 190 }, { 7, 1000, 100, 200, 107 }, { 7, 50, 100, 10, 50 }, { 150, 1000, 100, 200, 200 },
    { UINT64_C (1) << 62, (UINT64_C (1) << 62) + 11, 10, 8, (UINT64_C (1) << 62) + 8 },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++)
    ck_assert_uint_eq (lunfs_piece_end (cases[i].pos, cases[i].end, cases[i].max, cases[i].granularity), cases[i].stop);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("split");
  TCase *tc = tcase_create ("split");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 20);
  tcase_add_loop_test (tc, test_span, 0, 3);
  tcase_add_test (tc, test_iov_slice);
  tcase_add_test (tc, test_piece_end);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
