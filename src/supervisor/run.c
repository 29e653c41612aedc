/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's beginning and end: what is made before the first worker, what is left after the last one, and who is told. */
#include "config.h"

#include "supervisor/keeper-private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/isid.h"
#include "supervisor/pid1.h"
#include "supervisor/protect.h"
#include "supervisor/ready.h"
#include "supervisor/state.h"

#define SECOND_US INT64_C (1000000)

static bool
catch_signals (LunfsKeeper *k, GError **error)
{
  struct sigaction hup;
  sigset_t set;

  sigaction (SIGHUP, NULL, &hup);
  k->hup_stops = k->settings->foreground && isatty (STDIN_FILENO) && hup.sa_handler != SIG_IGN; /* nohup */
  signal (SIGPIPE, SIG_IGN);
  signal (SIGCHLD, SIG_DFL); /* inherited as ignored, no exit status would ever come */
  sigemptyset (&set);
  sigaddset (&set, SIGCHLD);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGHUP);
  sigaddset (&set, SIGUSR2);
  sigprocmask (SIG_BLOCK, &set, NULL);
  k->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (k->signal_fd >= 0)
    return true;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "signalfd: %s", g_strerror (errno));
  return false;
}

static bool
open_log (const LunfsSettings *s, GError **error)
{
  const char *target = s->log_target ? s->log_target : s->foreground ? "stderr" : "syslog";

  return lunfs_log_open (target, (LunfsLogLevel) s->log_level, s->debug_mask, error);
}

static bool
hold (LunfsKeeper *k, GError **error)
{
  LunfsHoldings h;
  bool ok = lunfs_holdings_make (&h, k->settings, &k->stored, error);

  k->mount = h.mount;
  k->arena = h.arena;
  k->settings_fd = h.settings_fd;
  k->isid_lock_fd = h.isid_lock_fd;
  k->adopted = h.adopted;
  if (ok) {
    k->upgrade = lunfs_upgrade_new (k->arena->header);
    lunfs_holdings_store (&h, k->notify);
  }
  return ok;
}

/* Said here for all workers: they are allowed as little as we are. */
static void
protect (bool lock_memory)
{
  g_autofree char *refused = NULL;

  lunfs_protect_process (lock_memory, &refused);
  if (refused)
    lunfs_warning ("%s", refused);
}

/* Everything that can fail comes before the mount, but for INIT. */
static bool
set_up (LunfsKeeper *k, GError **error)
{
  LunfsSettings *s = k->settings;
  char *relative = s->pidfile;

  s->pidfile = relative ? g_canonicalize_filename (relative, NULL) : NULL; /* the worker removes it if we cannot */
  g_free (relative);
  prctl (PR_SET_NAME, "lunfs-super");
  if (s->pidfile && !lunfs_ready_check_pidfile (s->pidfile, error))
    return false;
  if (!open_log (s, error) || !catch_signals (k, error))
    return false;
  if (chdir ("/") < 0)
    lunfs_debug (SUPERVISOR, "chdir: %s", g_strerror (errno));
  protect (s->mlock);
  return hold (k, error);
}

/* What is left outlives us. */
static void
keep_state (LunfsKeeper *k)
{
  g_autofree char *kept = NULL;
  size_t len;

  if (!k->arena || !k->settings->state_dir || k->worker) /* one that cannot be ended still has it */
    return;
  kept = lunfs_state_end (k->arena, k->settings);
  if (!kept)
    return;
  len = strlen (k->text);
  g_snprintf (k->text + len, sizeof k->text - len, "%skept for the next mount in %s", len ? "; " : "", kept);
  lunfs_warning ("what could not be flushed is kept for the next mount with this state_dir: lunfsctl saved inspect %s",
                 kept);
}

static void
tear_down (LunfsKeeper *k)
{
  if (k->arena)
    lunfs_isid_release (k->arena->header->isid_random, k->isid_lock_fd);
  if (k->settings->pidfile && k->policy.ready)
    unlink (k->settings->pidfile);
  lunfs_child_close (k);
  if (k->mount) {
    lunfs_notify_say (k->notify, LUNFS_NOTIFY_EXTEND);
    lunfs_mount_free (k->mount);
    lunfs_notify_store_clear (k->notify, lunfs_stored_names);
  }
  keep_state (k);
  lunfs_upgrade_free (k->upgrade);
  lunfs_arena_free (k->arena);
  if (k->settings_fd >= 0)
    close (k->settings_fd);
  if (k->signal_fd >= 0)
    close (k->signal_fd);
}

static const char *
outcome_text (const LunfsKeeper *k)
{
  switch (k->policy.cause) {
  case LUNFS_CAUSE_WORKER:
    return k->text;
  case LUNFS_CAUSE_EARLY:
    return "stopped or unmounted before the mount was ready";
  case LUNFS_CAUSE_CRASHES:
    return "the worker process ended again and again before it could serve; see the log";
  case LUNFS_CAUSE_SILENT:
    return "the worker process did not begin to serve in time; see the log";
  case LUNFS_CAUSE_KILLED:
    return "the worker process did not end in time (stop-timeout); written data may not have reached the target";
  }
  return "";
}

/* To whoever can hear it: the waiting command, the terminal, the log. */
static void
tell_end (LunfsKeeper *k, int status, const char *text)
{
  bool heard = k->report_fd >= 0;

  lunfs_ready_report (&k->report_fd, status, text);
  if (heard || !*text)
    return;
  if (status == LUNFS_EXIT_OK)
    lunfs_notice ("%s", text);
  else
    lunfs_error ("%s", text);
}

static int
run (LunfsKeeper *k)
{
  g_autoptr (GError) error = NULL;
  const LunfsSettings *s = k->settings;
  int status;

  if (!set_up (k, &error)) {
    status = error->code;
    tear_down (k);
    if (k->report_fd >= 0)
      lunfs_ready_report (&k->report_fd, status, error->message);
    else
      fprintf (stderr, "lunfs: %s\n", error->message); /* perhaps there is no log yet */
    return status;
  }
  lunfs_policy_init (&k->policy, s->login_wait * SECOND_US, s->stop_timeout * SECOND_US, g_get_monotonic_time ());
  k->policy.waited_for = !s->foreground;
  k->policy.linger_us = lunfs_mount_is_ours (k->mount) ? s->stop_timeout * SECOND_US / 2 : 0;
  if (k->adopted)
    lunfs_policy_adopt (&k->policy);
  lunfs_pulse_init (&k->pulse, lunfs_notify_watchdog_us (k->notify), g_get_monotonic_time ());
  lunfs_keeper_event (k, LUNFS_EVENT_TICK, 0);
  lunfs_keeper_loop (k);
  status = k->policy.status;
  tear_down (k);
  tell_end (k, status, outcome_text (k));
  return status;
}

int
lunfs_supervisor_run (LunfsSettings *settings)
{
  LunfsKeeper k = {
    .settings = settings, .settings_fd = -1, .isid_lock_fd = -1, .signal_fd = -1, .report_fd = -1, .control_fd = -1
  };
  int status;

  settings->foreground |= lunfs_pid1_are_we (); /* a container ends with its first process */
  k.notify = lunfs_notify_new ();
  lunfs_stored_take (&k.stored);
  k.keep_stderr = settings->foreground || g_strcmp0 (settings->log_target, "stderr") == 0;
  if (settings->foreground || lunfs_ready_fork (&k.report_fd, &status))
    status = run (&k);
  lunfs_notify_free (k.notify);
  return status;
}
