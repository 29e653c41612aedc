/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records in the format of open-iscsi's idbm, as iscsiadm writes them (its README, "man iscsiadm", iscsid.conf). */
#include "control/import.h"

#include "control/keyfile.h"
#include "lunfs/error.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IQN "iqn.2003-01.org.example:storage.disk1"
#define NODE                                                                                                           \
  "# BEGIN RECORD 2.1.8\nnode.name = " IQN "\nnode.tpgt = 1\nnode.startup = manual\niface.iscsi_ifacename = default\n" \
  "iface.transport_name = tcp\niface.ipaddress = <empty>\nnode.discovery_type = send_targets\n"                        \
  "node.session.auth.authmethod = None\nnode.session.queue_depth = 32\nnode.session.nr_sessions = 1\n"                 \
  "node.session.timeo.replacement_timeout = 120\nnode.session.auth.chap_algs = MD5\n"                                  \
  "node.conn[0].address = 192.0.2.1\nnode.conn[0].port = 3260\nnode.conn[0].timeo.login_timeout = 15\n"                \
  "node.conn[0].iscsi.HeaderDigest = None\nnode.conn[0].iscsi.DataDigest = None\n"
#define END "# END RECORD\n"

static char *dir;

static void
setup (void)
{
  dir = g_dir_make_tmp ("lunfs-XXXXXX", NULL);
}

static void
teardown (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", dir);
  ck_assert_int_eq (system (command), 0);
  g_free (dir);
}

static void
put (const char *path, const char *text)
{
  g_autofree char *full = g_build_filename (dir, path, NULL);
  g_autofree char *parent = g_path_get_dirname (full);

  ck_assert_int_eq (g_mkdir_with_parents (parent, 0700), 0);
  ck_assert (g_file_set_contents (full, text, -1, NULL));
}

/* Whatever comes out is a lunfs.conf, of which every group can be used. */
static void
is_key_file (const char *text)
{
  g_autofree char *path = g_build_filename (dir, "out.conf", NULL);
  g_autoptr (GError) error = NULL;

  ck_assert (g_file_set_contents (path, text, -1, NULL));
  g_chmod (path, 0600);
  g_autoptr (LunfsKeyfile) file = lunfs_keyfile_load (path, &error);
  ck_assert_msg (file != NULL, "%s in\n%s", error ? error->message : "", text);
  for (char **name = lunfs_keyfile_names (file); *name; name++) {
    LunfsOptionState state = { .settings = lunfs_settings_new (), .credentials_fd = -1 };
    LunfsKeyTarget target = { 0 };

    ck_assert_msg (lunfs_keyfile_apply (file, *name, &state, &target, &error), "%s in\n%s", error ? error->message : "",
                   text);
    lunfs_key_target_clear (&target);
    lunfs_settings_free (state.settings);
    g_free (state.credentials_path);
  }
}

static char *
import (const LunfsImportConf *conf, GPtrArray *secrets)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsNodeDb) db = lunfs_nodedb_read (dir, &error);
  char *text;

  ck_assert_msg (db != NULL, "%s", error ? error->message : "");
  text = lunfs_import_text (db, conf, secrets);
  is_key_file (text);
  return text;
}

/* What a record says besides NODE -> what is there, and what is not. */
static const struct {
  const char *more, *has, *lacks;
} records[] = {
  { "", "[storage.disk1]\ntarget=" IQN "\nportal=192.0.2.1:3260\n#mountpoint=/srv/storage.disk1\n", "warning" },
  { "", "[defaults]\n\n", "_timeout" },
  { "node.startup = automatic\n", "startup=automatic", "warning" },
  { "node.startup = onboot\n", "startup=automatic", "warning" },
  { "node.conn[0].address = 2001:db8::1\nnode.conn[0].port = 3261\n", "portal=[2001:db8::1]:3261\n", "warning" },
  { "node.conn[0].address = san.example\n", "portal=san.example:3260\n", "warning" },
  { "node.conn[0].address = <empty>\n", "# warning: nodes/x/y is left out: node.conn[0].address", "[storage" },
  { "node.conn[0].port = 99999\n", "# warning: nodes/x/y is left out: node.conn[0].address", "[storage" },
  { "node.name = disk one\n", "# warning: nodes/x/y is left out: node.name is not", "[disk" },
  { "node.session.timeo.replacement_timeout = 0\n", "\nreplacement_timeout=0\n", "warning" },
  { "node.session.timeo.replacement_timeout = -1\n", "\nreplacement_timeout=-1\n", "warning" },
  { "node.conn[0].timeo.login_timeout = 30\n", "\nlogin_timeout=30\n", "warning" },
  { "node.conn[0].timeo.logout_timeout = 9\n", "\nlogout_timeout=9\n", "warning" },
  { "node.conn[0].timeo.noop_out_interval = 0\nnode.conn[0].timeo.noop_out_timeout = 7\n",
    "\nnoop_out_interval=0\nnoop_out_timeout=7\n", "warning" },
  { "node.conn[0].timeo.login_timeout = 0\n", "# warning: node.conn[0].timeo.login_timeout is left out: option login",
    "\nlogin_timeout" },
  { "node.session.queue_depth = 64\n", "\nqueue_depth=64\n", "warning" },
  { "node.session.queue_depth = 1024\n", "# warning: node.session.queue_depth is left out", "\nqueue_depth" },
  { "node.conn[0].iscsi.HeaderDigest = CRC32C,None\n", "\nheader_digest=crc32c\n", "warning" },
  { "node.conn[0].iscsi.HeaderDigest = None,CRC32C\n", "[storage", "header_digest" },
  { "node.conn[0].iscsi.DataDigest = CRC32C\n", "# warning: nodes/x/y: data digests", "header_digest" },
  { "node.session.nr_sessions = 4\n", "# warning: nodes/x/y: 4 sessions", NULL },
  { "iface.transport_name = iser\n", "# warning: nodes/x/y: transport iser", NULL },
  { "iface.net_ifacename = eth1\n", "# warning: nodes/x/y: bound to an interface (iface.net_ifacename = eth1)", NULL },
  { "iface.initiatorname = iqn.2026-01.org.example:other\n", "\ninitiator_name=iqn.2026-01.org.example:other\n",
    "warning" },
  { "node.session.auth.authmethod = CHAP\nnode.session.auth.username = joe\nnode.session.auth.password = "
    "hunter2hunter2\n",
    "# warning: it needs CHAP: import with --credentials-dir", "hunter2" },
  { "node.session.auth.username = joe\nnode.session.auth.password = hunter2hunter2\n", "[storage", "warning" },
  { "node.session.auth.chap_algs = SHA3-256,SHA256\n", "# warning: nodes/x/y: CHAP with SHA3-256,SHA256", NULL },
};

START_TEST (test_record)
{
  g_autofree char *record = g_strconcat (NODE, records[_i].more, END, NULL);
  LunfsImportConf conf = { 0 };
  put ("nodes/x/y", record);
  g_autofree char *text = import (&conf, NULL);

  ck_assert_msg (strstr (text, records[_i].has) != NULL, "no '%s' in\n%s", records[_i].has, text);
  if (records[_i].lacks)
    ck_assert_msg (strstr (text, records[_i].lacks) == NULL, "'%s' in\n%s", records[_i].lacks, text);
}
END_TEST

/* Both depths, several portals and interfaces, the same last part of two names, defaults, discovery. */
START_TEST (test_database)
{
  LunfsImportConf conf = { .mountpoint_dir = "/srv/a\\b" };
  put ("nodes/" IQN "/192.0.2.1,3260,1/default", NODE END);
  put ("nodes/" IQN "/192.0.2.1,3260,1/iface1", NODE "iface.net_ifacename = eth1\n" END);
  put ("nodes/" IQN "/192.0.2.2,3260,1/default", NODE "node.conn[0].address = 192.0.2.2\n" END);
  put ("nodes/iqn.2004-01.org.example:storage.disk1/192.0.2.3,3260,1",
       NODE "node.name = iqn.2004-01.org.example:storage.disk1\nnode.conn[0].address = 192.0.2.3\n" END);
  put ("send_targets/192.0.2.1,3260/st_config",
       "discovery.startup = manual\ndiscovery.type = sendtargets\ndiscovery.sendtargets.address = 192.0.2.1\n"
       "discovery.sendtargets.port = 3260\ndiscovery.sendtargets.auth.authmethod = None\n");
  put ("isns/192.0.2.9,3205/isns_config", "discovery.type = isns\n");
  put ("iscsid.conf", "# a comment\nnode.startup = automatic\nnode.session.timeo.replacement_timeout = 60\n");
  g_autofree char *text = import (&conf, NULL);

  ck_assert_str_eq (
      text,
      "# Made by lunfsctl import; see lunfs.conf(5).\n"
      "# warning: isns/192.0.2.9,3205: this kind of discovery is not imported\n"
      "\n[defaults]\nreplacement_timeout=60\n"
      "\n# nodes/" IQN "/192.0.2.1,3260,1/default\n"
      "# warning: nodes/" IQN
      "/192.0.2.1,3260,1/iface1: bound to an interface (iface.net_ifacename = eth1); lunfs takes the route that the "
      "kernel has\n"
      "[storage.disk1]\ntarget=" IQN
      "\nportal=192.0.2.1:3260 192.0.2.2:3260\nreplacement_timeout=120\nmountpoint=/srv/a\\\\b/storage.disk1\n"
      "\n# nodes/iqn.2004-01.org.example:storage.disk1/192.0.2.3,3260,1\n"
      "[storage.disk1-2]\ntarget=iqn.2004-01.org.example:storage.disk1\nportal=192.0.2.3:3260\nreplacement_timeout="
      "120\n"
      "mountpoint=/srv/a\\\\b/storage.disk1-2\n"
      "\n# send_targets/192.0.2.1,3260/st_config: whatever this portal offers\n"
      "[all-of-192.0.2.1]\nportal=192.0.2.1:3260\n");
}
END_TEST

START_TEST (test_secrets)
{
  g_autofree char *credentials = g_build_filename (dir, "cred", NULL);
  LunfsImportConf conf = { .credentials_dir = credentials };
  g_autoptr (GPtrArray) secrets = lunfs_import_secrets_new ();
  put ("nodes/x/y", NODE "node.session.auth.authmethod = CHAP\nnode.session.auth.username = joe\n"
                         "node.session.auth.password = a = b # c\nnode.session.auth.username_in = san\n"
                         "node.session.auth.password_in = other-secret\n");
  put ("send_targets/192.0.2.1,3260",
       "discovery.sendtargets.address = 192.0.2.1\ndiscovery.sendtargets.auth.authmethod = CHAP\n"
       "discovery.sendtargets.auth.username = joe\n");
  g_autofree char *text = import (&conf, secrets);

  ck_assert_uint_eq (secrets->len, 2);
  const LunfsImportSecret *node = secrets->pdata[0], *portal = secrets->pdata[1];
  ck_assert (g_str_has_suffix (node->path, "/cred/storage.disk1.cred"));
  ck_assert_str_eq (node->text, "user=joe\npassword=a = b # c\ntarget_user=san\ntarget_password=other-secret\n");
  ck_assert_str_eq (portal->text, "user=joe\n");
  ck_assert_ptr_nonnull (strstr (text, node->path));
  ck_assert_ptr_nonnull (strstr (text, "CHAP without password"));
  ck_assert_ptr_null (strstr (text, "other-secret"));
}
END_TEST

START_TEST (test_many_portals)
{
  LunfsImportConf conf = { 0 };
  for (int i = 1; i <= 9; i++) {
    g_autofree char *path = g_strdup_printf ("nodes/" IQN "/192.0.2.%d,3260,1", i);
    g_autofree char *record = g_strdup_printf (NODE "node.conn[0].address = 192.0.2.%d\n", i);
    put (path, record);
  }
  g_autofree char *text = import (&conf, NULL);
  ck_assert_ptr_nonnull (strstr (text, "192.0.2.9,3260,1 is left out: more than 8 portals"));
  ck_assert_ptr_nonnull (strstr (text, " 192.0.2.8:3260\n"));
}
END_TEST

/* Whatever files are called and hold: nothing of it is a line of its own, or no text. */
START_TEST (test_hostile)
{
  LunfsImportConf conf = { 0 };
  g_autofree char *large = g_strnfill (2 << 20, '#');
  g_autofree char *fifo = g_build_filename (dir, "nodes", "x", "fifo", NULL);
  put ("nodes/x/\n[evil]\nportal=h", NODE "iface.net_ifacename = \xff\n");
  put ("nodes/\xff/y", "node.name = z\n");
  put ("nodes/x/large", large);
  put ("nodes/x/empty", "");
  ck_assert_int_eq (mkfifo (fifo, 0600), 0);
  g_autofree char *text = import (&conf, NULL);

  ck_assert (g_utf8_validate (text, -1, NULL));
  ck_assert_ptr_null (strstr (text, "\n[evil]"));
  ck_assert_ptr_nonnull (strstr (text, "\n[storage.disk1]"));
  ck_assert_ptr_nonnull (
      strstr (text, "# warning: nodes/x/large cannot be read: not a regular file of at most 1024 KiB\n"));
  ck_assert_ptr_nonnull (strstr (text, "# warning: nodes/x/fifo cannot be read: not a regular file"));
}
END_TEST

START_TEST (test_nothing)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (lunfs_nodedb_read (dir, &error));
  ck_assert_int_eq (error->code, LUNFS_EXIT_USAGE);
  ck_assert_ptr_nonnull (strstr (error->message, "no database of open-iscsi"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("import");
  TCase *tc = tcase_create ("import");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_record, 0, G_N_ELEMENTS (records));
  tcase_add_test (tc, test_database);
  tcase_add_test (tc, test_secrets);
  tcase_add_test (tc, test_many_portals);
  tcase_add_test (tc, test_hostile);
  tcase_add_test (tc, test_nothing);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
