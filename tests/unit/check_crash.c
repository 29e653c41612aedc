/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a worker ended, and where its core dump would go. */
#include "supervisor/core.h"
#include "supervisor/ending.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

static const struct {
  const char *pattern, *mountpoint;
  bool lands;
} cores[] = {
  { "core\n", "/srv/lun", false }, /* the worker's directory is / */
  { "core\n", "/", true },
  { "core", "/core", true }, /* a plain file as mount point */
  { "core.%p", "/core", false },
  { "|/usr/lib/systemd/systemd-coredump %P", "/usr", false },
  { "|/srv/lun/dump", "/srv/lun", false }, /* a program, if it can be run at all, writes where it likes */
  { "@/run/coredump.socket", "/run", false },
  { "/srv/lun/core", "/srv/lun", true },
  { "/srv/lun/core\n", "/srv/lun/", true },
  { "/srv/lun2/core", "/srv/lun", false },
  { "/srv/./lun//core", "/srv/lun", true },
  { "/srv/lun/../core", "/srv/lun", false },
  { "/var/cores/%e.%p", "/srv/lun", false },
  { "/var/cores/%e.%p", "/var/cores", true },
  { "/var/cores/%e.%p", "/var", true },
  { "/srv/%h/core", "/srv/lun", true }, /* perhaps */
  { "/srv/lun%p", "/srv/lun", true },   /* perhaps */
  { "/srv/x%h/core", "/srv/lun", false },
  { "/srv/core", "/srv/lun", false },
  { "", "/srv/lun", false },
  { "/srv/core", "/dev/fd/7", false },
};

START_TEST (test_core)
{
  ck_assert_int_eq (lunfs_core_lands_on (cores[_i].pattern, cores[_i].mountpoint), cores[_i].lands);
}
END_TEST

static const struct {
  int state; /* as waitpid gives it */
  const char *text;
  bool crash;
} ends[] = {
  { 0, "status 0", false },
  { 1 << 8, "status 1", false },
  { SIGKILL, "signal 9 (Killed)", false },
  { SIGTERM, "signal 15 (Terminated)", false },
  { SIGSEGV, "signal 11 (Segmentation fault)", true },
  { SIGSEGV | 0x80, "signal 11 (Segmentation fault)", true }, /* core dumped */
  { SIGABRT, "signal 6 (Aborted)", true },
  { SIGBUS, "signal 7 (Bus error)", true },
  { SIGILL, "signal 4 (Illegal instruction)", true },
  { SIGFPE, "signal 8 (Floating point exception)", true },
  { SIGSYS, "signal 31 (Bad system call)", true },
};

START_TEST (test_end)
{
  LunfsArenaHeader header = { .last_signal = 99, .last_crashed = 1, .ended = 4, .crashes = 2 };
  g_autofree char *text = NULL;

  lunfs_ending_note (&header, ends[_i].state);
  text = lunfs_ending_text (&header);
  ck_assert_str_eq (text, ends[_i].text);
  ck_assert_uint_eq (header.last_crashed, ends[_i].crash);
  ck_assert_uint_eq (header.ended, 5);
  ck_assert_uint_eq (header.crashes, 2 + ends[_i].crash);
}
END_TEST

/* With state_dir the arena is a file, and its pages come from a disk. */
START_TEST (test_end_of_disk)
{
  LunfsArenaHeader header = { .boot_id = "any" };
  g_autofree char *text = NULL, *other = NULL;

  lunfs_ending_note (&header, SIGBUS);
  text = lunfs_ending_text (&header);
  ck_assert (g_str_has_prefix (
      text, "signal 7 (Bus error); if the kernel's log has errors of the disk that state_dir is on, "));
  lunfs_ending_note (&header, SIGSEGV);
  other = lunfs_ending_text (&header);
  ck_assert_str_eq (other, "signal 11 (Segmentation fault)");
}
END_TEST

START_TEST (test_no_end)
{
  LunfsArenaHeader header = { 0 };
  g_autofree char *text = lunfs_ending_text (&header);

  ck_assert_str_eq (text, "");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("crash");
  TCase *tc = tcase_create ("crash");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_core, 0, G_N_ELEMENTS (cores));
  tcase_add_loop_test (tc, test_end, 0, G_N_ELEMENTS (ends));
  tcase_add_test (tc, test_end_of_disk);
  tcase_add_test (tc, test_no_end);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
