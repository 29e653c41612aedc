/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/order.h"

#include <check.h>
#include <stdlib.h>

START_TEST (test_overlap)
{
  static const struct {
    uint64_t first, end;
    bool runs; /* beside [10, 20) */
  } cases[] = { { 0, 10, true },   { 20, 30, true },  { 0, 11, false }, { 19, 20, false }, { 12, 13, false },
                { 0, 100, false }, { 10, 20, false }, { 20, 21, true }, { 9, 10, true } };

  for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++) {
    LunfsOrder order = { 0 };
    LunfsOrderNode a = { 0 }, b = { 0 };

    ck_assert (lunfs_order_enter (&order, &a, 10, 20, false));
    ck_assert_int_eq (lunfs_order_enter (&order, &b, cases[i].first, cases[i].end, false), cases[i].runs);
    ck_assert_ptr_null (lunfs_order_next (&order));
    lunfs_order_leave (&order, &a);
    ck_assert_ptr_eq (lunfs_order_next (&order), cases[i].runs ? NULL : &b);
    lunfs_order_leave (&order, &b);
    ck_assert_uint_eq (order.nwaiting, 0);
  }
}
END_TEST

/* First come, first served: one that waits holds up those behind it that overlap it, although they might run now. */
START_TEST (test_no_overtaking)
{
  LunfsOrder order = { 0 };
  LunfsOrderNode a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

  ck_assert (lunfs_order_enter (&order, &a, 0, 10, false));
  ck_assert (!lunfs_order_enter (&order, &b, 5, 20, false));
  ck_assert (!lunfs_order_enter (&order, &c, 15, 25, false));
  ck_assert (lunfs_order_enter (&order, &d, 30, 40, false));
  lunfs_order_leave (&order, &b); /* gives up waiting */
  ck_assert_ptr_eq (lunfs_order_next (&order), &c);
  ck_assert_ptr_null (lunfs_order_next (&order));
  lunfs_order_leave (&order, &c);
  lunfs_order_leave (&order, &d);
  lunfs_order_leave (&order, &a);
}
END_TEST

/* A read waits for the writes before it; neither a write nor another read waits for a read. */
START_TEST (test_reads)
{
  LunfsOrder order = { 0 };
  LunfsOrderNode early = { 0 }, write = { 0 }, beside = { 0 }, behind = { 0 }, next = { 0 };

  ck_assert (lunfs_order_enter (&order, &early, 0, 10, true));
  ck_assert (lunfs_order_enter (&order, &write, 5, 10, false));
  ck_assert (lunfs_order_enter (&order, &beside, 0, 5, true));
  ck_assert (!lunfs_order_enter (&order, &behind, 9, 11, true));
  ck_assert (!lunfs_order_enter (&order, &next, 8, 20, false));
  lunfs_order_leave (&order, &write);
  ck_assert_ptr_eq (lunfs_order_next (&order), &behind);
  ck_assert_ptr_eq (lunfs_order_next (&order), &next);
  ck_assert_ptr_null (lunfs_order_next (&order));
}
END_TEST

/* Never two that overlap, nobody waits for ever, and of two that overlap the first to come runs first. */
START_TEST (test_random)
{
  LunfsOrderNode nodes[32] = { 0 };
  unsigned entered[32] = { 0 };
  bool in[32] = { false };
  LunfsOrder order = { 0 };
  unsigned nsteps = g_strcmp0 (g_getenv ("LUNFS_VALGRIND"), "1") == 0 ? 1000 : 5000; /* or a minute is too short */
  GRand *rand = g_rand_new_with_seed ((guint32) _i);

  for (unsigned step = 1; step < nsteps; step++) {
    unsigned i = (unsigned) g_rand_int_range (rand, 0, 32);

    if (!in[i]) {
      uint64_t first = (uint64_t) g_rand_int_range (rand, 0, 60);

      lunfs_order_enter (&order, &nodes[i], first, first + (uint64_t) g_rand_int_range (rand, 1, 12), false);
      in[i] = true;
      entered[i] = step;
    } else if (nodes[i].running) {
      lunfs_order_leave (&order, &nodes[i]);
      in[i] = false;
      while (lunfs_order_next (&order))
        ;
    }
    for (unsigned a = 0; a < 32; a++) {
      bool free_to_run = true;

      for (unsigned b = 0; b < 32 && in[a]; b++) {
        if (b == a || !in[b] || nodes[b].first >= nodes[a].end || nodes[a].first >= nodes[b].end)
          continue;
        ck_assert (!nodes[a].running || !nodes[b].running);
        free_to_run &= entered[b] > entered[a];
      }
      ck_assert (!in[a] || nodes[a].running == free_to_run);
    }
  }
  g_rand_free (rand);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("order");
  TCase *tc = tcase_create ("order");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 20);
  tcase_add_test (tc, test_overlap);
  tcase_add_test (tc, test_no_overtaking);
  tcase_add_test (tc, test_reads);
  tcase_add_loop_test (tc, test_random, 0, 4);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
