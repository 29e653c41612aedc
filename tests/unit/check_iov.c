/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "util/iov.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

static char memory[100], copy[100];
static struct iovec iov[5];

/* Of 10, 1, 0, 30 and 20 bytes, backwards in memory, so that no two touch. */
static void
setup (void)
{
  static const size_t length[] = { 10, 1, 0, 30, 20 };
  size_t at = 90;

  for (unsigned i = 0; i < 5; i++) {
    iov[i] = (struct iovec){ memory + at - length[i], length[i] };
    at -= length[i] + 3;
  }
  for (int i = 0; i < 61; i++)
    copy[i] = (char) i;
  memset (memory, -1, sizeof memory);
  lunfs_iov_put (iov, 5, 0, copy, 61);
  memset (copy, -1, sizeof copy);
}

START_TEST (test_get_and_put)
{
  unsigned written = 0;

  for (unsigned i = 0; i < sizeof memory; i++)
    written += memory[i] != -1;
  ck_assert_uint_eq (written, 61);
  for (unsigned skip = 0; skip <= 61; skip++)
    for (unsigned len = 0; skip + len <= 61; len++) {
      memset (copy, -1, sizeof copy);
      lunfs_iov_get (iov, 5, skip, copy, len);
      for (unsigned i = 0; i < sizeof copy; i++)
        if (copy[i] != (i < len ? (char) (skip + i) : -1))
          ck_abort_msg ("%u bytes at %u: byte %u is %d", len, skip, i, copy[i]);
    }
}
END_TEST

START_TEST (test_slice)
{
  struct iovec out[6];

  for (unsigned skip = 0; skip <= 61; skip++)
    for (unsigned len = 1; skip + len <= 61; len++) {
      unsigned n = lunfs_iov_slice (iov, 5, skip, len, out, 5);
      size_t total = 0;

      for (unsigned i = 0; i < n; i++)
        total += out[i].iov_len;
      if (n == 0 || total != len)
        ck_abort_msg ("%u bytes at %u: %u elements, %u bytes", len, skip, n, (unsigned) total);
      lunfs_iov_get (out, n, 0, copy, len);
      if (copy[0] != (char) skip || copy[len - 1] != (char) (skip + len - 1))
        ck_abort_msg ("%u bytes at %u: others", len, skip);
      memset (&out[n - 1], 0, sizeof out[0]);
      if (n > 1 && lunfs_iov_slice (iov, 5, skip, len, out, n - 1) != 0)
        ck_abort_msg ("%u bytes at %u: in %u elements", len, skip, n - 1);
      if (out[n - 1].iov_base)
        ck_abort_msg ("%u bytes at %u: element %u of %u", len, skip, n, n - 1);
    }
  ck_assert_uint_eq (lunfs_iov_slice (iov, 5, 60, 2, out, 5), 0); /* too short */
  ck_assert_uint_eq (lunfs_iov_slice (iov, 5, 0, 62, out, 5), 0);
  ck_assert_uint_eq (lunfs_iov_slice (iov, 0, 0, 1, out, 5), 0);
}
END_TEST

START_TEST (test_append)
{
  struct iovec out[2];
  unsigned n = 0;

  ck_assert (lunfs_iov_append (out, &n, 2, memory, 10));
  ck_assert (lunfs_iov_append (out, &n, 2, memory + 10, 5)); /* goes on */
  ck_assert_uint_eq (n, 1);
  ck_assert_uint_eq (out[0].iov_len, 15);
  ck_assert (lunfs_iov_append (out, &n, 2, memory + 16, 5));
  ck_assert (!lunfs_iov_append (out, &n, 2, memory, 5));
  ck_assert (!lunfs_iov_append (out, &n, 2, memory + 15, 1)); /* behind the first, which is not the last */
  ck_assert (lunfs_iov_append (out, &n, 2, memory + 21, 5));  /* full, but this one still goes on */
  ck_assert_uint_eq (n, 2);
  ck_assert_ptr_eq (out[1].iov_base, memory + 16);
  ck_assert_uint_eq (out[1].iov_len, 10);
  ck_assert_uint_eq (out[0].iov_len, 15);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("iov");
  TCase *tc = tcase_create ("iov");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, NULL);
  tcase_add_test (tc, test_get_and_put);
  tcase_add_test (tc, test_slice);
  tcase_add_test (tc, test_append);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
