/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/init.h"

#include "lunfs/error.h"
#include "supervisor/mount.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE                                                                                                           \
  (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_EXPLICIT_INVAL_DATA                \
   | FUSE_HANDLE_KILLPRIV_V2)
#define ALL_BITS UINT64_MAX
#define NEVER                                                                                                          \
  (FUSE_WRITEBACK_CACHE | FUSE_ATOMIC_O_TRUNC | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_HANDLE_KILLPRIV             \
   | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_EXPORT_SUPPORT)
#define HIGH (FUSE_DIRECT_IO_ALLOW_MMAP | FUSE_NO_EXPORT_SUPPORT | FUSE_HAS_RESEND)

static const struct {
  uint32_t minor;
  uint64_t offered;
  uint32_t answer_minor;
  uint64_t flags;
  uint32_t max_write;
} cases[] = {
  /* newest: everything we know, nothing else */
  { 45, ALL_BITS, 38, BASE | FUSE_MAX_PAGES | FUSE_INIT_EXT | HIGH, LUNFS_MAX_WRITE },
  { 36, BASE | FUSE_MAX_PAGES | FUSE_INIT_EXT, 36, BASE | FUSE_MAX_PAGES | FUSE_INIT_EXT, LUNFS_MAX_WRITE },
  /* flags2 is rubbish without INIT_EXT */
  { 31, BASE | FUSE_MAX_PAGES | HIGH, 31, BASE | FUSE_MAX_PAGES, LUNFS_MAX_WRITE },
  { 27, FUSE_ASYNC_READ | FUSE_WRITEBACK_CACHE, 27, FUSE_ASYNC_READ, 32 * 4096 },
  { 23, 0, 23, 0, 32 * 4096 },
};

static struct fuse_init_in
offer (uint32_t minor, uint64_t flags)
{
  struct fuse_init_in in = { .major = 7, .minor = minor, .max_readahead = 131072 };

  in.flags = (uint32_t) flags;
  in.flags2 = (uint32_t) (flags >> 32);
  return in;
}

START_TEST (test_choose)
{
  struct fuse_init_in in = offer (cases[_i].minor, cases[_i].offered);
  struct fuse_init_out out = lunfs_init_choose (&in, 256, false);
  uint64_t flags = lunfs_init_flags (out.flags, out.flags2);

  ck_assert_uint_eq (flags, cases[_i].flags);
  ck_assert_uint_eq (flags & NEVER, 0);
  ck_assert_uint_eq (out.major, 7);
  ck_assert_uint_eq (out.minor, cases[_i].answer_minor);
  if (sysconf (_SC_PAGESIZE) == 4096)
    ck_assert_uint_eq (out.max_write, cases[_i].max_write);
  ck_assert_uint_eq (out.max_pages, flags & FUSE_MAX_PAGES ? LUNFS_MAX_WRITE / sysconf (_SC_PAGESIZE) : 0);
  ck_assert_uint_eq (out.max_readahead, 131072);
  ck_assert_uint_eq (out.time_gran, 1);
  ck_assert_uint_eq (out.max_background, 256);
  ck_assert_uint_eq (out.congestion_threshold, 192);
}
END_TEST

START_TEST (test_page_cache)
{
  struct fuse_init_in in = offer (45, ALL_BITS);
  struct fuse_init_out out = lunfs_init_choose (&in, 256, true);
  uint64_t flags = lunfs_init_flags (out.flags, out.flags2);

  ck_assert (flags & FUSE_AUTO_INVAL_DATA);
  ck_assert (!(flags & FUSE_EXPLICIT_INVAL_DATA));
}
END_TEST

START_TEST (test_background)
{
  static const struct {
    uint32_t asked, background, congestion;
  } t[] = { { 0, 1, 1 }, { 1, 1, 1 }, { 12, 12, 9 }, { 65535, 65535, 49151 }, { 100000, 65535, 49151 } };
  struct fuse_init_in in = offer (38, ALL_BITS);
  struct fuse_init_out out = lunfs_init_choose (&in, t[_i].asked, false);

  ck_assert_uint_eq (out.max_background, t[_i].background);
  ck_assert_uint_eq (out.congestion_threshold, t[_i].congestion);
}
END_TEST

typedef struct {
  struct fuse_in_header header;
  struct fuse_init_in in;
} Request;

typedef struct {
  struct fuse_out_header header;
  struct fuse_init_out out;
} Answer;

static Request
request (uint32_t opcode, struct fuse_init_in in)
{
  Request r = { .header = { .len = sizeof r, .opcode = opcode, .unique = 2 }, .in = in };
  return r;
}

/* A socket that keeps packets apart stands in for /dev/fuse. */
START_TEST (test_answer)
{
  g_autoptr (GError) error = NULL;
  LunfsArenaHeader arena = { 0 };
  Request r = request (FUSE_INIT, offer (45, ALL_BITS));
  Answer a;
  int s[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
  ck_assert_int_eq (write (s[1], &r, sizeof r), sizeof r);
  ck_assert_msg (lunfs_init_answer (s[0], &arena, 64, false, &error), "%s", error ? error->message : "");
  ck_assert_int_eq (read (s[1], &a, sizeof a), sizeof a);
  ck_assert_uint_eq (a.header.unique, 2);
  ck_assert_uint_eq (a.header.len, sizeof a);
  ck_assert_uint_eq (a.out.max_background, 64);
  ck_assert_uint_eq (arena.init_bytes, sizeof r);
  ck_assert_int_eq (memcmp (arena.init_request, &r, sizeof r), 0);
  ck_assert_uint_eq (arena.max_background, 64);
  ck_assert_uint_eq (arena.max_write, LUNFS_MAX_WRITE);
  ck_assert_uint_eq (arena.init_flags, cases[0].flags);
  close (s[0]);
  close (s[1]);
}
END_TEST

START_TEST (test_answer_refuses)
{
  g_autoptr (GError) error = NULL;
  LunfsArenaHeader arena = { 0 };
  Request r = request (_i == 0 ? FUSE_GETATTR : FUSE_INIT, offer (_i == 1 ? 22 : 45, ALL_BITS));
  int s[2];

  if (_i == 2)
    r.header.len--;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
  ck_assert_int_eq (write (s[1], &r, sizeof r), sizeof r);
  ck_assert (!lunfs_init_answer (s[0], &arena, 64, false, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_MOUNT);
  ck_assert_uint_eq (arena.init_bytes, 0);
  close (s[0]);
  close (s[1]);
}
END_TEST

/* A source may hold what separates options. */
START_TEST (test_mount_options)
{
  g_autoptr (LunfsSettings) s = lunfs_settings_new ();
  g_autofree char *text = NULL;

  g_free (s->source_text);
  s->source_text = g_strdup ("iscsi://h/a,b\\c");
  s->allow_other = s->read_only = true;
  if (!s->mount_options)
    s->mount_options = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (s->mount_options, g_strdup ("noexec"));
  g_ptr_array_add (s->mount_options, g_strdup ("auto_unmount"));
  g_ptr_array_add (s->mount_options, g_strdup ("context=u:r:t:s0:c1,c2"));
  text = lunfs_mount_options_text (s);
  ck_assert_str_eq (text, "fsname=iscsi://h/a\\,b\\\\c,subtype=lunfs,default_permissions,ro,allow_other,noexec,"
                          "context=u:r:t:s0:c1\\,c2");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("init");
  TCase *tc = tcase_create ("init");
  tcase_add_loop_test (tc, test_choose, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tc, test_page_cache);
  tcase_add_loop_test (tc, test_background, 0, 5);
  tcase_add_test (tc, test_answer);
  tcase_add_loop_test (tc, test_answer_refuses, 0, 3);
  tcase_add_test (tc, test_mount_options);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
