/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options-line.h"

#include "control/option_table.h"
#include "control/option_value.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAN "iscsi://san/iqn.2026-01.org.example:t1"

static void
write_cred (const char *text, int mode)
{
  g_autofree char *path = in_dir ("cred");
  ck_assert (g_file_set_contents (path, text, -1, NULL));
  g_chmod (path, mode);
}

static void
setup (void)
{
  static const char *const env[] = { "LIBISCSI_CHAP_USERNAME", "LIBISCSI_CHAP_PASSWORD",
                                     "LIBISCSI_CHAP_TARGET_USERNAME", "LIBISCSI_CHAP_TARGET_PASSWORD" };
  for (size_t i = 0; i < G_N_ELEMENTS (env); i++)
    g_unsetenv (env[i]);
  make_dir ();
  g_autofree char *file = in_dir ("file");
  ck_assert (g_file_set_contents (file, "", 0, NULL));
  write_cred ("user=filejoe\npassword=filesecret12\n", 0600);
}

static const struct {
  const char *line;
  LunfsExit status;
  const char *says;
} wrong[] = {
  { "lunfs", LUNFS_EXIT_USAGE, "SOURCE and MOUNTPOINT are missing" },
  { "lunfs " SAN, LUNFS_EXIT_USAGE, "MOUNTPOINT is missing" },
  { "lunfs " SAN " @ x", LUNFS_EXIT_USAGE, "more than two" },
  { "lunfs nonsense @", LUNFS_EXIT_USAGE, "expected iscsi://" },
  { "lunfs " SAN " @ -o", LUNFS_EXIT_USAGE, "-o needs" },
  { "lunfs " SAN " @ -x", LUNFS_EXIT_USAGE, "unknown option '-x'" },
  { "lunfs " SAN " @ --replacment-timeout=3", LUNFS_EXIT_USAGE, "did you mean 'replacement_timeout'" },
  { "lunfs " SAN " @ -o alow_other", LUNFS_EXIT_USAGE, "did you mean 'allow_other'" },
  { "lunfs " SAN " @ -o zzzzzzzzzz=hunter2", LUNFS_EXIT_USAGE, "unknown option 'zzzzzzzzzz'; lunfs --help" },
  { "lunfs " SAN " @ -o lanes", LUNFS_EXIT_USAGE, "option lanes needs a value: lanes=N" },
  { "lunfs " SAN " @ -o lanes=", LUNFS_EXIT_USAGE, "option lanes needs a value" },
  { "lunfs " SAN " @ --lanes", LUNFS_EXIT_USAGE, "option lanes needs a value" },
  { "lunfs " SAN " @ -o ro=1", LUNFS_EXIT_USAGE, "option ro takes no value" },
  { "lunfs " SAN " @ -o queue_depth=129", LUNFS_EXIT_USAGE,
    "option queue_depth: '129' is not a whole number from 1 to 128" },
  { "lunfs " SAN " @ -o replacement_timeout=-2", LUNFS_EXIT_USAGE, "from -1 to" },
  { "lunfs " SAN " @ -o login_timeout=5s", LUNFS_EXIT_USAGE, "'5s'" },
  { "lunfs " SAN " @ -o buffer_size=1", LUNFS_EXIT_USAGE, "option buffer_size: '1' is not a size from 8.0" },
  { "lunfs " SAN " @ -o buffer_size=99999999999999G", LUNFS_EXIT_USAGE, "is not a size" },
  { "lunfs " SAN " @ -o unstable_size=64M", LUNFS_EXIT_USAGE, "unknown option 'unstable_size'" },
  { "lunfs " SAN " @ -o cache=write", LUNFS_EXIT_USAGE, "not one of writeback, writethrough, none, page" },
  { "lunfs " SAN " @ -o cache", LUNFS_EXIT_USAGE, "option cache needs a value: cache=writeback|writethrough" },
  { "lunfs " SAN " @ -o crash_recovery=none", LUNFS_EXIT_USAGE, "not one of auto, resend, inbox" },
  { "lunfs " SAN " @ -o crash_recovery", LUNFS_EXIT_USAGE, "needs a value: crash_recovery=auto|resend|inbox" },
  { "lunfs " SAN " @ -o cache_size=8191K", LUNFS_EXIT_USAGE, "option cache_size: '8191K' is not a size from 8.0" },
  { "lunfs " SAN " @ -o cache_size=65G", LUNFS_EXIT_USAGE, "is not a size" },
  { "lunfs " SAN " @ -o cache_max_dirty=0", LUNFS_EXIT_USAGE, "option cache_max_dirty: '0' is not a size from 1.0" },
  { "lunfs " SAN " @ -o cache_max_dirty=98305K", LUNFS_EXIT_USAGE,
    "option cache_max_dirty: at most 3/4 of cache_size, here 96.0" },
  { "lunfs " SAN " @ -o cache_max_dirty=7M,cache_size=8M", LUNFS_EXIT_USAGE, "at most 3/4 of cache_size, here 6.0" },
  { "lunfs " SAN " @ -o cache_write_delay=60001", LUNFS_EXIT_USAGE,
    "option cache_write_delay: '60001' is not a whole number from 0 to 60000" },
  { "lunfs " SAN " @ -o cache_write_delay=5ms", LUNFS_EXIT_USAGE, "'5ms'" },
  { "lunfs " SAN " @ -o read_ahead=257M,cache_size=1G", LUNFS_EXIT_USAGE, "is not a size from 0" },
  { "lunfs " SAN " @ -o read_ahead=65M", LUNFS_EXIT_USAGE, "option read_ahead: at most half of cache_size, here 64.0" },
  { "lunfs " SAN " @ -o read_ahead=8M,cache_size=8M", LUNFS_EXIT_USAGE, "at most half of cache_size, here 4.0" },
  { "lunfs " SAN " @ -o umask=8", LUNFS_EXIT_USAGE, "octal" },
  { "lunfs " SAN " @ -o uid=no_such_user", LUNFS_EXIT_USAGE, "there is no user" },
  { "lunfs " SAN " @ -o gid=no_such_group", LUNFS_EXIT_USAGE, "there is no group" },
  { "lunfs " SAN " @ -o header_digest=md5", LUNFS_EXIT_USAGE, "not one of none, crc32c" },
  { "lunfs " SAN " @ -o log=sylog", LUNFS_EXIT_USAGE, "not stderr, syslog or a path" },
  { "lunfs " SAN " @ -o log_level=loud", LUNFS_EXIT_USAGE, "not one of error" },
  { "lunfs " SAN " @ --debug=nonsense", LUNFS_EXIT_USAGE, "not a list of" },
  { "lunfs " SAN " @ -o initiator_name=me", LUNFS_EXIT_USAGE, "not an iSCSI name" },
  { "lunfs " SAN " @ -o allow_other,allow_root", LUNFS_EXIT_USAGE, "only one of allow_other" },
  { "lunfs " SAN " @ -o remount,rw", LUNFS_EXIT_USAGE, "cannot be remounted" },
  { "lunfs " SAN " @ -o auto_unmount", LUNFS_EXIT_USAGE, "not needed" },
  { "lunfs " SAN " @ -o password=hunter2", LUNFS_EXIT_USAGE, "credentials=FILE" },
  { "lunfs " SAN " @ -o target-password=hunter2", LUNFS_EXIT_USAGE, "credentials=FILE" },
  { "lunfs " SAN " @ --password hunter2", LUNFS_EXIT_USAGE, "credentials=FILE" },
  { "lunfs " SAN " @ -o user=joe", LUNFS_EXIT_USAGE, "no password" },
  { "lunfs " SAN " @ -o target_user=x", LUNFS_EXIT_USAGE, "mutual CHAP" },
  { "lunfs " SAN " @ -o credentials=cred,target_user=x", LUNFS_EXIT_USAGE, "no target_password" },
  { "lunfs " SAN " @ -o credentials=nothing", LUNFS_EXIT_USAGE, "No such file" },
  { "lunfs " SAN " @ -o credentials=cred,password_stdin", LUNFS_EXIT_USAGE, "only one of credentials" },
  { "lunfs " SAN " @ -o credentials_fd=999", LUNFS_EXIT_ACCESS, "descriptor 999" },
  { "lunfs " SAN " nothing", LUNFS_EXIT_USAGE, "No such file" },
  { "lunfs " SAN " file", LUNFS_EXIT_USAGE, "must name one LUN" },
  { "lunfs " SAN "/0 /dev/null", LUNFS_EXIT_USAGE, "neither a directory nor a regular file" },
  { "lunfs " SAN " /dev/fd/999", LUNFS_EXIT_USAGE, "not an open descriptor" },
  { "lunfs " SAN " /dev/fd/x", LUNFS_EXIT_USAGE, "not an open descriptor" },
  { "lunfs " SAN " /dev/fd/0", LUNFS_EXIT_USAGE, "not a descriptor of /dev/fuse" },
};

START_TEST (test_wrong)
{
  g_autoptr (GError) error = NULL;
  int null = open ("/dev/null", O_RDONLY);
  dup2 (null, 0);
  g_autoptr (LunfsSettings) s = parse (wrong[_i].line, &error);
  ck_assert_msg (s == NULL, "%s", wrong[_i].line);
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (strstr (error->message, wrong[_i].says) != NULL, "%s: %s", wrong[_i].line, error->message);
  ck_assert_int_eq (error->code, wrong[_i].status);
  ck_assert_ptr_null (strstr (error->message, "hunter2"));
  close (null);
}
END_TEST

START_TEST (test_defaults)
{
  g_autoptr (LunfsSettings) s = parsed ("lunfs " SAN " @");
  ck_assert_str_eq (s->source.host, "san");
  ck_assert_str_eq (s->source_text, SAN);
  ck_assert_str_eq (s->mountpoint, dir);
  ck_assert (!s->mount_is_file);
  ck_assert (g_str_has_prefix (s->initiator_name, "iqn."));
  ck_assert_ptr_null (s->user);
  ck_assert_ptr_null (s->log_target);
  ck_assert_uint_eq (s->uid, getuid ());
  ck_assert (!s->foreground && !s->read_only && s->mlock);
}
END_TEST

START_TEST (test_cache)
{
  static const char *const words[] = { "writeback", "writethrough", "none", "page" };
  for (int i = 0; i < (int) G_N_ELEMENTS (words); i++) {
    g_autofree char *line = g_strdup_printf ("lunfs " SAN " @ --cache=%s", words[i]);
    g_autoptr (LunfsSettings) s = parsed (line);
    ck_assert_int_eq ((int) s->cache, LUNFS_CACHE_WRITEBACK + i);
  }
  g_autoptr (LunfsSettings) s = parsed ("lunfs " SAN " @ --cache-size 1G --cache-max-dirty=768M --cache-write-delay=0 "
                                        "-o read_ahead=256M");
  ck_assert_uint_eq (s->cache_size, 1 << 30);
  ck_assert_uint_eq (s->cache_max_dirty, 768 << 20);
  ck_assert_uint_eq (lunfs_settings_max_dirty (s), 768 << 20);
  ck_assert_int_eq (s->cache_write_delay_ms, 0);
  ck_assert_uint_eq (s->read_ahead, 256 << 20);
}
END_TEST

START_TEST (test_crash_recovery)
{
  static const char *const words[] = { "auto", "resend", "inbox" };

  g_autoptr (LunfsSettings) unset = parsed ("lunfs " SAN " @");
  ck_assert_int_eq ((int) unset->crash_recovery, LUNFS_RECOVERY_AUTO);
  for (int i = 0; i < (int) G_N_ELEMENTS (words); i++) {
    g_autofree char *line = g_strdup_printf ("lunfs " SAN " @ -o crash-recovery=%s", words[i]);
    g_autoptr (LunfsSettings) s = parsed (line);
    ck_assert_int_eq ((int) s->crash_recovery, LUNFS_RECOVERY_AUTO + i);
  }
}
END_TEST

/* Defaults follow cache_size, in whichever order the options come. */
START_TEST (test_cache_defaults)
{
  g_autoptr (LunfsSettings) s = parsed ("lunfs " SAN " @");
  ck_assert_int_eq ((int) s->cache, LUNFS_CACHE_WRITEBACK);
  ck_assert_uint_eq (s->cache_size, 128 << 20);
  ck_assert_uint_eq (s->cache_max_dirty, 0);
  ck_assert_int_eq (s->cache_write_delay_ms, 5);
  ck_assert_uint_eq (s->read_ahead, 8 << 20);
  g_autoptr (LunfsSettings) least = parsed ("lunfs " SAN " @ -o cache_size=8M");
  ck_assert_uint_eq (lunfs_settings_max_dirty (least), 4 << 20);
  ck_assert_uint_eq (least->read_ahead, 4 << 20);
  g_autoptr (LunfsSettings) edge = parsed ("lunfs " SAN " @ -o read_ahead=4M,cache_max_dirty=6M,cache_size=8M");
  ck_assert_uint_eq (edge->read_ahead, 4 << 20);
  ck_assert_uint_eq (edge->cache_max_dirty, 6 << 20);
  g_autoptr (LunfsSettings) off = parsed ("lunfs " SAN " @ -o read_ahead=0");
  ck_assert_uint_eq (off->read_ahead, 0);
}
END_TEST

/* The same by -o after the positionals (mount.fuse3), by long options, and by long options with '_'. */
START_TEST (test_spellings)
{
  static const char *const lines[] = {
    "lunfs " SAN " @ -o replacement_timeout=-1,queue_depth=7,buffer_size=16M,ro,umask=027,no_mlock,uid=5,allow_other",
    "lunfs -oreplacement-timeout=-1,,queue-depth=7 " SAN " -o buffer-size=16384K,read-only,umask=027, @ "
    "-o no-mlock,uid=5 -o allow-other",
    "lunfs --replacement-timeout -1 --queue-depth=7 --buffer-size 16MiB -r --umask 27 " SAN " --no-mlock --uid=5 "
    "--allow-other -- @",
    "lunfs --replacement_timeout=-1 --queue_depth 7 --buffer_size=16777216 --rw --ro --umask=0027 --no_mlock --uid 5 "
    "--allow_other " SAN " @",
  };
  g_autoptr (LunfsSettings) s = parsed (lines[_i]);
  ck_assert_int_eq (s->replacement_timeout, -1);
  ck_assert_int_eq (s->queue_depth, 7);
  ck_assert_uint_eq (s->buffer_size, 16 << 20);
  ck_assert (s->read_only && !s->mlock && s->allow_other);
  ck_assert_uint_eq (s->umask, 027);
  ck_assert_uint_eq (s->uid, 5);
}
END_TEST

START_TEST (test_letters)
{
  g_autoptr (LunfsSettings) s = parsed ("lunfs -fsr " SAN " @ -o lanes=4");
  ck_assert (s->foreground && s->single_thread && s->read_only);
  ck_assert_int_eq (s->lanes, 1);
  ck_assert_uint_eq (s->debug_mask, 0);
  g_autoptr (LunfsSettings) d = parsed ("lunfs -d " SAN " @");
  ck_assert (d->foreground);
  ck_assert_uint_eq (d->debug_mask, LUNFS_DBG_ALL);
  g_autoptr (LunfsSettings) o = parsed ("lunfs " SAN " @ -o debug=cache:lun");
  ck_assert (!o->foreground);
  ck_assert_uint_eq (o->debug_mask, LUNFS_DBG_CACHE | LUNFS_DBG_LUN);
}
END_TEST

START_TEST (test_mount_words)
{
  g_autoptr (LunfsSettings) s
      = parsed ("lunfs " SAN " @ -o rw,nosuid,dev,noexec,context=\"a:b:s0:c1,c2\",auto,noauto,user,nouser,users,_netdev,"
                "nofail,defaults,owner,group,x-systemd.requires=network.target,X-mount.mkdir,comment=hi,fsname=a,"
                "subtype=b,default_permissions,relatime,fscontext=a\\,b");
  static const char *const kept[] = { "nosuid", "dev", "noexec", "context=\"a:b:s0:c1,c2\"", "fscontext=a,b" };
  ck_assert_uint_eq (s->mount_options->len, G_N_ELEMENTS (kept));
  for (size_t i = 0; i < G_N_ELEMENTS (kept); i++)
    ck_assert_str_eq (g_ptr_array_index (s->mount_options, i), kept[i]);
  ck_assert_ptr_null (s->user);
}
END_TEST

START_TEST (test_file_and_paths)
{
  g_autoptr (LunfsSettings) s = parsed ("lunfs " SAN "/3 ./file -o log=./x.log,pidfile=p,state_dir=d");
  g_autofree char *file = in_dir ("file");
  g_autofree char *log = in_dir ("x.log");
  g_autofree char *pidfile = in_dir ("p");
  g_autofree char *state_dir = in_dir ("d");
  ck_assert (s->mount_is_file);
  ck_assert_str_eq (s->mountpoint, file);
  ck_assert_str_eq (s->log_target, log);
  ck_assert_str_eq (s->pidfile, pidfile);
  ck_assert_str_eq (s->state_dir, state_dir);
}
END_TEST

START_TEST (test_dev_fd)
{
  int fd = open ("/dev/fuse", O_RDWR);
  if (fd < 0)
    return; /* not here; the functional tests have it */
  g_autofree char *line = g_strdup_printf ("lunfs " SAN " /dev/fd/%d", fd);
  g_autoptr (LunfsSettings) s = parsed (line);
  ck_assert (g_str_has_prefix (s->mountpoint, "/dev/fd/"));
  close (fd);
}
END_TEST

static void
same_login (const LunfsSettings *s, const char *user, const char *password, const char *tuser, const char *tpassword)
{
  ck_assert_pstr_eq (s->user, user);
  ck_assert_pstr_eq (s->password, password);
  ck_assert_pstr_eq (s->target_user, tuser);
  ck_assert_pstr_eq (s->target_password, tpassword);
}

START_TEST (test_login)
{
  g_autoptr (LunfsSettings) file = parsed ("lunfs " SAN " @ -o credentials=cred");
  same_login (file, "filejoe", "filesecret12", NULL, NULL);
  g_autoptr (LunfsSettings) named = parsed ("lunfs " SAN " @ -o credentials=cred,user=joe");
  same_login (named, "joe", "filesecret12", NULL, NULL);
  g_autoptr (LunfsSettings) chap = parsed ("lunfs iscsi://zoe@san @ -o credentials=cred,chap_user=joe");
  same_login (chap, "joe", "filesecret12", NULL, NULL);
  g_autoptr (LunfsSettings) url = parsed ("lunfs iscsi://zoe@san @ -o credentials=cred");
  same_login (url, "zoe", "filesecret12", NULL, NULL);

  g_setenv ("LIBISCSI_CHAP_USERNAME", "env", true);
  g_setenv ("LIBISCSI_CHAP_PASSWORD", "envsecret123", true);
  g_setenv ("LIBISCSI_CHAP_TARGET_USERNAME", "tenv", true);
  g_setenv ("LIBISCSI_CHAP_TARGET_PASSWORD", "tenvsecret123", true);
  g_autoptr (LunfsSettings) env = parsed ("lunfs " SAN " @");
  same_login (env, "env", "envsecret123", "tenv", "tenvsecret123");
  g_autoptr (LunfsSettings) last = parsed ("lunfs " SAN " @ --credentials cred");
  same_login (last, "filejoe", "filesecret12", NULL, NULL);
}
END_TEST

START_TEST (test_mutual)
{
  g_autoptr (GError) error = NULL;
  write_cred ("user=a\npassword=secret123456\ntarget_user=t\ntarget_password=other1234567\n", 0600);
  g_autoptr (LunfsSettings) s = parsed ("lunfs " SAN " @ -o credentials=cred");
  same_login (s, "a", "secret123456", "t", "other1234567");
  write_cred ("user=a\npassword=secret123456\ntarget_user=t\ntarget_password=secret123456\n", 0600);
  ck_assert_ptr_null (parse ("lunfs " SAN " @ -o credentials=cred", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "are the same"));
  g_clear_error (&error);
  write_cred ("target_user=t\ntarget_password=secret123456\n", 0600);
  ck_assert_ptr_null (parse ("lunfs " SAN " @ -o credentials=cred", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "mutual CHAP"));
  g_clear_error (&error);
  write_cred ("user=a\npassword=secret123456\n", 0644);
  ck_assert_ptr_null (parse ("lunfs " SAN " @ -o credentials=cred", &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_ACCESS);
}
END_TEST

START_TEST (test_stdin_and_fd)
{
  int fds[2];
  ck_assert_int_eq (pipe (fds), 0);
  ck_assert_int_eq (write (fds[1], "piped secret\n", 13), 13);
  close (fds[1]);
  dup2 (fds[0], 0);
  g_autoptr (LunfsSettings) s = parsed ("lunfs iscsi://joe@san @ -o password_stdin");
  same_login (s, "joe", "piped secret", NULL, NULL);

  int fd = open ("cred", O_RDONLY);
  g_autofree char *line = g_strdup_printf ("lunfs " SAN " @ -o credentials_fd=%d", fd);
  g_autoptr (LunfsSettings) t = parsed (line);
  same_login (t, "filejoe", "filesecret12", NULL, NULL);
  ck_assert_int_eq (fcntl (fd, F_GETFD), -1);
}
END_TEST

/* Accepted, but it leaves argv and is no part of what others see. */
START_TEST (test_password_in_source)
{
  char *argv[] = { g_strdup ("lunfs"), g_strdup ("iscsi://joe%hunter2hunter2@san/"), g_strdup (dir), NULL };
  LunfsSettings *s = NULL;
  ck_assert_int_eq (lunfs_options_parse (3, argv, &s, NULL), LUNFS_RUN_MOUNT);
  same_login (s, "joe", "hunter2hunter2", NULL, NULL);
  ck_assert_str_eq (s->source_text, "iscsi://joe@san");
  ck_assert_str_eq (argv[1], "iscsi://joe%*@san/");
  lunfs_settings_free (s);
  for (int i = 0; i < 3; i++)
    g_free (argv[i]);
}
END_TEST

START_TEST (test_initiator_is_kept)
{
  g_autoptr (LunfsSettings) a = parsed ("lunfs " SAN " @");
  g_autoptr (LunfsSettings) b = parsed ("lunfs " SAN " @");
  ck_assert_str_eq (a->initiator_name, b->initiator_name);
  g_autoptr (LunfsSettings) c = parsed ("lunfs " SAN " @ --initiator-name iqn.2026-01.org.example:me");
  ck_assert_str_eq (c->initiator_name, "iqn.2026-01.org.example:me");
}
END_TEST

START_TEST (test_help_and_version)
{
  g_autoptr (GError) error = NULL;
  int null = open ("/dev/null", O_WRONLY);
  dup2 (null, 1);
  ck_assert_ptr_null (parse ("lunfs --help", &error));
  ck_assert_ptr_null (parse ("lunfs -V", &error));
  ck_assert_ptr_null (error);
  close (null);
}
END_TEST

START_TEST (test_distance)
{
  ck_assert_uint_eq (lunfs_edit_distance ("", "abc"), 3);
  ck_assert_uint_eq (lunfs_edit_distance ("abc", "abc"), 0);
  ck_assert_uint_eq (lunfs_edit_distance ("abc", "acb"), 1);
  ck_assert_uint_eq (lunfs_edit_distance ("kitten", "sitting"), 3);
}
END_TEST

static char *
source_file (const char *name)
{
  const char *top = g_getenv ("top_srcdir");
  const char *srcdir = top ? top : g_getenv ("srcdir");
  g_autofree char *path = g_build_filename (srcdir ? srcdir : ".", name, NULL);
  char *text = NULL;
  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

static char *page; /* read before the fixtures leave the directory */

/* Every option stands in the manual page as ".BR name" or ".BI name= VALUE". */
START_TEST (test_manual)
{
  ck_assert_msg (page != NULL, "src/lunfs.8 not found: run in the source tree, or set srcdir");
  for (const LunfsOption *o = lunfs_options; o->help; o++) {
    if (!o->name)
      continue;
    g_autofree char *pattern = g_strdup_printf ("\n\\.B[RI]? .*\\b%s\\b", o->name);
    ck_assert_msg (g_regex_match_simple (pattern, page, 0, 0), "option %s is not in lunfs.8", o->name);
    g_autoptr (LunfsSettings) defaults = lunfs_settings_new ();
    const void *at = (char *) defaults + o->offset;
    g_autofree char *text = NULL;
    if (o->kind == LUNFS_OPT_INT)
      text = g_strdup_printf ("%d", *(const int *) at);
    else if (o->kind == LUNFS_OPT_SIZE && *(const uint64_t *) at)
      text = g_strdup_printf ("%" G_GUINT64_FORMAT "M", *(const uint64_t *) at >> 20);
    else
      continue;
    g_autofree char *value = g_strdup_printf ("\n\\.BI %s= [A-Z]+ \" \\(%s\\)\"", o->name, text);
    ck_assert_msg (g_regex_match_simple (value, page, 0, 0), "the default of %s is not in lunfs.8", o->name);
  }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("options");
  TCase *tc = tcase_create ("options");
  page = source_file ("src/lunfs.8");
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_wrong, 0, G_N_ELEMENTS (wrong));
  tcase_add_test (tc, test_defaults);
  tcase_add_test (tc, test_cache);
  tcase_add_test (tc, test_cache_defaults);
  tcase_add_test (tc, test_crash_recovery);
  tcase_add_loop_test (tc, test_spellings, 0, 4);
  tcase_add_test (tc, test_letters);
  tcase_add_test (tc, test_mount_words);
  tcase_add_test (tc, test_file_and_paths);
  tcase_add_test (tc, test_dev_fd);
  tcase_add_test (tc, test_login);
  tcase_add_test (tc, test_mutual);
  tcase_add_test (tc, test_stdin_and_fd);
  tcase_add_test (tc, test_password_in_source);
  tcase_add_test (tc, test_initiator_is_kept);
  tcase_add_test (tc, test_help_and_version);
  tcase_add_test (tc, test_distance);
  tcase_add_test (tc, test_manual);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  g_free (page);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
