/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lunfs/arena.h"

#include "lunfs/error.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define T "iqn.2026-01.org.example:t1"
#define CHUNKS 20u

static LunfsArena *
make (void)
{
  g_autoptr (GError) error = NULL;
  LunfsArena *arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES - 1, &error);

  ck_assert_msg (arena != NULL, "%s", error ? error->message : "");
  return arena;
}

START_TEST (test_create)
{
  g_autoptr (LunfsArena) a = make ();
  struct stat st;

  ck_assert_uint_eq (a->header->nchunks, CHUNKS);
  ck_assert_uint_eq (a->header->init_bytes, 0);
  ck_assert_uint_lt (a->header->isid_random, 1u << 24);
  ck_assert_uint_eq ((uintptr_t) (a->chunks - (uint8_t *) a->header) % LUNFS_CHUNK_BYTES, 0);
  ck_assert ((void *) a->slots >= (void *) (a->luns + LUNFS_ARENA_LUNS));
  ck_assert (a->chunks >= (uint8_t *) (a->slots + LUNFS_ARENA_SLOTS));
  ck_assert_int_eq (fstat (a->fd, &st), 0);
  ck_assert_uint_eq ((uint64_t) st.st_size, a->header->total_bytes);
  ck_assert_int_eq (fcntl (a->fd, F_GETFD), FD_CLOEXEC);
  ck_assert_int_lt (ftruncate (a->fd, 4096), 0); /* sealed */
}
END_TEST

START_TEST (test_smallest)
{
  g_autoptr (LunfsArena) a = lunfs_arena_create (0, NULL);

  ck_assert_ptr_nonnull (a);
  ck_assert_uint_eq (a->header->nchunks, LUNFS_CHUNKS_PER_REQUEST);
  ck_assert_ptr_null (lunfs_arena_create (G_MAXUINT64, NULL));
}
END_TEST

/* Room costs nothing until it is touched. */
START_TEST (test_sparse)
{
  g_autoptr (LunfsArena) a = lunfs_arena_create (UINT64_C (1) << 30, NULL);
  struct stat st;

  ck_assert_ptr_nonnull (a);
  ck_assert_int_eq (fstat (a->fd, &st), 0);
  ck_assert_int_lt (st.st_blocks * 512, 1 << 20);
}
END_TEST

START_TEST (test_attach)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsArena) a = make ();
  g_autoptr (LunfsArena) b = NULL;

  memset (a->chunks, 0x5a, LUNFS_CHUNK_BYTES);
  a->chunks[CHUNKS * LUNFS_CHUNK_BYTES - 1] = 0xa5;
  b = lunfs_arena_attach (dup (a->fd), &error);
  ck_assert_msg (b != NULL, "%s", error ? error->message : "");
  ck_assert_int_eq (memcmp (a->chunks, b->chunks, LUNFS_CHUNK_BYTES), 0);
  ck_assert_int_eq (b->chunks[CHUNKS * LUNFS_CHUNK_BYTES - 1], 0xa5);
}
END_TEST

static void
damage (LunfsArenaHeader *h, int what)
{
  switch (what) {
  case 0: h->magic++; break;
  case 1: h->version++; break;
  case 2: h->header_bytes--; break;
  case 3: h->total_bytes += LUNFS_CHUNK_BYTES; break;
  case 4: h->nchunks++; break;
  case 5: h->nchunks = G_MAXUINT32; break;
  case 6: h->init_bytes = LUNFS_ARENA_INIT_MAX + 1; break;
  case 7: h->max_write = LUNFS_MAX_WRITE + 1; break;
  case 8: h->isid_random = 1 << 24; break;
  }
}

START_TEST (test_damaged)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsArena) a = make ();
  int fd = dup (a->fd);

  damage (a->header, _i);
  ck_assert_ptr_null (lunfs_arena_attach (fd, &error));
  ck_assert_ptr_nonnull (error);
  ck_assert_int_eq (error->code == LUNFS_EXIT_MISFIT, _i == 1 || _i == 2); /* another version's, not damaged */
  ck_assert_int_lt (fcntl (fd, F_GETFD), 0); /* taken, so closed */
}
END_TEST

START_TEST (test_damaged_lun)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsArena) a = make ();
  g_autoptr (LunfsArena) next = NULL;
  LunfsArenaLun *lun = &a->luns[1];

  lunfs_arena_lun (a, "h", 3260, T, 0);
  lunfs_arena_lun (a, "h", 3260, T, 1);
  lun->proven = 1;
  lun->block_size = 65536;
  lun->nblocks = INT64_MAX / 65536;
  next = lunfs_arena_attach (dup (a->fd), &error);
  ck_assert_ptr_nonnull (next);
  switch (_i) {
  case 0: memset (lun->host, 'h', sizeof lun->host); break;
  case 1: memset (lun->target_name, 't', sizeof lun->target_name); break;
  case 2: memset (lun->identity, 'i', sizeof lun->identity); break;
  case 3: lun->nblocks++; break;
  case 4: lun->nblocks = 0; break;
  case 5: lun->block_size = 1024 + 512; break;
  case 6: lun->block_size = 0; break;
  }
  ck_assert_ptr_null (lunfs_arena_attach (dup (a->fd), &error));
  ck_assert_ptr_nonnull (strstr (error->message, "record"));
}
END_TEST

/* What is no arena at all: a size that could shrink under us, a size that is not ours, not even a memfd. */
START_TEST (test_foreign)
{
  g_autoptr (LunfsArena) a = make ();
  off_t size = (off_t) a->header->total_bytes;
  int fd = memfd_create ("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  ck_assert_int_eq (ftruncate (fd, size + 4096 * _i), 0);
  ck_assert_int_eq (pwrite (fd, a->header, sizeof *a->header, 0), sizeof *a->header);
  if (_i)
    ck_assert_int_eq (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  ck_assert_ptr_null (lunfs_arena_attach (fd, NULL));
  ck_assert_ptr_null (lunfs_arena_attach (open ("/dev/null", O_RDWR), NULL));
}
END_TEST

START_TEST (test_luns)
{
  g_autoptr (LunfsArena) a = make ();
  g_autoptr (LunfsArena) next = NULL;

  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, 0), 0);
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, 1), 1);
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3261, T, 1), 2);
  ck_assert_int_eq (lunfs_arena_lun (a, "g", 3260, T, 1), 3);
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T "2", 1), 4);
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, 1), 1);
  ck_assert_uint_eq (a->luns[1].lun, 1);
  next = lunfs_arena_attach (dup (a->fd), NULL);
  ck_assert_int_eq (lunfs_arena_lun (next, "h", 3261, T, 1), 2);
}
END_TEST

/* A worker killed while it filled in a record leaves rubbish that was never published. */
START_TEST (test_lun_unpublished)
{
  g_autoptr (LunfsArena) a = make ();

  memset (&a->luns[0], 0xff, sizeof a->luns[0]);
  a->luns[0].used = 0;
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, 7), 0);
  ck_assert_str_eq (a->luns[0].target_name, T);
  ck_assert_uint_eq (a->luns[0].proven, 0);
  ck_assert_uint_eq (a->luns[0].dirty, 0);
}
END_TEST

START_TEST (test_luns_full)
{
  g_autoptr (LunfsArena) a = make ();
  g_autofree char *name = g_strnfill (sizeof a->luns[0].target_name, 'a');

  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, name, 0), -1); /* would be cut */
  for (int i = 0; i < LUNFS_ARENA_LUNS; i++)
    ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, (uint16_t) i), i);
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, LUNFS_ARENA_LUNS), -1);
  ck_assert_int_eq (lunfs_arena_lun (a, "h", 3260, T, LUNFS_ARENA_LUNS - 1), LUNFS_ARENA_LUNS - 1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("arena");
  TCase *tc = tcase_create ("arena");
  tcase_add_test (tc, test_create);
  tcase_add_test (tc, test_smallest);
  tcase_add_test (tc, test_sparse);
  tcase_add_test (tc, test_attach);
  tcase_add_loop_test (tc, test_damaged, 0, 9);
  tcase_add_loop_test (tc, test_damaged_lun, 0, 7);
  tcase_add_loop_test (tc, test_foreign, 0, 2);
  tcase_add_test (tc, test_luns);
  tcase_add_test (tc, test_lun_unpublished);
  tcase_add_test (tc, test_luns_full);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
