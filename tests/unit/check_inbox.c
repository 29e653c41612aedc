/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a dead worker left in its slots: what is served, what is dropped, and who owns the memory. */
#include "fuse/inbox.h"
#include "lunfs/unique.h"
#include "stepped.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 80u

static LunfsArena *arena;
static GHashTable *waiting; /* numbers of requests the kernel waits for */
static unsigned asked, refused;

static bool
outstanding (void *user, uint64_t unique)
{
  asked++;
  return g_hash_table_contains (waiting, &unique);
}

static void
refuse (void *user, uint64_t unique)
{
  refused++;
  g_hash_table_remove (waiting, &unique);
}

static const LunfsInboxKernel kernel = { outstanding, refuse, NULL };

static void
setup (void)
{
  arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);
  waiting = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  asked = refused = 0;
}

static void
teardown (void)
{
  g_hash_table_unref (waiting);
  lunfs_arena_free (arena);
}

/* As the kernel writes it, and the kernel waits for it; its payload goes to chunks from @chunk on. */
static LunfsArenaSlot *
put (unsigned n, uint32_t opcode, uint64_t unique, uint32_t bytes, uint32_t chunk)
{
  LunfsArenaSlot *slot = &arena->slots[n];
  struct fuse_in_header *in = (struct fuse_in_header *) (void *) slot->header;

  for (unsigned i = 0; i < LUNFS_CHUNKS_PER_REQUEST; i++)
    slot->chunk[i] = chunk + i; /* all that were on offer, however many it used */
  in->opcode = opcode;
  in->unique = unique;
  in->len = bytes;
  g_hash_table_add (waiting, g_memdup2 (&unique, sizeof unique));
  return slot;
}

static void
forget (uint64_t unique)
{
  g_hash_table_remove (waiting, &unique);
}

#define READ_BYTES 80u
#define WRITE_BYTES(n) (LUNFS_SLOT_HEADER_BYTES + (n))

START_TEST (test_method)
{
  ck_assert (!lunfs_inbox_wanted (LUNFS_RECOVERY_AUTO, true));
  ck_assert (lunfs_inbox_wanted (LUNFS_RECOVERY_AUTO, false));
  ck_assert (lunfs_inbox_wanted (LUNFS_RECOVERY_INBOX, true));
  ck_assert (!lunfs_inbox_wanted (LUNFS_RECOVERY_RESEND, false));
}
END_TEST

START_TEST (test_sort)
{
  put (1, FUSE_READ, 2, READ_BYTES, 0);
  put (2, FUSE_WRITE, 4, WRITE_BYTES (LUNFS_MAX_WRITE), 16);
  put (3, FUSE_WRITE, 6, WRITE_BYTES (4096), 32); /* answered, and the slot not yet cleared; or torn */
  forget (6);
  put (4, FUSE_FSYNC, 8, sizeof (struct fuse_in_header) + sizeof (struct fuse_fsync_in), 33);
  put (2047, FUSE_LOOKUP, 10, WRITE_BYTES (100), 33);
  put (5, FUSE_FORGET, 12, 48, 34);
  put (6, FUSE_INTERRUPT, 3, 48, 34);
  ck_assert_uint_eq (lunfs_inbox_sort (arena, true, &kernel), 4);
  ck_assert_uint_eq (asked, 5); /* not about what has no answer */
  ck_assert_uint_eq (refused, 0);
  for (unsigned n = 0; n < LUNFS_ARENA_SLOTS; n++)
    ck_assert_msg ((lunfs_slot_bytes (&arena->slots[n]) != 0) == (n == 1 || n == 2 || n == 4 || n == 2047), "slot %u",
                   n);
}
END_TEST

START_TEST (test_resend_leaves_nothing)
{
  put (1, FUSE_READ, 2, READ_BYTES, 0);
  put (2, FUSE_WRITE, 4, WRITE_BYTES (4096), 16);
  ck_assert_uint_eq (lunfs_inbox_sort (arena, false, &kernel), 0);
  ck_assert_uint_eq (asked, 0);
  ck_assert_uint_eq (lunfs_slot_bytes (&arena->slots[1]) + lunfs_slot_bytes (&arena->slots[2]), 0);
}
END_TEST

static const struct {
  uint32_t bytes, first, second; /* chunks */
} damages[] = {
  { 7, 0, 1 },                                 /* no header */
  { WRITE_BYTES (LUNFS_MAX_WRITE + 1), 0, 1 }, /* too long */
  { UINT32_MAX, 0, 1 },
  { WRITE_BYTES (2 * LUNFS_CHUNK_BYTES), 0, CHUNKS }, /* there is no such chunk */
  { WRITE_BYTES (2 * LUNFS_CHUNK_BYTES), UINT32_MAX, 1 },
  { WRITE_BYTES (2 * LUNFS_CHUNK_BYTES), 3, 3 },  /* twice the same */
  { WRITE_BYTES (2 * LUNFS_CHUNK_BYTES), 0, 70 }, /* another request has it */
};

START_TEST (test_damaged)
{
  LunfsArenaSlot *slot;

  put (0, FUSE_WRITE, 2, WRITE_BYTES (1), 70);
  slot = put (1, FUSE_WRITE, 4, damages[_i].bytes, 0);
  slot->chunk[0] = damages[_i].first;
  slot->chunk[1] = damages[_i].second;
  ck_assert_uint_eq (lunfs_inbox_sort (arena, true, &kernel), 1);
  ck_assert_uint_eq (refused, 1);
  ck_assert_uint_eq (lunfs_slot_bytes (slot), 0);
}
END_TEST

static bool
all_bytes (const LunfsPool *pool, uint32_t chunk, int value)
{
  const uint8_t *p = lunfs_pool_chunk (pool, chunk);

  return p[0] == value && memcmp (p, p + 1, LUNFS_CHUNK_BYTES - 1) == 0;
}

/* Only what the payload used is kept from others, and it is untouched until it is given back. */
START_TEST (test_pool)
{
  LunfsArenaSlot *slot = put (0, FUSE_WRITE, 2, WRITE_BYTES (LUNFS_CHUNK_BYTES + 1), 10);
  uint32_t chunk[CHUNKS];
  LunfsPool *pool;

  put (1, FUSE_READ, 4, READ_BYTES, 30);
  memset (arena->chunks + 10 * LUNFS_CHUNK_BYTES, 77, 2 * LUNFS_CHUNK_BYTES);
  lunfs_inbox_sort (arena, true, &kernel);
  pool = lunfs_pool_new (arena, false);
  ck_assert (lunfs_inbox_own (arena, pool, slot));
  ck_assert (slot->chunk[0] == 10 && slot->chunk[1] == 11);
  ck_assert (!lunfs_pool_take (pool, chunk, CHUNKS - 1));
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS - 2));
  for (unsigned i = 0; i < CHUNKS - 2; i++)
    ck_assert (chunk[i] != 10 && chunk[i] != 11);
  ck_assert (all_bytes (pool, 10, 77) && all_bytes (pool, 11, 77));
  lunfs_pool_give (pool, slot->chunk, 2);
  ck_assert (lunfs_pool_take (pool, chunk, 2));
  lunfs_pool_free (pool);
}
END_TEST

/* Stored, and not answered: the cache has the chunk, and the request gets one of its own. */
START_TEST (test_two_owners)
{
  LunfsArenaSlot *slot = put (0, FUSE_WRITE, 2, WRITE_BYTES (2 * LUNFS_CHUNK_BYTES), 10);
  uint32_t chunk[CHUNKS];
  LunfsPool *pool;

  memset (arena->chunks + 10 * LUNFS_CHUNK_BYTES, 77, LUNFS_CHUNK_BYTES);
  memset (arena->chunks + 11 * LUNFS_CHUNK_BYTES, 78, LUNFS_CHUNK_BYTES);
  arena->pages[11 * LUNFS_PAGES_PER_CHUNK + 15].kept = 1;
  lunfs_inbox_sort (arena, true, &kernel);
  pool = lunfs_pool_new (arena, false);
  ck_assert (lunfs_inbox_own (arena, pool, slot));
  ck_assert_uint_eq (slot->chunk[0], 10);
  ck_assert_uint_ne (slot->chunk[1], 11);
  ck_assert (all_bytes (pool, slot->chunk[0], 77) && all_bytes (pool, slot->chunk[1], 78));
  ck_assert (!lunfs_pool_take (pool, chunk, CHUNKS - 2));
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS - 3));
  for (unsigned i = 0; i < CHUNKS - 3; i++)
    ck_assert (chunk[i] != 10 && chunk[i] != 11 && chunk[i] != slot->chunk[1]);
  lunfs_pool_free (pool);
}
END_TEST

typedef struct {
  LunfsPool *pool;
  LunfsArenaSlot *slot;
  uint32_t seen; /* chunk that was looked at */
} Owner;

static void
child_owns (void *user)
{
  Owner *o = user;

  begin_steps ();
  lunfs_inbox_own (arena, o->pool, o->slot);
}

/* The next one finds the payload, wherever it is by now. */
static void
check_payload (void *user)
{
  Owner *o = user;
  uint32_t chunk = o->slot->chunk[0];

  if (chunk != o->seen && !all_bytes (o->pool, chunk, 77))
    ck_abort_msg ("chunk %u is not the payload", chunk);
  o->seen = chunk;
}

START_TEST (test_killed_copying)
{
  Owner o = { .slot = put (0, FUSE_WRITE, 2, WRITE_BYTES (LUNFS_CHUNK_BYTES), 10), .seen = UINT32_MAX };

  memset (arena->chunks + 10 * LUNFS_CHUNK_BYTES, 77, LUNFS_CHUNK_BYTES);
  arena->pages[10 * LUNFS_PAGES_PER_CHUNK].kept = 1;
  lunfs_inbox_sort (arena, true, &kernel);
  o.pool = lunfs_pool_new (arena, false);
  step_through (child_owns, &o, check_payload, &o);
  ck_assert_uint_ne (o.slot->chunk[0], 10);
  lunfs_pool_free (o.pool);
}
END_TEST

START_TEST (test_no_memory_for_a_copy)
{
  LunfsArenaSlot *slot = put (0, FUSE_WRITE, 2, WRITE_BYTES (1), 10);
  uint32_t chunk[CHUNKS];
  LunfsPool *pool;

  arena->pages[10 * LUNFS_PAGES_PER_CHUNK].kept = 1;
  lunfs_inbox_sort (arena, true, &kernel);
  pool = lunfs_pool_new (arena, false);
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS - 1));
  ck_assert (!lunfs_inbox_own (arena, pool, slot));
  lunfs_pool_free (pool);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("inbox");
  TCase *tc = tcase_create ("inbox");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 60);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_method);
  tcase_add_test (tc, test_sort);
  tcase_add_test (tc, test_resend_leaves_nothing);
  tcase_add_loop_test (tc, test_damaged, 0, G_N_ELEMENTS (damages));
  tcase_add_test (tc, test_pool);
  tcase_add_test (tc, test_two_owners);
  tcase_add_test (tc, test_no_memory_for_a_copy);
  if (can_step ())
    tcase_add_test (tc, test_killed_copying);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
