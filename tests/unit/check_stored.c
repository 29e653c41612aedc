/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a killed supervisor leaves to the next one: descriptors, settings, the lock on the arena. */
#include "config.h"

#include "supervisor/adopt.h"
#include "supervisor/notify.h"
#include "supervisor/sole.h"
#include "supervisor/stored.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- settings ---- */

static LunfsSettings *
settings (void)
{
  LunfsSettings *s = lunfs_settings_new ();

  s->source.host = g_strdup ("portal");
  s->source.target_name = g_strdup ("iqn.2026-01.org.example:t");
  s->source.lun = 1;
  s->source_text = g_strdup ("iscsi://portal/iqn.2026-01.org.example:t/1");
  s->mountpoint = g_strdup ("/mnt");
  s->initiator_name = g_strdup ("iqn.2026-01.org.example:i");
  return s;
}

START_TEST (test_same_settings)
{
  g_autoptr (LunfsSettings) now = settings (), then = settings ();

  ck_assert_ptr_null (lunfs_stored_keep_settings (now, then));
}
END_TEST

START_TEST (test_new_settings_count)
{
  g_autoptr (LunfsSettings) now = settings (), then = settings ();

  now->replacement_timeout = 7;
  now->lanes = 3;
  now->cache = LUNFS_CACHE_NONE;
  now->log_target = g_strdup ("/log");
  now->password = g_strdup ("new");
  ck_assert_ptr_null (lunfs_stored_keep_settings (now, then));
  ck_assert_int_eq (now->replacement_timeout, 7);
  ck_assert_int_eq (now->lanes, 3);
  ck_assert_int_eq (now->cache, LUNFS_CACHE_NONE);
  ck_assert_str_eq (now->log_target, "/log");
  ck_assert_str_eq (now->password, "new");
}
END_TEST

START_TEST (test_fixed_settings_stay)
{
  g_autoptr (LunfsSettings) now = settings (), then = settings ();
  g_autofree char *kept = NULL, *now_text = NULL, *then_text = NULL;

  g_free (now->source.host);
  now->source.host = g_strdup ("other");
  g_free (now->source_text);
  now->source_text = g_strdup ("iscsi://other");
  g_free (now->mountpoint);
  now->mountpoint = g_strdup ("/elsewhere");
  now->mount_is_file = true;
  g_free (now->initiator_name);
  now->initiator_name = g_strdup ("iqn.2026-01.org.example:new");
  now->read_only = now->allow_other = now->allow_root = true;
  g_ptr_array_add (then->mount_options, g_strdup ("nosuid"));
  now->cache_size *= 4;
  now->cache_max_dirty = now->cache_size / 4 * 3;
  now->read_ahead = now->cache_size / 2;
  now->buffer_size = 1 << 20;
  now->max_background = 9;
  then->cache = LUNFS_CACHE_PAGE;
  kept = lunfs_stored_keep_settings (now, then);
  ck_assert_str_eq (kept, "source, initiator_name, mount point, ro, allow_other, allow_root, options of the mount, "
                          "cache_size, buffer_size, max_background, cache");
  ck_assert_uint_le (now->cache_max_dirty, now->cache_size / 4 * 3);
  ck_assert_uint_le (now->read_ahead, now->cache_size / 2);
  then->cache_max_dirty = now->cache_max_dirty;
  then->read_ahead = now->read_ahead;
  now_text = lunfs_settings_to_text (now);
  then_text = lunfs_settings_to_text (then);
  ck_assert_str_eq (now_text, then_text);
}
END_TEST

/* ---- descriptors ---- */

static int
file_named (const char *name)
{
  int fd = memfd_create (name, 0);

  ck_assert_int_ge (fd, 0);
  return fd;
}

static bool
is_file (int fd, const char *name)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd), *there = g_file_read_link (link, NULL);
  g_autofree char *want = g_strdup_printf ("/memfd:%s (deleted)", name);

  return g_strcmp0 (there, want) == 0;
}

/* Descriptors 3... are made of @names; libcheck's own are moved out of the way by forking (CK_FORK). */
static void
offer (const char *names, long pid)
{
  g_auto (GStrv) list = g_strsplit (names, ":", -1);
  g_autofree char *pid_text = g_strdup_printf ("%ld", pid), *n = g_strdup_printf ("%u", g_strv_length (list));

  for (int i = 0; list[i]; i++) {
    int fd = file_named (list[i]);

    if (fd != 3 + i) {
      ck_assert_int_eq (dup2 (fd, 3 + i), 3 + i);
      close (fd);
    }
  }
  g_setenv ("LISTEN_PID", pid_text, TRUE);
  g_setenv ("LISTEN_FDS", n, TRUE);
  g_setenv ("LISTEN_FDNAMES", names, TRUE);
}

/* In a process of its own, which may do what it likes with its descriptors. */
static void
run_alone (void (*body) (void))
{
  pid_t child = fork ();
  int state;

  if (child == 0) {
    body ();
    _exit (0);
  }
  ck_assert_int_eq (waitpid (child, &state, 0), child);
  ck_assert_msg (WIFEXITED (state) && WEXITSTATUS (state) == 0, "state %d", state);
}

#define REQUIRE(what)                                                                                                  \
  if (!(what)) {                                                                                                       \
    fprintf (stderr, "line %d: %s\n", __LINE__, #what);                                                                \
    _exit (1);                                                                                                         \
  }

static void
take_ours (void)
{
  LunfsStored s;

  offer ("other:lunfs-arena:lunfs-fuse:lunfs-probe:lunfs-settings:lunfs-arena", getpid ());
  lunfs_stored_take (&s);
  REQUIRE (s.arena_fd == 4 && is_file (4, "lunfs-arena"));
  REQUIRE (s.fuse_fd == 5 && is_file (5, "lunfs-fuse"));
  REQUIRE (s.settings_fd == 7 && is_file (7, "lunfs-settings"));
  REQUIRE (fcntl (5, F_GETFD) == FD_CLOEXEC);
  REQUIRE (fcntl (3, F_GETFD) < 0 && fcntl (6, F_GETFD) < 0 && fcntl (8, F_GETFD) < 0);
  REQUIRE (!g_getenv ("LISTEN_FDS") && !g_getenv ("LISTEN_PID") && !g_getenv ("LISTEN_FDNAMES"));
  lunfs_stored_close (&s);
  REQUIRE (s.arena_fd == -1 && fcntl (4, F_GETFD) < 0);
}

static void
take_none (void)
{
  LunfsStored s;

  offer ("lunfs-arena:lunfs-fuse", getppid ()); /* somebody else's */
  lunfs_stored_take (&s);
  REQUIRE (s.arena_fd == -1 && s.fuse_fd == -1 && s.settings_fd == -1);
  REQUIRE (fcntl (3, F_GETFD) >= 0);
  REQUIRE (!g_getenv ("LISTEN_FDS"));
  g_setenv ("LISTEN_PID", "x", TRUE);
  g_setenv ("LISTEN_FDS", "-1", TRUE);
  lunfs_stored_take (&s);
  REQUIRE (s.arena_fd == -1);
}

START_TEST (test_take)
{
  run_alone (take_ours);
  run_alone (take_none);
}
END_TEST

START_TEST (test_dirty)
{
  g_autoptr (LunfsArena) a = lunfs_arena_create (20 * LUNFS_CHUNK_BYTES, NULL);
  LunfsArenaPage *last = &a->pages[20 * LUNFS_PAGES_PER_CHUNK - 1];

  ck_assert (!lunfs_stored_has_dirty (a));
  last->kept = 1;
  ck_assert (lunfs_stored_has_dirty (a));
  last->kept = 0;
  a->ranges[LUNFS_ARENA_RANGES - 1].kept = 1;
  ck_assert (lunfs_stored_has_dirty (a));
}
END_TEST

/* Nothing there, nothing left to write in it, or nothing we know: new, new, and refused. */
START_TEST (test_adopt)
{
  g_autoptr (LunfsSettings) s = settings ();
  g_autoptr (LunfsArena) arena = lunfs_arena_create (20 * LUNFS_CHUNK_BYTES, NULL);
  g_autoptr (GError) error = NULL;
  LunfsStored stored = { -1, -1, -1 };
  LunfsAdopted got;

  ck_assert (lunfs_adopt (&stored, s, &got, &error) && !got.arena && !got.mounted);
  stored.arena_fd = dup (arena->fd);
  ck_assert (lunfs_adopt (&stored, s, &got, &error) && !got.arena && !got.mounted);
  arena->pages[3].kept = 1;
  arena->header->last_crashed = 1;
  stored.arena_fd = dup (arena->fd);
  ck_assert (lunfs_adopt (&stored, s, &got, &error) && got.arena && !got.mounted);
  ck_assert_uint_eq (got.arena->header->last_crashed, 0); /* of the worker before the last one */
  ck_assert_uint_eq (got.arena->pages[3].kept, 1);
  lunfs_arena_free (got.arena);
  arena->header->version++;
  stored.arena_fd = dup (arena->fd);
  ck_assert (!lunfs_adopt (&stored, s, &got, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "start the version that made it"));
  ck_assert_int_eq (stored.arena_fd, -1);
}
END_TEST

/* ---- one worker ---- */

/* A process that has the arena and says so. */
static pid_t
holder_new (int fd, bool orphan)
{
  int ready[2];
  pid_t child, pid;

  ck_assert_int_eq (pipe (ready), 0);
  child = fork ();
  if (child == 0) {
    if (orphan && fork () != 0)
      _exit (0);
    REQUIRE (lunfs_sole_become (fd));
    pid = getpid ();
    REQUIRE (write (ready[1], &pid, sizeof pid) == sizeof pid);
    pause ();
  }
  ck_assert_int_eq (read (ready[0], &pid, sizeof pid), sizeof pid);
  close (ready[0]);
  close (ready[1]);
  if (orphan)
    waitpid (child, NULL, 0);
  return pid;
}

static void
become_in_time (int fd, int64_t at_least_us, int64_t less_than_us)
{
  int64_t begun = g_get_monotonic_time (), took;

  ck_assert (lunfs_sole_become (fd));
  took = g_get_monotonic_time () - begun;
  ck_assert_int_ge (took, at_least_us);
  ck_assert_int_lt (took, less_than_us);
}

static gpointer
kill_soon (gpointer pid)
{
  g_usleep (300000);
  kill (GPOINTER_TO_INT (pid), SIGKILL);
  return NULL;
}

START_TEST (test_sole_waits)
{
  int fd = file_named ("arena");
  pid_t pid = holder_new (fd, false); /* a brother: never killed */
  GThread *thread = g_thread_new ("kill", kill_soon, GINT_TO_POINTER (pid));

  become_in_time (fd, 200000, 15000000);
  g_thread_join (thread);
  ck_assert (lunfs_sole_become (fd)); /* has it already */
}
END_TEST

START_TEST (test_sole_kills)
{
  int fd = file_named ("arena");

  holder_new (fd, true);
  become_in_time (fd, 1900000, 15000000);
}
END_TEST

/* ---- the service manager ---- */

typedef struct {
  char text[512];
  int fd;
} Heard;

static Heard
hear (int sock)
{
  Heard h = { .fd = -1 };
  char space[CMSG_SPACE (sizeof h.fd)];
  struct iovec iov = { h.text, sizeof h.text - 1 };
  struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
  ssize_t n = recvmsg (sock, &m, MSG_DONTWAIT);
  struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR (&m) : NULL;

  if (c && c->cmsg_type == SCM_RIGHTS)
    memcpy (&h.fd, CMSG_DATA (c), sizeof h.fd);
  return h;
}

static int
manager_new (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *name = g_strdup_printf ("@lunfs-check-%d", getpid ());
  int sock = socket (AF_UNIX, SOCK_DGRAM, 0);

  memcpy (address.sun_path + 1, name + 1, strlen (name) - 1);
  ck_assert_int_eq (
      bind (sock, (struct sockaddr *) &address, (socklen_t) (offsetof (struct sockaddr_un, sun_path) + strlen (name))),
      0);
  g_setenv ("NOTIFY_SOCKET", name, TRUE);
  return sock;
}

static bool
look (LunfsNotify *n)
{
  struct pollfd p[LUNFS_NOTIFY_POLLFDS];

  lunfs_notify_pollfds (n, p);
  poll (p, LUNFS_NOTIFY_POLLFDS, 0);
  return lunfs_notify_polled (n, p);
}

START_TEST (test_notify_store)
{
  int sock = manager_new (), file = file_named ("lunfs-arena");
  LunfsNotify *n = lunfs_notify_new ();
  Heard kept, probe, barrier;

  ck_assert_ptr_null (g_getenv ("NOTIFY_SOCKET"));
  lunfs_notify_store (n, "lunfs-arena", file, true);
  lunfs_notify_store_done (n);
  ck_assert_str_eq (hear (sock).text, "FDSTOREREMOVE=1\nFDNAME=lunfs-arena");
  kept = hear (sock);
  ck_assert_str_eq (kept.text, "FDSTORE=1\nFDNAME=lunfs-arena");
  ck_assert (is_file (kept.fd, "lunfs-arena"));
  probe = hear (sock);
  ck_assert_str_eq (probe.text, "FDSTORE=1\nFDNAME=lunfs-probe");
  barrier = hear (sock);
  ck_assert_str_eq (barrier.text, "BARRIER=1");
  ck_assert (!look (n) && !lunfs_notify_is_stored (n));
  if (_i == 0) { /* dropped without a word */
    close (probe.fd);
    close (barrier.fd);
    ck_assert (!look (n) && !lunfs_notify_is_stored (n));
  } else {
    close (barrier.fd);
    ck_assert (look (n) && lunfs_notify_is_stored (n));
    ck_assert (!look (n));
    if (_i == 1)
      close (probe.fd); /* dropped later */
    else
      lunfs_notify_store_clear (n, lunfs_stored_names);
    ck_assert (look (n) == (_i == 1));
    ck_assert (!lunfs_notify_is_stored (n));
  }
  lunfs_notify_free (n);
  close (sock);
}
END_TEST

START_TEST (test_notify_watchdog)
{
  g_autofree char *pid = g_strdup_printf ("%d", getpid ());
  static const struct {
    const char *usec, *pid;
    int64_t want;
  } rows[] = { { "30000000", NULL, 30000000 },
               { "30000000", "1", 0 },
               { "x", NULL, 0 },
               { "0", NULL, 0 },
               { "5", "", 0 },
               { NULL, NULL, 0 },
               { "7", "own", 7 } };
  int sock = manager_new ();
  LunfsNotify *n;

  if (rows[_i].usec)
    g_setenv ("WATCHDOG_USEC", rows[_i].usec, TRUE);
  if (rows[_i].pid)
    g_setenv ("WATCHDOG_PID", strcmp (rows[_i].pid, "own") == 0 ? pid : rows[_i].pid, TRUE);
  n = lunfs_notify_new ();
  ck_assert_int_eq (lunfs_notify_watchdog_us (n), rows[_i].want);
  lunfs_notify_free (n);
  close (sock);
}
END_TEST

/* Nobody there: nothing is sent, nothing is believed to be stored. */
START_TEST (test_notify_none)
{
  static const char *const sockets[] = { NULL, "", "/", "relative", "/nonexistent/socket" };
  LunfsNotify *n;

  g_unsetenv ("NOTIFY_SOCKET");
  if (sockets[_i])
    g_setenv ("NOTIFY_SOCKET", sockets[_i], TRUE);
  n = lunfs_notify_new ();
  lunfs_notify_say (n, "READY=1");
  lunfs_notify_store (n, "x", 0, true);
  lunfs_notify_store_done (n);
  ck_assert (!look (n) && !lunfs_notify_is_stored (n));
  lunfs_notify_store_clear (n, lunfs_stored_names);
  lunfs_notify_free (n);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("stored");
  TCase *tc = tcase_create ("stored");

  tcase_set_timeout (tc, 60);
  tcase_add_test (tc, test_same_settings);
  tcase_add_test (tc, test_new_settings_count);
  tcase_add_test (tc, test_fixed_settings_stay);
  tcase_add_test (tc, test_take);
  tcase_add_test (tc, test_dirty);
  tcase_add_test (tc, test_adopt);
  tcase_add_test (tc, test_sole_waits);
  tcase_add_test (tc, test_sole_kills);
  tcase_add_loop_test (tc, test_notify_store, 0, 3);
  tcase_add_loop_test (tc, test_notify_watchdog, 0, 7);
  tcase_add_loop_test (tc, test_notify_none, 0, 5);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
