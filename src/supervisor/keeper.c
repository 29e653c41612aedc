/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's one thread: a poll loop over signals, the worker's control socket and the waiting command.
 *
 * What happens is decided in policy.c; here it is carried out.  SIGTERM and SIGINT stop (the second one at once),
 * SIGHUP does so only in the foreground of a terminal and is otherwise ignored, SIGPIPE is ignored.  SIGUSR2 upgrades. */
#include "config.h"

#include "supervisor/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/beat.h"
#include "supervisor/core.h"
#include "supervisor/ending.h"
#include "supervisor/holdings.h"
#include "supervisor/isid.h"
#include "supervisor/pid1.h"
#include "supervisor/protect.h"
#include "supervisor/ready.h"
#include "supervisor/spawn.h"
#include "supervisor/state.h"
#include "supervisor/upgrade.h"

#define SECOND_US INT64_C (1000000)

typedef struct {
  LunfsSettings *settings;
  LunfsPolicy policy;
  LunfsPulse pulse;
  LunfsNotify *notify;
  LunfsStored stored; /* what we were started with */
  LunfsMount *mount;
  LunfsArena *arena;
  LunfsUpgrade *upgrade;
  int settings_fd;
  int isid_lock_fd;
  int signal_fd;
  int report_fd;  /* the waiting command; -1 = none (any more) */
  int control_fd; /* this worker's; -1 = none */
  pid_t worker;   /* 0 = none */
  LunfsCoreLimit core_limit;
  bool keep_stderr, hup_stops;
  bool finished, unmounted, said_busy, adopted;
  char text[sizeof ((LunfsMessage *) 0)->text]; /* what the worker last said about its outcome */
  char ended[240];                              /* how the last worker ended, in words */
} Keeper;

static void handle (Keeper *k, LunfsPolicyEvent event, int status);

/* ---- the worker ---- */

static void
close_control (Keeper *k)
{
  if (k->control_fd >= 0)
    close (k->control_fd);
  k->control_fd = -1;
}

/* What the worker has to know when we are gone: whether there will be a successor. */
static void
tell_stored (Keeper *k)
{
  if (k->control_fd >= 0)
    lunfs_message_send (k->control_fd, LUNFS_MSG_STORED, lunfs_notify_is_stored (k->notify), 0, NULL);
}

static bool
spawn (Keeper *k, GError **error)
{
  LunfsWorkerFds fds = { .fuse_fd = lunfs_mount_fd (k->mount),
                         .arena_fd = k->arena->fd,
                         .settings_fd = k->settings_fd };
  int pair[2];
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "cannot start a worker: %s", g_strerror (errno));
    return false;
  }
  fds.control_fd = pair[1];
  k->arena->header->worker_count++;
  lunfs_core_keep_off (k->settings->mountpoint, 0, &k->core_limit);
  pid = lunfs_spawn_worker (lunfs_upgrade_program (k->upgrade), &fds, !k->settings->foreground, k->keep_stderr, error);
  close (pair[1]);
  if (pid < 0) {
    close (pair[0]);
    return false;
  }
  k->worker = pid;
  k->control_fd = pair[0];
  return true;
}

/* A new worker: its own process, or the one that has left. */
static void
note_start (Keeper *k)
{
  lunfs_pulse_answered (&k->pulse);
  tell_stored (k);
  lunfs_debug (SUPERVISOR, "worker %ld started, number %u", (long) k->worker, k->arena->header->worker_count);
}

static void
start (Keeper *k)
{
  g_autoptr (GError) error = NULL;

  if (spawn (k, &error)) {
    note_start (k);
    return;
  }
  lunfs_error ("%s", error->message);
  g_strlcpy (k->ended, "it could not be started", sizeof k->ended);
  handle (k, LUNFS_EVENT_EXITED, 0);
}

/* After say_end's. */
static void
notify_serving (const Keeper *k)
{
  g_autofree char *status = NULL;

  if (!k->policy.ready || k->arena->header->worker_count == 1)
    return;
  status = g_strdup_printf ("STATUS=%s on %s", k->settings->source_text, k->settings->mountpoint);
  lunfs_notify_say (k->notify, status);
}

/* If it does not hear it, its exit follows. */
static void
let_follow (Keeper *k)
{
  const LunfsProgram *program = lunfs_upgrade_program (k->upgrade);

  lunfs_core_keep_off (k->settings->mountpoint, k->worker, &k->core_limit);
  lunfs_ending_note (k->arena->header, 0);
  k->arena->header->worker_count++;
  if (lunfs_message_send_fd (k->control_fd, LUNFS_MSG_FOLLOW, program->path, program->fd))
    note_start (k);
  else
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should become the next one");
}

static void
read_control (Keeper *k)
{
  LunfsMessage m;

  while (k->control_fd >= 0) {
    switch (lunfs_message_receive (k->control_fd, &m, NULL)) {
    case LUNFS_RECEIVED_NONE:
      return;
    case LUNFS_RECEIVED_END:
      close_control (k);
      return;
    case LUNFS_RECEIVED_MESSAGE:
      break;
    }
    if (m.type == LUNFS_MSG_PONG) {
      lunfs_pulse_answered (&k->pulse);
    } else if (m.type == LUNFS_MSG_SERVING) {
      notify_serving (k);
      handle (k, LUNFS_EVENT_SERVING, 0);
    } else if (m.type == LUNFS_MSG_SETTLED) {
      if (k->policy.ready && *m.text)
        lunfs_log (m.status == LUNFS_EXIT_OK ? LUNFS_LOG_NOTICE : LUNFS_LOG_WARNING, "%s", m.text);
      else if (!k->policy.failed)
        g_strlcpy (k->text, m.text, sizeof k->text);
      handle (k, LUNFS_EVENT_SETTLED, m.status);
    } else if (m.type == LUNFS_MSG_STOPPED) {
      if (!k->policy.failed)
        g_strlcpy (k->text, m.text, sizeof k->text);
      handle (k, LUNFS_EVENT_STOPPED, m.status);
    } else if (m.type == LUNFS_MSG_UPGRADE) {
      lunfs_notice ("lunfsctl: upgrade");
      handle (k, LUNFS_EVENT_UPGRADE, 0);
    } else if (m.type == LUNFS_MSG_LEFT) {
      if (m.status)
        lunfs_notice ("upgrade: %d requests could not be answered in time: the kernel is asked to send them again",
                      m.status);
      handle (k, LUNFS_EVENT_LEFT, 0);
    }
  }
}

static void
describe_end (Keeper *k, int state)
{
  g_autofree char *how = NULL;

  lunfs_ending_note (k->arena->header, state);
  how = lunfs_ending_text (k->arena->header);
  g_snprintf (k->ended, sizeof k->ended, "%s%s", how,
              WIFEXITED (state) && WEXITSTATUS (state) == LUNFS_EXIT_MISFIT ? ": it cannot take over from the old one"
                                                                            : "");
}

/* One line for the death of a worker that had not said goodbye, or did not go in peace. */
static void
say_end (const Keeper *k)
{
  g_autofree char *text = NULL, *status = NULL;
  int64_t wait_us = k->policy.start_at - g_get_monotonic_time ();
  const char *how = k->ended;

  if (k->policy.start_at == LUNFS_NEVER)
    text = g_strdup_printf ("worker %ld ended with %s", (long) k->worker, how);
  else
    text = g_strdup_printf ("worker %ld ended with %s; starting the next one in %" G_GINT64_FORMAT " ms",
                            (long) k->worker, how, (MAX (wait_us, 0) + 999) / 1000);
  lunfs_warning ("%s", text);
  status = g_strdup_printf ("STATUS=%s", text);
  lunfs_notify_say (k->notify, status);
}

static void
reap (Keeper *k)
{
  bool peaceful;
  int state;

  if (!k->worker || waitpid (k->worker, &state, WNOHANG) != k->worker)
    return;
  read_control (k); /* its last words are still in the socket */
  close_control (k);
  peaceful = k->policy.stopped && WIFEXITED (state) && WEXITSTATUS (state) == 0;
  describe_end (k, state);
  if (lunfs_ending_accuses (k->arena))
    handle (k, LUNFS_EVENT_ACCUSED, 0);
  handle (k, LUNFS_EVENT_EXITED, WIFSIGNALED (state) ? WTERMSIG (state) : 0);
  if (!peaceful)
    say_end (k);
  k->worker = 0;
}

/* ---- actions ---- */

/* login_wait has passed without an outcome: say at least that. */
static void
say_unsettled (Keeper *k)
{
  const LunfsSource *source = &k->settings->source;
  bool v6 = strchr (source->host, ':') != NULL, some = false;

  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++)
    some |= __atomic_load_n (&k->arena->luns[i].used, __ATOMIC_ACQUIRE) && k->arena->luns[i].proven;
  g_snprintf (k->text, sizeof k->text, "%s %s%s%s:%u%s; mounted, trying again",
              some ? "not every LUN of" : "no answer yet from", v6 ? "[" : "", source->host, v6 ? "]" : "",
              source->port, some ? " has answered yet" : "");
}

static void
become_ready (Keeper *k)
{
  g_autofree char *state = NULL;

  if (!k->policy.settled && k->settings->login_wait > 0)
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
ask_to_stop (Keeper *k)
{
  if (k->said_busy && !k->unmounted)
    lunfs_warning ("%s: still in use: its users lose it now", k->settings->mountpoint);
  lunfs_notify_say (k->notify, LUNFS_NOTIFY_WRITING);
  if (k->control_fd < 0 || !lunfs_message_send (k->control_fd, LUNFS_MSG_STOP, 0, k->policy.stop_limit_ms, NULL))
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should stop");
}

static void
try_unmount (Keeper *k)
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
decline (Keeper *k)
{
  lunfs_notice ("no upgrade now: %s",
                k->policy.phase == LUNFS_PHASE_SERVE ? "one is under way" : "the mount is being stopped");
}

static void
check_program (Keeper *k)
{
  if (lunfs_upgrade_ask (k->upgrade) == LUNFS_ANSWER_MISFIT)
    handle (k, LUNFS_EVENT_MISFIT, 0);
}

static void
read_answer (Keeper *k)
{
  LunfsUpgradeAnswer answer = lunfs_upgrade_read (k->upgrade);

  if (answer != LUNFS_ANSWER_PENDING)
    handle (k, answer == LUNFS_ANSWER_FITS ? LUNFS_EVENT_FITS : LUNFS_EVENT_MISFIT, 0);
}

static void
ask_to_leave (Keeper *k)
{
  lunfs_upgrade_leaving (k->upgrade);
  if (k->control_fd < 0 || !lunfs_message_send (k->control_fd, LUNFS_MSG_LEAVE, 0, LUNFS_POLICY_LEAVE_MS, NULL))
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should leave");
}

static void
act_upgrade (Keeper *k, unsigned actions)
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
act (Keeper *k, unsigned actions)
{
  act_upgrade (k, actions);
  if (actions & LUNFS_DO_START)
    start (k);
  if (actions & LUNFS_DO_FOLLOW)
    let_follow (k);
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

static void
handle (Keeper *k, LunfsPolicyEvent event, int status)
{
  act (k, lunfs_policy_event (&k->policy, event, status, g_get_monotonic_time ()));
}

/* ---- the loop ---- */

static void
read_signals (Keeper *k)
{
  struct signalfd_siginfo info;

  while (read (k->signal_fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      reap (k);
    } else if (info.ssi_signo == SIGUSR2) {
      lunfs_notice ("SIGUSR2: upgrade");
      handle (k, LUNFS_EVENT_UPGRADE, 0);
    } else if (info.ssi_signo != SIGHUP || k->hup_stops) {
      lunfs_notice ("%s: stopping", strsignal ((int) info.ssi_signo));
      handle (k, LUNFS_EVENT_TERMINATE, 0);
    }
  }
}

/* Its end of the pipe closed: interrupted, so the user wants no mount. */
static void
lose_command (Keeper *k)
{
  lunfs_notice ("the mount command was interrupted: stopping");
  close (k->report_fd);
  k->report_fd = -1;
  handle (k, LUNFS_EVENT_TERMINATE, 0);
}

static int
timeout_ms (const Keeper *k)
{
  int64_t at = MIN (lunfs_policy_deadline (&k->policy), k->pulse.next_us);

  return (int) CLAMP ((at - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
}

static void
loop (Keeper *k)
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
      read_control (k);
    if (p[0].revents)
      read_signals (k);
    if (p[2].revents && k->report_fd >= 0)
      lose_command (k);
    if (p[3].revents && p[3].fd == lunfs_upgrade_fd (k->upgrade))
      read_answer (k);
    if (lunfs_notify_polled (k->notify, &p[4]))
      tell_stored (k);
    lunfs_pid1_reap (k->worker, lunfs_upgrade_child (k->upgrade));
    beat.worker = k->worker;
    beat.control_fd = k->control_fd;
    lunfs_beat (&beat);
    handle (k, LUNFS_EVENT_TICK, 0);
  }
}

/* ---- beginning and end ---- */

static bool
catch_signals (Keeper *k, GError **error)
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
hold (Keeper *k, GError **error)
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
set_up (Keeper *k, GError **error)
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
keep_state (Keeper *k)
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
tear_down (Keeper *k)
{
  if (k->arena)
    lunfs_isid_release (k->arena->header->isid_random, k->isid_lock_fd);
  if (k->settings->pidfile && k->policy.ready)
    unlink (k->settings->pidfile);
  close_control (k);
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
outcome_text (const Keeper *k)
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
tell_end (Keeper *k, int status, const char *text)
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
run (Keeper *k)
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
  handle (k, LUNFS_EVENT_TICK, 0);
  loop (k);
  status = k->policy.status;
  tear_down (k);
  tell_end (k, status, outcome_text (k));
  return status;
}

int
lunfs_supervisor_run (LunfsSettings *settings)
{
  Keeper k = {
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
