/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's one thread: a poll loop over signals, the worker's control socket and the waiting command.
 *
 * What happens is decided in policy.c; here it is carried out.  SIGTERM and SIGINT stop (the second one at once),
 * SIGHUP does so only in the foreground of a terminal and is otherwise ignored, SIGPIPE is ignored.  SIGUSR2 upgrades. */
#include "config.h"

#include "supervisor/keeper-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/pid1.h"
#include "supervisor/ready.h"

#define SECOND_US INT64_C (1000000)

/* ---- actions ---- */

/* login_wait has passed without an outcome: say at least that. */
static void
say_unsettled (LunfsKeeper *k)
{
  const LunfsSource *source = &k->settings->source;
  bool v6 = strchr (source->host, ':') != NULL, some = false;

  if (*k->trouble) {
    g_snprintf (k->text, sizeof k->text, "%.400s; mounted, trying again", k->trouble);
    return;
  }
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++)
    some |= __atomic_load_n (&k->arena->luns[i].used, __ATOMIC_ACQUIRE) && k->arena->luns[i].proven;
  g_snprintf (k->text, sizeof k->text, "%s %s%s%s:%u%s; mounted, trying again",
              some ? "not every LUN of" : "no answer yet from", v6 ? "[" : "", source->host, v6 ? "]" : "",
              source->port, some ? " has answered yet" : "");
}

static void
become_ready (LunfsKeeper *k)
{
  g_autofree char *state = NULL;

  if (!k->policy.settled && (*k->trouble || k->settings->login_wait > 0))
    say_unsettled (k);
  state = g_strdup_printf ("READY=1\nMAINPID=%ld\nSTATUS=%s on %s%s%s", (long) getpid (), k->settings->source_text,
                           k->settings->mountpoint, *k->text ? ": " : "", k->text);
  if (k->settings->pidfile)
    lunfs_ready_write_pidfile (k->settings->pidfile);
  lunfs_notify_say (k->notify, state);
  lunfs_info ("%s serves on %s", k->settings->source_text, k->settings->mountpoint);
  if (*k->text)
    lunfs_warning ("%s", k->text);
  if (!k->settings->foreground)
    lunfs_ready_detach (k->keep_stderr);
  lunfs_ready_report (&k->report_fd, LUNFS_EXIT_OK, k->text);
  k->text[0] = '\0'; /* said; what follows is about the end */
}

static void
ask_to_stop (LunfsKeeper *k)
{
  if (k->said_busy && !k->unmounted)
    lunfs_warning ("%s: still in use: its users lose it now", k->settings->mountpoint);
  lunfs_notify_say (k->notify, LUNFS_NOTIFY_WRITING);
  if (k->control_fd < 0 || !lunfs_message_send (k->control_fd, LUNFS_MSG_STOP, 0, k->policy.stop_limit_ms, NULL))
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should stop");
}

static void
try_unmount (LunfsKeeper *k)
{
  if (k->unmounted)
    return;
  k->unmounted = lunfs_mount_try_unmount (k->mount);
  if (k->unmounted)
    lunfs_notify_say (k->notify, LUNFS_NOTIFY_WRITING);
  if (k->unmounted || k->said_busy)
    return;
  k->said_busy = true;
  lunfs_notice (
      "%s is in use (an open file, a loop device, a working directory): serving it for up to %" G_GINT64_FORMAT
      " s more; stop its users, or send the signal again",
      k->settings->mountpoint, k->policy.linger_us / SECOND_US);
  lunfs_notify_say (k->notify, LUNFS_NOTIFY_STOPPING "\nSTATUS=waiting for the users of the mount");
}

/* ---- actions of an upgrade ---- */

static void
decline (LunfsKeeper *k)
{
  lunfs_notice ("no upgrade now: %s",
                k->policy.phase == LUNFS_PHASE_SERVE ? "one is under way" : "the mount is being stopped");
}

static void
check_program (LunfsKeeper *k)
{
  if (lunfs_upgrade_ask (k->upgrade) == LUNFS_ANSWER_MISFIT)
    lunfs_keeper_event (k, LUNFS_EVENT_MISFIT, 0);
}

static void
read_answer (LunfsKeeper *k)
{
  LunfsUpgradeAnswer answer = lunfs_upgrade_read (k->upgrade);

  if (answer != LUNFS_ANSWER_PENDING)
    lunfs_keeper_event (k, answer == LUNFS_ANSWER_FITS ? LUNFS_EVENT_FITS : LUNFS_EVENT_MISFIT, 0);
}

static void
ask_to_leave (LunfsKeeper *k)
{
  lunfs_upgrade_leaving (k->upgrade);
  if (k->control_fd < 0 || !lunfs_message_send (k->control_fd, LUNFS_MSG_LEAVE, 0, LUNFS_POLICY_LEAVE_MS, NULL))
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should leave");
}

static void
act_upgrade (LunfsKeeper *k, unsigned actions)
{
  if (actions & LUNFS_DO_DECLINE)
    decline (k);
  if (actions & LUNFS_DO_ABANDON)
    lunfs_upgrade_abandon (k->upgrade, k->policy.phase == LUNFS_PHASE_SERVE
                                           ? "the new program does not say whether it can take over"
                                           : "the mount is being stopped");
  if (actions & LUNFS_DO_CONFIRM)
    lunfs_upgrade_confirm (k->upgrade);
  if (actions & LUNFS_DO_CHECK)
    check_program (k);
  if (actions & LUNFS_DO_LEAVE)
    ask_to_leave (k);
  if (actions & LUNFS_DO_SWITCH)
    lunfs_upgrade_switch (k->upgrade);
  if (actions & LUNFS_DO_FALL_BACK)
    lunfs_upgrade_fall_back (k->upgrade, k->ended);
  if (actions & LUNFS_DO_UPGRADED)
    lunfs_upgrade_served (k->upgrade);
}

static void
act (LunfsKeeper *k, unsigned actions)
{
  act_upgrade (k, actions);
  if (actions & LUNFS_DO_START)
    lunfs_child_start (k);
  if (actions & LUNFS_DO_FOLLOW)
    lunfs_child_follow (k);
  if (actions & LUNFS_DO_UNMOUNT)
    try_unmount (k);
  if (actions & LUNFS_DO_STOP)
    ask_to_stop (k);
  if ((actions & LUNFS_DO_KILL) && k->worker)
    kill (k->worker, SIGKILL);
  if (actions & LUNFS_DO_READY)
    become_ready (k);
  if (actions & LUNFS_DO_FINISH)
    k->finished = true;
}

void
lunfs_keeper_event (LunfsKeeper *k, LunfsPolicyEvent event, int status)
{
  act (k, lunfs_policy_event (&k->policy, event, status, g_get_monotonic_time ()));
}

/* ---- the loop ---- */

static void
read_signals (LunfsKeeper *k)
{
  struct signalfd_siginfo info;

  while (read (k->signal_fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      lunfs_child_reap (k);
    } else if (info.ssi_signo == SIGUSR2) {
      lunfs_notice ("SIGUSR2: upgrade");
      lunfs_keeper_event (k, LUNFS_EVENT_UPGRADE, 0);
    } else if (info.ssi_signo != SIGHUP || k->hup_stops) {
      lunfs_notice ("%s: stopping", strsignal ((int) info.ssi_signo));
      lunfs_keeper_event (k, LUNFS_EVENT_TERMINATE, 0);
    }
  }
}

/* Its end of the pipe closed: interrupted, so the user wants no mount. */
static void
lose_command (LunfsKeeper *k)
{
  lunfs_notice ("the mount command was interrupted: stopping");
  close (k->report_fd);
  k->report_fd = -1;
  lunfs_keeper_event (k, LUNFS_EVENT_TERMINATE, 0);
}

static int
timeout_ms (const LunfsKeeper *k)
{
  int64_t at = MIN (lunfs_policy_deadline (&k->policy), k->pulse.next_us);

  return (int) CLAMP ((at - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
}

void
lunfs_keeper_loop (LunfsKeeper *k)
{
  LunfsBeat beat = { .pulse = &k->pulse, .notify = k->notify, .mount = k->mount, .policy = &k->policy };

  while (!k->finished) {
    struct pollfd p[] = { { .fd = k->signal_fd, .events = POLLIN },
                          { .fd = k->control_fd, .events = POLLIN },
                          { .fd = k->report_fd },
                          { .fd = lunfs_upgrade_fd (k->upgrade), .events = POLLIN },
                          { .fd = -1 },
                          { .fd = -1 } };

    lunfs_notify_pollfds (k->notify, &p[4]);
    if (poll (p, G_N_ELEMENTS (p), timeout_ms (k)) < 0 && errno != EINTR) {
      lunfs_error ("poll: %s", g_strerror (errno));
      g_usleep (SECOND_US / 10);
      continue;
    }
    if (p[1].revents)
      lunfs_child_read (k);
    if (p[0].revents)
      read_signals (k);
    if (p[2].revents && k->report_fd >= 0)
      lose_command (k);
    if (p[3].revents && p[3].fd == lunfs_upgrade_fd (k->upgrade))
      read_answer (k);
    if (lunfs_notify_polled (k->notify, &p[4]))
      lunfs_child_tell_stored (k);
    lunfs_pid1_reap (k->worker, lunfs_upgrade_child (k->upgrade));
    beat.worker = k->worker;
    beat.control_fd = k->control_fd;
    if (lunfs_beat (&beat) && k->worker)
      lunfs_core_keep_off (k->settings->mountpoint, lunfs_mount_device (k->mount), k->worker, &k->core_limit);
    lunfs_keeper_event (k, LUNFS_EVENT_TICK, 0);
  }
}
