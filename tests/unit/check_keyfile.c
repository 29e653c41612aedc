/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/keyfile.h"

#include "control/keylines.h"
#include "control/luns.h"
#include "lunfs/error.h"
#include "options-line.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define T "target=iqn.2026-01.org.example:t1\n"

static void
write_conf (const char *text)
{
  g_autofree char *path = in_dir ("x.conf");
  ck_assert (g_file_set_contents (path, text, -1, NULL));
  g_chmod (path, 0644);
}

static void
setup (void)
{
  make_dir ();
  g_setenv ("HOME", dir, true);
}

/* ---- lines ---- */

static const struct {
  const char *text, *says; /* NULL: fine */
} scans[] = {
  { "", NULL },
  { "# x\n\n  [a]\n  k = v\r\n[b-1.x_y]\nk=", NULL },
  { "[a]\nk=[x]\nl=a=b\n", NULL },
  { "k=v\n[a]\n", "f:1: k stands before the first group" },
  { "[a]\n\n[a]\n", "f:3: [a] is in line 1 already" },
  { "[a]\nk=1\n#\nk=2\n", "f:4: k is in line 2 already" },
  { "[a]\nk=1\n[b]\nk=1\n", NULL },
  { "[a]\nnonsense\n", "f:2: neither [NAME] nor key=value" },
  { "[a]\n=v\n", "f:2: what stands before '='" },
  { "[a]\nk k=v\n", "f:2: what stands before '='" },
  { "[a]\nk[de]=v\n", "f:2: what stands before '='" },
  { "[a]\nqueue-depth=1\n", "f:2: unknown key 'queue-depth'; in this file '_'" },
  { "[a\nk=v\n", "f:1: a group is written [NAME]" },
  { "[a] # x\n", "f:1: a group is written [NAME]" },
  { "[]\n", "f:1: []: a name has" },
  { "[a b]\n", "f:1: [a b]: a name has" },
  { "[-a]\n", "f:1: [-a]: a name has" },
  { "[iscsi://san]\n", "f:1: [iscsi://san]: a name has" },
  { "[a]\nk=\xff\n", "f:2: not UTF-8" },
  { "[a]\n\n\xff", "f:3: not UTF-8" },
};

/* As many lines as a file may have: not looked at each by each.  AddressSanitizer's strstr() looks at
 * all that follows each line, though. */
START_TEST (test_scan_many)
{
  const char *sanitizers = g_getenv ("LUNFS_SANITIZERS");
  unsigned nlines = sanitizers && strcmp (sanitizers, "no") != 0 ? 10000 : 120000;
  g_autoptr (GString) text = g_string_new ("[a]\n");
  g_autoptr (GPtrArray) lines = NULL;

  for (unsigned i = 0; i < nlines; i++)
    g_string_append_printf (text, "k%x=\n", i);
  lines = lunfs_keylines_scan (text->str, text->len, "f", NULL);
  ck_assert_uint_eq (lines->len, nlines + 1);
  ck_assert_uint_eq (lunfs_keylines_find (lines, "a", "k1"), 3);
}
END_TEST

START_TEST (test_scan)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) lines = lunfs_keylines_scan (scans[_i].text, strlen (scans[_i].text), "f", &error);

  ck_assert_msg (!lines == (scans[_i].says != NULL), "%s: %s", scans[_i].text, error ? error->message : "no error");
  if (scans[_i].says)
    ck_assert_msg (g_str_has_prefix (error->message, scans[_i].says), "%s", error->message);
}
END_TEST

START_TEST (test_nul)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (lunfs_keylines_scan ("[a]\nk=a\0b\n", 10, "f", &error));
  ck_assert_str_eq (error->message, "f:2: not UTF-8 text");
}
END_TEST

START_TEST (test_lines)
{
  g_autoptr (GPtrArray) lines = lunfs_keylines_scan ("#\n[a]\nx=1\n\n[b]\nx=2\ny=3", 22, "f", NULL);
  ck_assert_uint_eq (lunfs_keylines_find (lines, "a", NULL), 2);
  ck_assert_uint_eq (lunfs_keylines_find (lines, "a", "x"), 3);
  ck_assert_uint_eq (lunfs_keylines_find (lines, "b", "x"), 6);
  ck_assert_uint_eq (lunfs_keylines_find (lines, "b", "y"), 7);
  ck_assert_uint_eq (lunfs_keylines_find (lines, "a", "y"), 0);
}
END_TEST

/* ---- LUN lists ---- */

static const struct {
  const char *list;
  unsigned lun;
  int included; /* -1: no list */
} lists[] = {
  { "1", 1, 1 },    { "1", 0, 0 },         { "0,2-5", 5, 1 },  { "0,2-5", 1, 0 }, { "0:2 4", 4, 1 },
  { " 7,", 7, 1 },  { "0-16383", 999, 1 }, { "", 0, -1 },      { ",", 0, -1 },    { "x", 0, -1 },
  { "5-2", 0, -1 }, { "-1", 0, -1 },       { "16384", 0, -1 }, { "1-", 0, -1 },   { "1;2", 0, -1 },
};

START_TEST (test_luns)
{
  ck_assert_msg (lunfs_luns_check (lists[_i].list, NULL) == (lists[_i].included >= 0), "%s", lists[_i].list);
  if (lists[_i].included >= 0)
    ck_assert_msg (lunfs_luns_include (lists[_i].list, lists[_i].lun) == (lists[_i].included == 1), "%s",
                   lists[_i].list);
  ck_assert (lunfs_luns_include (NULL, 3));
}
END_TEST

/* ---- the file's values, through the command line ---- */

/* Of "[d]\nportal=san\n" and this, as lunfs d: the message; line 3 is the first of these. */
static const struct {
  const char *text, *says;
} wrong[] = {
  { "queue_dept=3\n", "x.conf:3: unknown key 'queue_dept'; did you mean 'queue_depth'?" },
  { "portals=san\n", "x.conf:3: unknown key 'portals'; did you mean 'portal'?" },
  { "zzzzzzzzzzzz=hunter2\n", "x.conf:3: unknown key 'zzzzzzzzzzzz'; lunfs.conf(5)" },
  { "queue_depth=x\n", "x.conf:3: queue_depth: 'x' is not a whole number from 1 to 128" },
  { "#\nqueue_depth=\n", "x.conf:4: queue_depth needs a value: queue_depth=N" },
  { "cache_size=1\n", "x.conf:3: cache_size: '1' is not a size" },
  { "cache=maybe\n", "x.conf:3: cache: 'maybe' is not one of" },
  { "ro=maybe\n", "x.conf:3: ro: 'maybe' is neither true nor false" },
  { "ro=\n", "x.conf:3: ro: '' is neither true nor false" },
  { "target=t1\n", "x.conf:3: target: 't1' is not an iSCSI name" },
  { "target=\n", "x.conf:3: target needs a value" },
  { "lun=-1\n", "x.conf:3: lun: '-1' is not a whole number from 0 to 16383" },
  { "lun=1\n", "x.conf:1: [d]: lun needs target=IQN" },
  { T "lun=1\nluns=1\n", "x.conf:1: [d]: give only one of lun and luns" },
  { "luns=5-2\n", "x.conf:3: luns: '5-2' is not a list of LUNs" },
  { "startup=onboot\n", "x.conf:3: startup: 'onboot' is not one of manual, automatic" },
  { "mountpoint=srv\n", "x.conf:3: mountpoint: 'srv' is not an absolute path" },
  { "credentials=cred\n", "x.conf:3: credentials: 'cred' is not an absolute path" },
  { "pidfile=pid\n", "x.conf:3: pidfile: 'pid' is not an absolute path" },
  { "log=./log\n", "x.conf:3: log: './log' is not an absolute path" },
  { "password=hunter2hunter2\n", "x.conf:3: password: no password stands in this file" },
  { "_netdev=true\n", "x.conf:3: what stands before '=' is no name of a key" },
  { "nofail=true\n", "x.conf:3: nofail is for fstab and mount(8) only" },
  { "password_stdin=true\n", "x.conf:3: password_stdin can only be given on the command line" },
  { "config=/x\n", "x.conf:3: config can only be given on the command line" },
  { "nosuid=what\n", "x.conf:3: nosuid: 'what' is neither true nor false" },
  { "debug=nonsense\n", "x.conf:3: debug: 'nonsense' is not a list" },
  { "initiator_name=a\\qb\n", "x.conf:3: initiator_name: the value cannot be read: a backslash" },
  { "[d]\n", "x.conf:3: [d] is in line 1 already" },
  { "[defaults]\ntarget=iqn.2026-01.org.example:t1\n", "x.conf:4: target belongs to one target" },
  { "[defaults]\nlogin_timeout=5s\n", "x.conf:4: login_timeout: '5s'" },
  { "allow_other=true\nallow_root=true\n", "give only one of allow_other and allow_root" },
  { "user=joe\n", "there is a user name but no password" },
};

START_TEST (test_wrong)
{
  g_autofree char *text = g_strconcat ("[d]\nportal=san\n", wrong[_i].text, NULL);
  g_autoptr (GError) error = NULL;

  write_conf (text);
  ck_assert_ptr_null (parse ("lunfs --config=x.conf d @", &error));
  ck_assert_msg (g_str_has_prefix (error->message, wrong[_i].says), "%s", error->message);
  ck_assert_int_eq (error->code, LUNFS_EXIT_USAGE);
  ck_assert_ptr_null (strstr (error->message, "hunter2"));
}
END_TEST

static const struct {
  const char *portal;
  bool ok;
  const char *host, *others;
  int port;
} portals[] = {
  { "san", true, "san", NULL, 3260 },
  { "san:3261", true, "san", NULL, 3261 },
  { "[2001:db8::1]:99, b  c:5;", true, "2001:db8::1", "b c:5", 99 },
  { "192.0.2.1;192.0.2.2", true, "192.0.2.1", "192.0.2.2", 3260 },
  { "", false, NULL, NULL, 0 },
  { " ; ", false, NULL, NULL, 0 },
  { "joe@san", false, NULL, NULL, 0 },
  { "san/iqn.x", false, NULL, NULL, 0 },
  { "san b:0", false, NULL, NULL, 0 },
  { "a b c d e f g h i", false, NULL, NULL, 0 },
};

START_TEST (test_portals)
{
  g_autofree char *text = g_strconcat ("[d]\nportal=", portals[_i].portal, "\n", NULL);
  g_autoptr (GError) error = NULL;

  write_conf (text);
  g_autoptr (LunfsSettings) s = parse ("lunfs --config x.conf d @", &error);
  ck_assert_msg ((s != NULL) == portals[_i].ok, "%s: %s", text, error ? error->message : "");
  if (!s) {
    ck_assert_msg (g_str_has_prefix (error->message, "x.conf:2: portal"), "%s", error->message);
    return;
  }
  ck_assert_str_eq (s->source.host, portals[_i].host);
  ck_assert_int_eq (s->source.port, portals[_i].port);
  ck_assert_pstr_eq (s->other_portals, portals[_i].others);
  ck_assert_str_eq (s->source_text, "d");
}
END_TEST

static const char *const both = "[defaults]\nportal=san\nlogin_timeout=4\nlogout_timeout=5\ncmd_timeout=6\nro=yes\n"
                                "nosuid=true\nno_mlock=false\nsingle_thread=false\n"
                                "[a]\n" T "logout_timeout=7\ncmd_timeout = 8\nlun=3\nmountpoint=~/mnt\n"
                                "[b]\nportal=other\n" T "ro=false\nluns=1,3\nnoexec=1\ncontext=\"x,y\"\n";

/* Command line, [NAME], [defaults], built in. */
START_TEST (test_precedence)
{
  write_conf (both);
  g_autofree char *mnt = in_dir ("mnt");
  g_mkdir (mnt, 0700);
  g_autoptr (LunfsSettings) a = parsed ("lunfs -o cmd_timeout=9 a --config x.conf");
  ck_assert_str_eq (a->source.host, "san");
  ck_assert_str_eq (a->source.target_name, "iqn.2026-01.org.example:t1");
  ck_assert_int_eq (a->source.lun, 3);
  ck_assert_int_eq (a->noop_out_timeout, 5);
  ck_assert_int_eq (a->login_timeout, 4);
  ck_assert_int_eq (a->logout_timeout, 7);
  ck_assert_int_eq (a->cmd_timeout, 9);
  ck_assert (a->read_only && a->mlock && !a->single_thread);
  ck_assert (g_str_has_suffix (a->mountpoint, "/mnt"));
  ck_assert_uint_eq (a->mount_options->len, 1);

  g_autoptr (LunfsSettings) b = parsed ("lunfs --config x.conf b @");
  ck_assert_str_eq (b->source.host, "other");
  ck_assert_str_eq (b->luns, "1,3");
  ck_assert (!b->read_only);
  ck_assert_uint_eq (b->mount_options->len, 3);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (parse ("lunfs --config x.conf b", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "write mountpoint= into"));
}
END_TEST

/* mount(8) adds rw, which nobody asked for. */
START_TEST (test_rw)
{
  write_conf (both);
  g_autoptr (LunfsSettings) fstab = parsed ("lunfs a @ -o rw,config=x.conf,_netdev");
  ck_assert (fstab->read_only);
  g_autoptr (LunfsSettings) meant = parsed ("lunfs a @ --rw --config x.conf");
  ck_assert (!meant->read_only);
}
END_TEST

START_TEST (test_credentials)
{
  /* GLib looks for it once, and under valgrind the tests share one process. */
  const char *home = g_get_home_dir ();
  g_autofree char *cred = g_build_filename (home, "cred", NULL), *cred2 = in_dir ("cred2");
  g_mkdir_with_parents (home, 0700);
  write_conf ("[a]\nportal=san\ncredentials=~/cred\n");
  g_file_set_contents (cred, "user=a\npassword=one-secret-1\n", -1, NULL);
  g_file_set_contents (cred2, "user=b\npassword=two-secret-2\n", -1, NULL);
  g_chmod (cred, 0600);
  g_chmod (cred2, 0600);
  g_autoptr (LunfsSettings) file = parsed ("lunfs --config x.conf a @");
  ck_assert_str_eq (file->user, "a");
  g_autoptr (LunfsSettings) argv = parsed ("lunfs --config x.conf a @ --credentials cred2");
  ck_assert_str_eq (argv->password, "two-secret-2");
  ck_assert_ptr_nonnull (freopen ("cred2", "r", stdin));
  g_autoptr (LunfsSettings) input = parsed ("lunfs --config x.conf a @ --password-stdin");
  ck_assert_str_eq (input->user, "b");
  g_unlink (cred);
  g_rmdir (home); /* if it is an earlier test's */
}
END_TEST

START_TEST (test_which)
{
  g_autoptr (GError) error = NULL;
  write_conf ("[a]\nportal=san\n[b]\nportal=san\n");
  ck_assert_ptr_null (parse ("lunfs --config=x.conf c @", &error));
  ck_assert_str_eq (error->message, "x.conf has no [c]; it names a, b");
  g_clear_error (&error);
  ck_assert_ptr_null (parse ("lunfs --config=x.conf defaults @", &error));
  ck_assert_str_eq (error->message, "x.conf has no [defaults]; it names a, b");
  g_clear_error (&error);
  ck_assert_ptr_null (parse ("lunfs --config=x.conf iscsi://san @", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "the source is a URL"));
  g_clear_error (&error);
  ck_assert_ptr_null (parse ("lunfs --config=nothing a @", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "nothing, which names targets: No such file"));
  g_clear_error (&error);
  ck_assert_ptr_null (parse ("lunfs --config=x.conf --all a", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "option all"));
  g_clear_error (&error);
  ck_assert_ptr_null (parse ("lunfs --config=x.conf -o all", &error));
  ck_assert_ptr_nonnull (strstr (error->message, "write it as --all"));
}
END_TEST

START_TEST (test_who_can_write)
{
  g_autoptr (GError) error = NULL;
  static const mode_t modes[] = { 0664, 0646 };

  write_conf ("[a]\nportal=san\n");
  for (size_t i = 0; i < G_N_ELEMENTS (modes) && geteuid () == 0; i++) {
    g_chmod ("x.conf", modes[i]);
    ck_assert_ptr_null (parse ("lunfs --config=x.conf a @", &error));
    ck_assert_ptr_nonnull (strstr (error->message, "chmod go-w x.conf"));
    ck_assert_int_eq (error->code, LUNFS_EXIT_ACCESS);
    g_clear_error (&error);
  }
  g_chmod ("x.conf", 0600);
  g_autoptr (LunfsSettings) s = parsed ("lunfs --config=x.conf a @");
  if (geteuid () == 0 && chown ("x.conf", 12345, 0) == 0)
    ck_assert_ptr_null (parse ("lunfs --config=x.conf a @", NULL));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("keyfile");
  TCase *tc = tcase_create ("keyfile");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 30);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_scan, 0, G_N_ELEMENTS (scans));
  tcase_add_test (tc, test_scan_many);
  tcase_add_test (tc, test_nul);
  tcase_add_test (tc, test_lines);
  tcase_add_loop_test (tc, test_luns, 0, G_N_ELEMENTS (lists));
  tcase_add_loop_test (tc, test_wrong, 0, G_N_ELEMENTS (wrong));
  tcase_add_loop_test (tc, test_portals, 0, G_N_ELEMENTS (portals));
  tcase_add_test (tc, test_precedence);
  tcase_add_test (tc, test_rw);
  tcase_add_test (tc, test_credentials);
  tcase_add_test (tc, test_which);
  tcase_add_test (tc, test_who_can_write);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
