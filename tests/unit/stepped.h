/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that is stopped after each of its instructions: what stands in the memory it shares with us then is what a kill
 * there would leave behind. */
#ifndef LUNFS_TEST_STEPPED_H
#define LUNFS_TEST_STEPPED_H

#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_PTRACE 77

#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature (x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined __SANITIZE_THREAD__ || HAS_FEATURE(thread_sanitizer)
#define IS_SLOW true /* minutes for one case, and the stores are the same ones */
#else
#define IS_SLOW false
#endif

/* Who steps through valgrind? */
static inline bool
can_step (void)
{
  const char *preload = getenv ("LD_PRELOAD");

  return !IS_SLOW && (!preload || !strstr (preload, "vgpreload"));
}

/* In the child: what comes now is stepped through. */
static inline void
begin_steps (void)
{
  if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) < 0)
    _exit (NO_PTRACE);
  raise (SIGSTOP);
}

/* Runs @child in a process of its own, and calls @moment before the first of its steps and after each.  @child does not return
 * before it has called begin_steps(), and not half of an assertion fails in it: their messages are the parent's. */
static inline void
step_through (void (*child) (void *arg), void *arg, void (*moment) (void *user), void *user)
{
  unsigned steps = 0;
  int status;
  pid_t pid = fork ();

  ck_assert_int_ge (pid, 0);
  if (pid == 0) {
    child (arg);
    _exit (0);
  }
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  for (; WIFSTOPPED (status); steps++) {
    moment (user);
    if (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid (pid, &status, 0) != pid)
      ck_abort_msg ("it cannot be stepped through");
  }
  if (WIFEXITED (status) && WEXITSTATUS (status) == NO_PTRACE) {
    printf ("no ptrace here: not stepped through\n");
    return;
  }
  ck_assert (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  ck_assert_uint_gt (steps, 20);
}

#endif
