/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who was there when workers crashed. */
#include "fuse/poison.h"
#include "lunfs/unique.h"
#include "stepped.h"
#include "supervisor/ending.h"

#include <check.h>
#include <stdlib.h>

static LunfsArena *arena;
static LunfsPoison *poison;

static void
setup (void)
{
  arena = lunfs_arena_create (0, NULL);
  poison = lunfs_poison_new (arena->header);
}

static void
teardown (void)
{
  lunfs_poison_free (poison);
  lunfs_arena_free (arena);
}

/* As a worker does it: read, and perhaps being served. */
static void
put (unsigned n, uint64_t unique, bool served)
{
  LunfsArenaSlot *slot = &arena->slots[n];
  struct fuse_in_header *in = (struct fuse_in_header *) (void *) slot->header;

  in->len = sizeof *in;
  in->unique = unique;
  slot->len = served ? in->len : 0;
}

static void
dies (bool by_fault)
{
  arena->header->last_crashed = by_fault;
  lunfs_poison_count (arena);
}

static void
expect (uint64_t unique, LunfsPoisonVerdict verdict)
{
  ck_assert_int_eq (lunfs_poison_judge (poison, unique), verdict);
}

/* What the supervisor makes of it: two workers crashed, and in both deaths it was being served. */
START_TEST (test_accused)
{
  put (1, 8, true);
  put (2, 10, true);
  arena->header->last_crashed = true;
  ck_assert (!lunfs_ending_accuses (arena));
  lunfs_poison_count (arena);
  put (1, 12, true);
  put (2, 10 | LUNFS_UNIQUE_RESEND, false);
  ck_assert (!lunfs_ending_accuses (arena));
  put (2, 10 | LUNFS_UNIQUE_RESEND, true);
  ck_assert (lunfs_ending_accuses (arena));
  arena->header->last_crashed = false;
  ck_assert (!lunfs_ending_accuses (arena));
  arena->header->last_crashed = true;
  lunfs_poison_forget (poison, 10);
  ck_assert (!lunfs_ending_accuses (arena));
}
END_TEST

START_TEST (test_three)
{
  expect (8, LUNFS_POISON_NONE);
  for (int n = 1; n <= 5; n++) {
    put (n, n == 1 ? 8 : 8 | LUNFS_UNIQUE_RESEND, true); /* the same request, sent again, in another slot */
    dies (true);
    lunfs_slot_clear (&arena->slots[n]);
    expect (8, (LunfsPoisonVerdict) MIN (n, LUNFS_POISON_GUILTY));
    expect (10, LUNFS_POISON_NONE);
  }
  lunfs_poison_forget (poison, 8);
  expect (8, LUNFS_POISON_NONE);
  ck_assert_uint_eq (arena->header->nsuspects, 0);
}
END_TEST

START_TEST (test_innocent)
{
  for (int n = 0; n < 4; n++) {
    put (0, 2, true);
    put (1, 4, false); /* read, no more */
    put (2, 6, n < 2);
    dies (n % 2 == 0); /* kill -9 accuses nobody */
  }
  expect (2, LUNFS_POISON_SUSPECT);
  expect (4, LUNFS_POISON_NONE);
  expect (6, LUNFS_POISON_WITNESS);
}
END_TEST

/* Its successor dies before it has served anything. */
START_TEST (test_once)
{
  put (0, 2, true);
  dies (true);
  dies (true);
  dies (true);
  expect (2, LUNFS_POISON_WITNESS);
  ck_assert_uint_ne (lunfs_slot_bytes (&arena->slots[0]), 0); /* still to be replayed */
}
END_TEST

START_TEST (test_forget_one_of_many)
{
  for (unsigned n = 0; n < 10; n++)
    put (n, 2 + 2 * n, true);
  dies (true);
  lunfs_poison_forget (poison, 6);
  lunfs_poison_forget (poison, 6);
  lunfs_poison_forget (poison, 1000);
  ck_assert_uint_eq (arena->header->nsuspects, 9);
  for (unsigned n = 0; n < 10; n++)
    expect (2 + 2 * n, n == 2 ? LUNFS_POISON_NONE : LUNFS_POISON_WITNESS);
}
END_TEST

/* Answers that were lost with a worker leave entries behind. */
START_TEST (test_full)
{
  for (unsigned n = 0; n < LUNFS_ARENA_SLOTS; n++)
    put (n, 2 + 2 * n, true);
  dies (true);
  ck_assert_uint_eq (arena->header->nsuspects, LUNFS_ARENA_SUSPECTS);
  for (unsigned n = 0; n < LUNFS_ARENA_SLOTS; n++)
    lunfs_slot_clear (&arena->slots[n]);
  put (7, 2, true);
  dies (true);
  put (7, 2, true);
  put (8, 1 << 20, true);
  dies (true);
  ck_assert_uint_eq (arena->header->nsuspects, LUNFS_ARENA_SUSPECTS);
  expect (2, LUNFS_POISON_GUILTY);
  expect (1 << 20, LUNFS_POISON_WITNESS);
}
END_TEST

/* What a worker that ran wild may have left. */
START_TEST (test_damaged)
{
  arena->header->nsuspects = UINT32_MAX;
  expect (2, LUNFS_POISON_NONE);
  put (0, 2, true);
  dies (true);
  lunfs_poison_forget (poison, 2);
  expect (2, LUNFS_POISON_NONE);
}
END_TEST

/* ---- killed ---- */

#define NEW (UINT64_C (1) << 20)

/* Crashes, as a successor would find them, at any moment. */
typedef struct {
  uint64_t unique;
  LunfsPoisonVerdict least, most;
} Known;

/* Nobody has another one's. */
static void
check_moment (void *user)
{
  for (const Known *k = user; k->unique; k++) {
    LunfsPoisonVerdict verdict = lunfs_poison_judge (poison, k->unique);

    if (verdict < k->least || verdict > k->most)
      ck_abort_msg ("%u of request %u", (unsigned) verdict, (unsigned) k->unique);
  }
}

static void
child_forgets (void *unique)
{
  begin_steps ();
  lunfs_poison_forget (poison, GPOINTER_TO_UINT (unique));
}

static void
child_counts (void *arg)
{
  begin_steps ();
  lunfs_poison_count (arena);
}

/* The last takes its place. */
START_TEST (test_killed_forgetting)
{
  Known known[] = { { 2, 0, 3 }, { 4, 1, 1 }, { 0 } };

  for (unsigned n = 0; n < 3; n++) {
    put (0, 2, true);
    if (n == 2)
      put (1, 4, true);
    dies (true);
  }
  step_through (child_forgets, GUINT_TO_POINTER (2), check_moment, known);
}
END_TEST

/* 1: the table is full, and the oldest make room. */
START_TEST (test_killed_counting)
{
  Known known[] = { { NEW, 0, 1 }, { NEW + 2, 0, 1 }, { 4, 2, 2 }, { 8, 0, 1 }, { 0 } };

  for (unsigned n = 0; n < (_i ? LUNFS_ARENA_SUSPECTS : 2); n++)
    put (n, 4 + 4 * n, true);
  dies (true);
  for (unsigned n = 0; n < LUNFS_ARENA_SLOTS; n++)
    lunfs_slot_clear (&arena->slots[n]);
  put (0, 4, true);
  dies (true);
  put (0, NEW, true);
  put (1, NEW + 2, true);
  arena->header->last_crashed = true;
  step_through (child_counts, NULL, check_moment, known);
  expect (NEW, LUNFS_POISON_WITNESS);
  expect (NEW + 2, LUNFS_POISON_WITNESS);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("poison");
  TCase *tc = tcase_create ("poison");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 60);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_accused);
  tcase_add_test (tc, test_three);
  tcase_add_test (tc, test_innocent);
  tcase_add_test (tc, test_once);
  tcase_add_test (tc, test_forget_one_of_many);
  tcase_add_test (tc, test_full);
  tcase_add_test (tc, test_damaged);
  if (can_step ()) {
    tcase_add_test (tc, test_killed_forgetting);
    tcase_add_loop_test (tc, test_killed_counting, 0, 2);
  }
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
