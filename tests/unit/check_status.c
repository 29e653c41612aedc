/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status text is JSON whatever stands in it: paths of any bytes, texts of a hostile target. */
#include "control/status.h"

#include <check.h>
#include <json-glib/json-glib.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *text, *read;
} texts[] = {
  { "plain", "plain" },
  { "", "" },
  { "gr\303\266\303\237e", "gr\303\266\303\237e" },
  { "gr\366\337e", "gr\357\277\275\357\277\275e" }, /* Latin-1 */
  { "cut \303", "cut \357\277\275" },               /* in the middle of a character */
  { "\"\\/\b\f\n\r\t\001\036\177", "\"\\/\b\f\n\r\t\001\036\177" },
  { "a\037b", "a b" }, /* json-glib 1.6 does not escape this one */
};

START_TEST (test_texts)
{
  g_autoptr (LunfsSettings) settings = lunfs_settings_new ();
  LunfsStatusTarget target = { "iqn.2026-01.org.example:t1", "192.0.2.1", texts[_i].text, 3260 };
  LunfsStatus status = { .settings = settings, .targets = &target, .ntargets = 1 };
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  JsonObject *top;

  settings->mountpoint = g_strdup (texts[_i].text);
  text = lunfs_status_text (&status);
  ck_assert (g_utf8_validate (text, -1, NULL));
  for (const char *p = text; *p; p++)
    ck_assert ((unsigned char) *p >= 0x20 || *p == '\n');
  ck_assert_msg (json_parser_load_from_data (parser, text, -1, &error), "%s", error ? error->message : "");
  top = json_node_get_object (json_parser_get_root (parser));
  ck_assert_str_eq (json_object_get_string_member (top, "mountpoint"), texts[_i].read);
  top = json_array_get_object_element (json_object_get_array_member (top, "targets"), 0);
  ck_assert_str_eq (json_object_get_string_member (top, "error"), texts[_i].read);
}
END_TEST

START_TEST (test_worker)
{
  g_autoptr (LunfsSettings) settings = lunfs_settings_new ();
  LunfsStatus status = { .settings = settings,
                         .workers_started = 5,
                         .resent = 4,
                         .replayed = 3,
                         .crashes = 2,
                         .poisoned = 1,
                         .last_end = "signal 11 (Segmentation fault)",
                         .recovery = "inbox" };
  static const struct {
    const char *name;
    int value;
  } numbers[] = { { "started", 5 }, { "resent", 4 }, { "replayed", 3 }, { "crashes", 2 }, { "poisoned", 1 } };
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree char *text = lunfs_status_text (&status);
  JsonObject *o;

  ck_assert (json_parser_load_from_data (parser, text, -1, NULL));
  o = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "lunfs");
  o = json_object_get_object_member (o, "worker");
  for (unsigned i = 0; i < G_N_ELEMENTS (numbers); i++)
    ck_assert_int_eq (json_object_get_int_member (o, numbers[i].name), numbers[i].value);
  ck_assert_str_eq (json_object_get_string_member (o, "last_end"), status.last_end);
  ck_assert_str_eq (json_object_get_string_member (o, "recovery"), status.recovery);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("status");
  TCase *tc = tcase_create ("status");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_texts, 0, G_N_ELEMENTS (texts));
  tcase_add_test (tc, test_worker);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
