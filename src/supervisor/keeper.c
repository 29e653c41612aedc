/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's one thread: a poll loop over signals, the worker's control socket and the waiting command.
 *
 * What happens is decided in policy.c; here it is carried out.  SIGTERM and SIGINT stop (the second one at once),
 * SIGHUP does so only in the foreground of a terminal and is otherwise ignored, SIGPIPE is ignored. */
#include "config.h"

#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/init.h"
#include "supervisor/isid.h"
#include "supervisor/mount.h"
#include "supervisor/policy.h"
#include "supervisor/protect.h"
#include "supervisor/ready.h"
#include "supervisor/spawn.h"
#include "supervisor/state.h"

#define SECOND_US INT64_C (1000000)

typedef struct {
  const LunfsSettings *settings;
  LunfsPolicy policy;
  LunfsMount *mount;
  LunfsArena *arena;
  int settings_fd;
  int isid_lock_fd;
  int signal_fd;
  int report_fd;  /* the waiting command; -1 = none (any more) */
  int control_fd; /* this worker's; -1 = none */
  pid_t worker;   /* 0 = none */
  char *pidfile;  /* absolute, or NULL */
  bool keep_stderr, hup_stops;
  bool finished, unmounted, said_busy;
  char text[sizeof ((LunfsMessage *) 0)->text]; /* what the worker last said about its outcome */
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
  pid = lunfs_spawn_worker (&fds, !k->settings->foreground, k->keep_stderr, error);
  close (pair[1]);
  if (pid < 0) {
    close (pair[0]);
    return false;
  }
  k->worker = pid;
  k->control_fd = pair[0];
  lunfs_debug (SUPERVISOR, "worker %ld started, number %u", (long) pid, k->arena->header->worker_count);
  return true;
}

static void
start (Keeper *k)
{
  g_autoptr (GError) error = NULL;

  if (spawn (k, &error))
    return;
  lunfs_error ("%s", error->message);
  handle (k, LUNFS_EVENT_EXITED, 0);
}

static void
read_control (Keeper *k)
{
  LunfsMessage m;

  while (k->control_fd >= 0) {
    switch (lunfs_message_receive (k->control_fd, &m)) {
    case LUNFS_RECEIVED_NONE:
      return;
    case LUNFS_RECEIVED_END:
      close_control (k);
      return;
    case LUNFS_RECEIVED_MESSAGE:
      break;
    }
    if (m.type == LUNFS_MSG_SERVING) {
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
    }
  }
}

/* One line for the death of a worker that had not said goodbye, or did not go in peace. */
static void
log_end (const Keeper *k, int state)
{
  g_autofree char *how = NULL;
  int64_t wait_us = k->policy.start_at - g_get_monotonic_time ();

  if (WIFSIGNALED (state))
    how = g_strdup_printf ("signal %d (%s)", WTERMSIG (state), strsignal (WTERMSIG (state)));
  else
    how = g_strdup_printf ("status %d", WEXITSTATUS (state));
  if (k->policy.start_at == LUNFS_NEVER)
    lunfs_warning ("worker %ld ended with %s", (long) k->worker, how);
  else
    lunfs_warning ("worker %ld ended with %s; starting the next one in %" G_GINT64_FORMAT " ms", (long) k->worker, how,
                   (MAX (wait_us, 0) + 999) / 1000);
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
  handle (k, LUNFS_EVENT_EXITED, 0);
  if (!peaceful)
    log_end (k, state);
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
  state = g_strdup_printf ("READY=1\nSTATUS=%s on %s%s%s", k->settings->source_text, k->settings->mountpoint,
                           *k->text ? ": " : "", k->text);
  if (k->pidfile)
    lunfs_ready_write_pidfile (k->pidfile);
  lunfs_ready_notify (state);
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
  lunfs_ready_notify ("STOPPING=1\nSTATUS=writing what is left to the target");
  if (k->control_fd < 0 || !lunfs_message_send (k->control_fd, LUNFS_MSG_STOP, 0, k->policy.stop_limit_ms, NULL))
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should stop");
}

static void
try_unmount (Keeper *k)
{
  if (k->unmounted)
    return;
  k->unmounted = lunfs_mount_try_unmount (k->mount);
  if (k->unmounted || k->said_busy)
    return;
  k->said_busy = true;
  lunfs_notice (
      "%s is in use (an open file, a loop device, a working directory): serving it for up to %" G_GINT64_FORMAT
      " s more; stop its users, or send the signal again",
      k->settings->mountpoint, k->policy.linger_us / SECOND_US);
  lunfs_ready_notify ("STOPPING=1\nSTATUS=waiting for the users of the mount");
}

static void
act (Keeper *k, unsigned actions)
{
  if (actions & LUNFS_DO_START)
    start (k);
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
  int64_t at = lunfs_policy_deadline (&k->policy);

  if (at == LUNFS_NEVER)
    return -1;
  return (int) CLAMP ((at - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
}

static void
loop (Keeper *k)
{
  while (!k->finished) {
    struct pollfd p[] = { { .fd = k->signal_fd, .events = POLLIN },
                          { .fd = k->control_fd, .events = POLLIN },
                          { .fd = k->report_fd } };

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
    handle (k, LUNFS_EVENT_TICK, 0);
  }
}

/* ---- beginning and end ---- */

static int
settings_memfd (const LunfsSettings *settings, GError **error)
{
  char *text = lunfs_settings_to_text (settings);
  size_t len = strlen (text);
  int fd = memfd_create ("lunfs-settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  bool ok = fd >= 0 && write (fd, text, len) == (ssize_t) len
            && fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;

  explicit_bzero (text, len);
  g_free (text);
  if (ok)
    return fd;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot hand over the settings: %s", g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

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

/* Everything that can fail comes before the mount, but for INIT. */
/* Room for requests and, beside it, for what is kept until it is synchronised: neither can take the other's.  By default
 * so much that the requests of a LUN that does not answer never keep the others, or the status file, waiting for memory.
 * It is address space until it is used. */
static uint64_t
arena_bytes (const LunfsSettings *s)
{
  uint64_t requests = s->buffer_size ? s->buffer_size : (uint64_t) s->max_background * LUNFS_MAX_WRITE + (64 << 20);

  return requests + s->cache_size;
}

static bool
set_up (Keeper *k, GError **error)
{
  const LunfsSettings *s = k->settings;

  prctl (PR_SET_NAME, "lunfs-super");
  if (s->pidfile)
    k->pidfile = g_canonicalize_filename (s->pidfile, NULL);
  if (k->pidfile && !lunfs_ready_check_pidfile (k->pidfile, error))
    return false;
  if (!open_log (s, error) || !catch_signals (k, error))
    return false;
  if (chdir ("/") < 0)
    lunfs_debug (SUPERVISOR, "chdir: %s", g_strerror (errno));
  lunfs_protect_process (s->mlock);
  k->settings_fd = settings_memfd (s, error);
  if (k->settings_fd < 0)
    return false;
  k->arena =
      s->state_dir ? lunfs_state_create (s, arena_bytes (s), error) : lunfs_arena_create (arena_bytes (s), error);
  if (!k->arena)
    return false;
  k->arena->header->isid_random = lunfs_isid_choose (s, &k->isid_lock_fd);
  k->mount = lunfs_mount_new (s, error);
  return k->mount
         && lunfs_init_answer (lunfs_mount_fd (k->mount), k->arena->header, (uint32_t) s->max_background, error);
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
  if (k->pidfile && k->policy.ready)
    unlink (k->pidfile);
  close_control (k);
  lunfs_mount_free (k->mount);
  keep_state (k);
  lunfs_arena_free (k->arena);
  if (k->settings_fd >= 0)
    close (k->settings_fd);
  if (k->signal_fd >= 0)
    close (k->signal_fd);
  g_free (k->pidfile);
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

  k.keep_stderr = settings->foreground || g_strcmp0 (settings->log_target, "stderr") == 0;
  if (!settings->foreground && !lunfs_ready_fork (&k.report_fd, &status))
    return status;
  return run (&k);
}
