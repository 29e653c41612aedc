/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arena as a file: who gets it, what becomes of it, what is to be written back from it. */
#include "config.h"

#include "supervisor/saved.h"
#include "supervisor/state.h"

#include "lunfs/error.h"
#include "lunfs/request.h"
#include "util/filelock.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;
static LunfsSettings *settings;

static void
setup (void)
{
  dir = g_dir_make_tmp ("lunfs-saved-XXXXXX", NULL);
  settings = lunfs_settings_new ();
  settings->state_dir = g_strdup (dir);
  settings->source_text = g_strdup ("iscsi://san/iqn.2026-01.org.example:t1");
  settings->mountpoint = g_strdup ("/srv/x");
}

static unsigned
nfiles (const char *suffix)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *name;
  unsigned n = 0;

  while ((name = g_dir_read_name (entries)))
    n += g_str_has_suffix (name, suffix);
  return n;
}

/* Of the only arena. */
static char *
arena_path (void)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (entries)))
    if (g_str_has_suffix (name, ".arena"))
      return g_build_filename (dir, name, NULL);
  return NULL;
}

static void
teardown (void)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *name;

  while (entries && (name = g_dir_read_name (entries))) {
    g_autofree char *path = g_build_filename (dir, name, NULL);

    unlink (path);
  }
  rmdir (dir);
  g_free (dir);
  lunfs_settings_free (settings);
}

static LunfsArena *
create (void)
{
  g_autoptr (GError) error = NULL;
  LunfsArena *a = lunfs_state_create (settings, 0, &error);

  ck_assert_msg (a != NULL, "%s", error ? error->message : "");
  return a;
}

/* LUN 0: 1 MiB and 1 KiB, so that the last page has two blocks. */
static void
add_lun (LunfsArena *a)
{
  ck_assert_int_eq (lunfs_arena_lun (a, "san", 3260, "iqn.2026-01.org.example:t1", 0), 0);
  a->luns[0].proven = 1;
  a->luns[0].block_size = 512;
  a->luns[0].nblocks = 2050;
}

static void
add_page (LunfsArena *a, unsigned i, uint64_t number, uint64_t seq, uint8_t blocks)
{
  a->pages[i] = (LunfsArenaPage){ .number = number, .seq = seq, .blocks = blocks, .kept = 1 };
}

START_TEST (test_empty)
{
  LunfsArena *a = create ();
  struct stat st;

  ck_assert_int_eq (fstat (a->fd, &st), 0);
  ck_assert_int_ge (st.st_blocks * 512, st.st_size);
  ck_assert_uint_eq (st.st_mode & 0777, 0600);
  ck_assert_uint_eq (nfiles (".arena"), 1);
  ck_assert_ptr_null (lunfs_state_end (a, settings));
  ck_assert_uint_eq (nfiles (""), 0);
  lunfs_arena_free (a);
}
END_TEST

/* As the worker gets it; a second mount does not; a dead one's is taken. */
START_TEST (test_lock)
{
  g_autoptr (GError) error = NULL;
  LunfsArena *a = create ();
  LunfsArena *worker = lunfs_arena_attach (dup (a->fd), &error);

  ck_assert_msg (worker != NULL, "%s", error ? error->message : "");
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_EXISTS);
  lunfs_arena_free (a);
  g_clear_error (&error);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error)); /* the worker still has it */
  lunfs_arena_free (worker);
  a = create ();
  ck_assert_uint_eq (nfiles (""), 1);
  lunfs_state_end (a, settings);
  lunfs_arena_free (a);
}
END_TEST

START_TEST (test_kept)
{
  g_autofree char *name = NULL;
  g_autoptr (GPtrArray) all = NULL;
  LunfsArena *a = create (), *b;
  LunfsSaved *saved;

  add_lun (a);
  add_page (a, 5, 3, 1, 0xff);
  memset (a->chunks + 5 * LUNFS_PAGE_BYTES, 0x5a, LUNFS_PAGE_BYTES);
  lunfs_arena_free (a); /* dead */
  b = create ();
  ck_assert_uint_eq (nfiles (".saved"), 1);
  all = lunfs_saved_open_all (dir, true, NULL, NULL, NULL);
  ck_assert_uint_eq (all->len, 1);
  saved = all->pdata[0];
  ck_assert_uint_eq (saved->users, 1);
  ck_assert (lunfs_saved_is_whole (saved->arena));
  ck_assert_uint_eq (lunfs_saved_bytes (saved->arena, 0, NULL), LUNFS_PAGE_BYTES);
  ck_assert_uint_eq (saved->arena->chunks[5 * LUNFS_PAGE_BYTES + 7], 0x5a);
  ck_assert (lunfs_saved_mark (saved->arena, 0, LUNFS_SAVED_OPEN, LUNFS_SAVED_REFUSED, "because"));
  ck_assert (!lunfs_saved_mark (saved->arena, 0, 1u << LUNFS_SAVED_WAITS, LUNFS_SAVED_REFUSED, "again"));
  ck_assert_str_eq (saved->arena->luns[0].saved_why, "because");
  lunfs_saved_drop_empty (saved);
  ck_assert_uint_eq (nfiles (".saved"), 1);
  ck_assert (lunfs_saved_mark (saved->arena, 0, LUNFS_SAVED_OPEN, LUNFS_SAVED_DONE, NULL));
  ck_assert (!lunfs_saved_mark (saved->arena, 0, LUNFS_SAVED_OPEN, LUNFS_SAVED_APPROVED, NULL));
  lunfs_saved_drop_empty (saved);
  ck_assert_uint_eq (nfiles (".saved"), 0);
  lunfs_state_end (b, settings);
  lunfs_arena_free (b);
}
END_TEST

START_TEST (test_sealed)
{
  LunfsArena *a = create ();
  g_autofree char *kept = NULL;
  g_autoptr (GPtrArray) all = NULL;

  add_lun (a);
  add_page (a, 0, 3, 1, 1);
  strcpy (a->header->boot_id, "another");
  ck_assert (!lunfs_saved_is_whole (a));
  kept = lunfs_state_end (a, settings);
  ck_assert_ptr_nonnull (kept);
  lunfs_arena_free (a);
  all = lunfs_saved_open_all (dir, false, NULL, NULL, NULL);
  ck_assert_uint_eq (all->len, 1);
  ck_assert (lunfs_saved_is_whole (((LunfsSaved *) all->pdata[0])->arena));
  /* Somebody else holds it: it can be looked at, not taken. */
  ck_assert (lunfs_saved_take (all->pdata[0]));
  all = (g_ptr_array_unref (all), lunfs_saved_open_all (dir, false, NULL, NULL, NULL));
  ck_assert_uint_eq (all->len, 1);
}
END_TEST

/* The newest of a page, in order; nothing that was disowned, or is another LUN's. */
START_TEST (test_collect)
{
  LunfsArena *a = create ();
  g_autoptr (GArray) ranges = NULL;
  g_autoptr (GArray) pages = NULL;
  static const uint32_t want_pages[] = { 9, 4, 7, 1 }, want_ranges[] = { 2, 0 };

  add_lun (a);
  ck_assert_int_eq (lunfs_arena_lun (a, "san", 3260, "iqn.2026-01.org.example:t1", 1), 1);
  a->luns[0].disowned_seq = 5;
  add_page (a, 1, 256, 30, 3); /* the last two blocks */
  add_page (a, 3, 20, 21, 1);
  add_page (a, 4, 20, 22, 3);
  add_page (a, 5, 20, 20, 1);
  add_page (a, 6, 40, 5, 1);
  add_page (a, 7, 30, 6, 0x80);
  add_page (a, 8, 50, 9, 1);
  a->pages[8].lun = 1;
  add_page (a, 9, 0, 9, 0xff);
  a->ranges[0] = (LunfsArenaRange){ .length = 512, .seq = 12, .op = LUNFS_OP_ZERO, .kept = 1 };
  a->ranges[1] = (LunfsArenaRange){ .length = 512, .seq = 13, .op = LUNFS_OP_ZERO, .kept = 2 };
  a->ranges[2] = (LunfsArenaRange){
    .offset = 512, .length = 2049 * 512, .seq = 11, .op = LUNFS_OP_DISCARD, .kept = LUNFS_RANGE_DUE
  };
  a->ranges[3] = (LunfsArenaRange){ .length = 512, .seq = 4, .op = LUNFS_OP_ZERO, .kept = 1 };
  ck_assert (lunfs_saved_collect (a, 0, &ranges, &pages));
  ck_assert_uint_eq (pages->len, 4);
  ck_assert_mem_eq (pages->data, want_pages, sizeof want_pages);
  ck_assert_uint_eq (ranges->len, 2);
  ck_assert_mem_eq (ranges->data, want_ranges, sizeof want_ranges);
  memset (a->pages, 0, 16 * sizeof *a->pages);
  memset (a->ranges, 0, 16 * sizeof *a->ranges);
  lunfs_state_end (a, settings);
  lunfs_arena_free (a);
}
END_TEST

START_TEST (test_damaged)
{
  LunfsArena *a = create ();
  GArray *ranges = NULL, *pages = NULL;
  LunfsArenaPage *p = &a->pages[0];
  LunfsArenaRange *r = &a->ranges[0];

  add_lun (a);
  add_page (a, 0, 256, 1, 3);
  *r = (LunfsArenaRange){ .length = 512, .seq = 4, .op = LUNFS_OP_ZERO, .kept = 1 };
  switch (_i) {
  case 0:
    p->number = 257;
    break;
  case 1:
    p->number = UINT64_MAX;
    break;
  case 2:
    p->number = UINT64_MAX / 4096 + 2;
    break;
  case 3:
    p->blocks = 4;
    break;
  case 4:
    p->blocks = 0;
    break;
  case 5:
    r->op = LUNFS_OP_WRITE;
    break;
  case 6:
    r->op = 99;
    break;
  case 7:
    r->offset = 2050 * 512;
    break;
  case 8:
    r->offset = UINT64_MAX - 511;
    break;
  case 9:
    r->length = 2051 * 512;
    break;
  case 10:
    r->length = 0;
    break;
  case 11:
    r->length = 100;
    break;
  case 12:
    r->offset = 100;
    break;
  case 13:
    r->flags = LUNFS_REQ_RECOVERY;
    break;
  case 14:
    a->luns[0].proven = 0;
    break;
  case 15:
    a->luns[0].block_size = 8192;
    break;
  }
  ck_assert (!lunfs_saved_collect (a, 0, &ranges, &pages));
  ck_assert_ptr_null (ranges);
  ck_assert (lunfs_saved_any (a)); /* somebody should know */
  lunfs_arena_free (a);
}
END_TEST

/* Of another LUN, one that is not in the table: kept all the same. */
START_TEST (test_stray)
{
  LunfsArena *a = create ();

  add_page (a, 0, 1, 1, 1);
  a->pages[0].lun = 60000;
  ck_assert (lunfs_saved_any (a));
  a->pages[0].kept = 0;
  a->ranges[9] = (LunfsArenaRange){ .lun = 60000, .kept = 1 };
  ck_assert (lunfs_saved_any (a));
  lunfs_arena_free (a);
}
END_TEST

START_TEST (test_unusable)
{
  g_autoptr (GError) error = NULL;
  LunfsArena *a = create ();
  g_autofree char *path = arena_path ();

  add_lun (a);
  add_page (a, 0, 1, 1, 1);
  switch (_i) {
  case 0:
    a->header->version++;
    break;
  case 1:
    a->header->magic++;
    break;
  case 2:
    a->header->total_bytes++;
    break;
  case 3:
    a->header->nchunks = 0;
    break;
  case 4:
    memset (a->header->source, 'x', sizeof a->header->source);
    break;
  case 5:
    memset (a->header->boot_id, 'x', sizeof a->header->boot_id);
    break;
  case 6:
    a->luns[0].block_size = 0;
    break;
  case 7:
    a->luns[0].saved = 77;
    break;
  case 8:
    memset (a->luns[0].saved_why, 'x', sizeof a->luns[0].saved_why);
    break;
  case 9:
    ck_assert_int_eq (truncate (path, 100), 0);
    break;
  case 10:
    ck_assert_int_eq (truncate (path, 0), 0);
    break;
  case 11:
    ck_assert_int_eq (chmod (path, 0660), 0);
    break;
  }
  lunfs_arena_free (a);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "lunfsctl saved discard"));
  ck_assert_ptr_nonnull (strstr (error->message, dir));
  ck_assert_uint_eq (nfiles (".arena"), 1);
  /* Set aside by an earlier mount: the same. */
  g_clear_error (&error);
  g_free (lunfs_saved_set_aside (path, NULL));
  ck_assert_uint_eq (nfiles (".saved"), 1);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "lunfsctl saved discard"));
}
END_TEST

START_TEST (test_not_a_file)
{
  g_autoptr (GError) error = NULL;
  LunfsArena *a = create ();
  g_autofree char *path = arena_path ();

  lunfs_state_end (a, settings);
  lunfs_arena_free (a);
  ck_assert_int_eq (symlink ("/etc/passwd", path), 0);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  unlink (path);
  g_clear_error (&error);
  ck_assert_int_eq (mkfifo (path, 0600), 0);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
}
END_TEST

START_TEST (test_directory)
{
  g_autoptr (GError) error = NULL;

  chmod (dir, 0720);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_ACCESS);
  chmod (dir, 0700);
  g_clear_error (&error);
  g_free (settings->mountpoint);
  settings->mountpoint = g_strdup (dir);
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_USAGE);
  g_clear_error (&error);
  g_free (settings->state_dir);
  settings->state_dir = g_strdup ("/proc/none");
  ck_assert_ptr_null (lunfs_state_create (settings, 0, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "/proc/none"));
  ck_assert_uint_eq (nfiles (""), 0);
}
END_TEST

/* A lock that another process has is seen without taking it. */
START_TEST (test_filelock)
{
  g_autofree char *path = g_build_filename (dir, "f", NULL);
  int a = open (path, O_RDWR | O_CREAT, 0600), b = open (path, O_RDWR), c = dup (a);

  ck_assert (!lunfs_file_is_locked (b));
  ck_assert (lunfs_file_lock (a) && lunfs_file_lock (c));
  ck_assert (lunfs_file_is_locked (b) && !lunfs_file_lock (b));
  close (a);
  ck_assert (lunfs_file_is_locked (b));
  close (c);
  ck_assert (!lunfs_file_is_locked (b) && lunfs_file_lock (b));
  close (b);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("saved");
  TCase *tc = tcase_create ("saved");
  tcase_set_timeout (tc, 60);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_empty);
  tcase_add_test (tc, test_lock);
  tcase_add_test (tc, test_kept);
  tcase_add_test (tc, test_sealed);
  tcase_add_test (tc, test_collect);
  tcase_add_loop_test (tc, test_damaged, 0, 16);
  tcase_add_test (tc, test_stray);
  tcase_add_loop_test (tc, test_unusable, 0, 12);
  tcase_add_test (tc, test_not_a_file);
  tcase_add_test (tc, test_directory);
  tcase_add_test (tc, test_filelock);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
