/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every field goes to text and back.  A new field that settings.c forgets fails test_every_byte. */
#include "lunfs/settings.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define ODD "a;b\\c\n=\t \xff\xc3\xa4 ,#[x]"

static LunfsSettings *
full (void)
{
  LunfsSettings *s = lunfs_settings_new ();
  s->source.host = g_strdup ("fe80::1%eth0");
  s->source.port = 65535;
  s->source.target_name = g_strdup ("iqn.2026-01.org.example:t1");
  s->source.lun = 7;
  s->source_text = g_strdup (ODD);
  s->mountpoint = g_strdup ("/a b/" ODD);
  s->mount_is_file = true;
  s->other_portals = g_strdup ("b:3261 [::1]");
  s->luns = g_strdup ("1,3-5");
  s->initiator_name = g_strdup ("iqn.2026-01.org.example:me");
  s->user = g_strdup (" joe ");
  s->password = g_strdup (ODD);
  s->target_user = g_strdup ("");
  s->target_password = g_strdup ("\"quoted\"\r");
  s->header_digest = LUNFS_DIGEST_CRC32C;
  int *ints[] = { &s->replacement_timeout, &s->login_timeout, &s->logout_timeout, &s->noop_out_interval,
                  &s->noop_out_timeout,    &s->cmd_timeout,   &s->login_wait,     &s->rescan_interval,
                  &s->stop_timeout,        &s->queue_depth,   &s->max_background, &s->lanes };
  for (int i = 0; i < (int) G_N_ELEMENTS (ints); i++)
    *ints[i] = i - 1;
  s->read_only = true;
  s->buffer_size = UINT64_MAX;
  s->cache = LUNFS_CACHE_PAGE;
  s->cache_size = (UINT64_C (1) << 40) + 1;
  s->cache_max_dirty = (UINT64_C (1) << 40) + 2;
  s->cache_write_delay_ms = 60000;
  s->read_ahead = (UINT64_C (1) << 40) + 3;
  s->uid = UINT32_MAX - 1;
  s->gid = 77;
  s->umask = 0;
  s->allow_other = true;
  s->allow_root = true;
  g_ptr_array_add (s->mount_options, g_strdup ("nosuid"));
  g_ptr_array_add (s->mount_options, g_strdup ("context=\"" ODD "\""));
  s->foreground = true;
  s->single_thread = true;
  s->log_level = 0;
  s->debug_mask = 0xff;
  s->log_target = g_strdup ("/var/log/" ODD);
  s->pidfile = g_strdup ("/run/x.pid");
  s->state_dir = g_strdup ("/var/lib/x");
  s->mlock = false;
  s->crash_recovery = LUNFS_RECOVERY_INBOX;
  return s;
}

static LunfsSettings *
again (const LunfsSettings *s)
{
  g_autofree char *text = lunfs_settings_to_text (s);
  g_autoptr (GError) error = NULL;
  LunfsSettings *copy = lunfs_settings_from_text (text, strlen (text), &error);
  ck_assert_msg (copy != NULL, "%s", error ? error->message : "");
  return copy;
}

static void
same_strings (const LunfsSettings *a, const LunfsSettings *b)
{
  ck_assert_pstr_eq (a->source.host, b->source.host);
  ck_assert_pstr_eq (a->source.target_name, b->source.target_name);
  ck_assert_pstr_eq (a->source_text, b->source_text);
  ck_assert_pstr_eq (a->mountpoint, b->mountpoint);
  ck_assert_pstr_eq (a->initiator_name, b->initiator_name);
  ck_assert_pstr_eq (a->user, b->user);
  ck_assert_pstr_eq (a->password, b->password);
  ck_assert_pstr_eq (a->target_user, b->target_user);
  ck_assert_pstr_eq (a->target_password, b->target_password);
  ck_assert_pstr_eq (a->log_target, b->log_target);
  ck_assert_pstr_eq (a->pidfile, b->pidfile);
  ck_assert_pstr_eq (a->state_dir, b->state_dir);
  ck_assert_uint_eq (a->mount_options->len, b->mount_options->len);
  for (guint i = 0; i < a->mount_options->len; i++)
    ck_assert_str_eq (g_ptr_array_index (a->mount_options, i), g_ptr_array_index (b->mount_options, i));
}

/* All that is not a pointer, compared as bytes: both structs begin zeroed, so padding is equal too. */
static void
same_rest (const LunfsSettings *a, const LunfsSettings *b)
{
  LunfsSettings x, y;
  memcpy (&x, a, sizeof x);
  memcpy (&y, b, sizeof y);
  const size_t pointers[] = {
    offsetof (LunfsSettings, source.host),     offsetof (LunfsSettings, source.target_name),
    offsetof (LunfsSettings, source_text),     offsetof (LunfsSettings, mountpoint),
    offsetof (LunfsSettings, initiator_name),  offsetof (LunfsSettings, user),
    offsetof (LunfsSettings, password),        offsetof (LunfsSettings, target_user),
    offsetof (LunfsSettings, target_password), offsetof (LunfsSettings, log_target),
    offsetof (LunfsSettings, pidfile),        offsetof (LunfsSettings, mount_options),
    offsetof (LunfsSettings, state_dir),
    offsetof (LunfsSettings, other_portals),  offsetof (LunfsSettings, luns),
  };
  for (size_t i = 0; i < G_N_ELEMENTS (pointers); i++) {
    memset ((char *) &x + pointers[i], 0, sizeof (void *));
    memset ((char *) &y + pointers[i], 0, sizeof (void *));
  }
  for (size_t i = 0; i < sizeof x; i++)
    ck_assert_msg (((char *) &x)[i] == ((char *) &y)[i], "byte %zu differs", i);
}

START_TEST (test_every_byte)
{
  g_autoptr (LunfsSettings) s = full ();
  g_autoptr (LunfsSettings) copy = again (s);
  same_strings (s, copy);
  same_rest (s, copy);
}
END_TEST

START_TEST (test_defaults)
{
  g_autoptr (LunfsSettings) s = lunfs_settings_new ();
  g_autoptr (LunfsSettings) copy = again (s);
  same_strings (s, copy);
  same_rest (s, copy);
  ck_assert_int_eq (s->replacement_timeout, 120);
  ck_assert_int_eq (s->queue_depth, 128);
  ck_assert_uint_eq (s->umask, 0177);
  ck_assert (s->mlock);
}
END_TEST

START_TEST (test_max_dirty)
{
  g_autoptr (LunfsSettings) s = lunfs_settings_new ();
  ck_assert_uint_eq (lunfs_settings_max_dirty (s), 64 << 20);
  s->cache_size = UINT64_C (1) << 36;
  ck_assert_uint_eq (lunfs_settings_max_dirty (s), UINT64_C (1) << 35);
  s->cache_max_dirty = 5;
  ck_assert_uint_eq (lunfs_settings_max_dirty (s), 5);
}
END_TEST

START_TEST (test_wrong)
{
  static const char *const texts[] = {
    "nonsense",
    "[lunfs]\nlanes=x\n",
    "[lunfs]\nlanes=99999999999\n",
    "[lunfs]\nsource.port=65536\n",
    "[lunfs]\nuid=-1\n",
    "[lunfs]\nmlock=perhaps\n",
    "[lunfs]\nbuffer_size=1e9\n",
    "[lunfs]\nuser=x\\\n", /* ends in an escape: GKeyFile gives a value and an error */
    "[lunfs]\nmount_options=a;x\\\n",
  };
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (lunfs_settings_from_text (texts[_i], strlen (texts[_i]), &error));
  ck_assert_ptr_nonnull (error);
}
END_TEST

START_TEST (test_free_null)
{
  lunfs_settings_free (NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("settings");
  TCase *tc = tcase_create ("settings");
  tcase_add_test (tc, test_every_byte);
  tcase_add_test (tc, test_defaults);
  tcase_add_test (tc, test_max_dirty);
  tcase_add_loop_test (tc, test_wrong, 0, 9);
  tcase_add_test (tc, test_free_null);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
