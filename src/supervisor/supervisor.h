/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: mounts, answers FUSE_INIT, holds the /dev/fuse fd, the arena and the settings, runs the worker
 * and starts it again when it dies, tells the starting command when the mount serves, owns the unmount.
 *
 * Never talks iSCSI, has one thread, allocates little.  Nothing a target does can reach it.
 *
 * Worker and supervisor talk over a SOCK_SEQPACKET pair, one LunfsMessage a packet. */
#ifndef LUNFS_SUPERVISOR_H
#define LUNFS_SUPERVISOR_H

#include "lunfs/settings.h"

#include <stdint.h>

typedef enum {
  LUNFS_MSG_SERVING = 1, /* worker -> supervisor: reads FUSE requests; the mount serves */
  LUNFS_MSG_SETTLED = 2, /* worker -> supervisor: outcome of the first login round: status = LunfsExit, text = message.
                            OK: all (or some) files are there. */
  LUNFS_MSG_STOP = 3,    /* supervisor -> worker: flush, log out, exit within limit_ms */
  LUNFS_MSG_STOPPED = 4, /* worker -> supervisor: status = LunfsExit (OK or UNFLUSHED), text = what was left.
                            Sent before the worker exits with status 0 in answer to STOP or after the unmount. */
  LUNFS_MSG_UPGRADE = 5, /* worker -> supervisor: lunfsctl asks for the newly installed program */
  LUNFS_MSG_LEAVE = 6, /* supervisor -> worker: read no more requests, answer those that were read, leave the rest to a
                            successor; within limit_ms */
  LUNFS_MSG_LEFT = 7,  /* worker -> supervisor: status = requests it leaves unanswered.  It touches nothing any more and
                            waits for FOLLOW, or for the supervisor's death. */
  LUNFS_MSG_FOLLOW =
      8, /* supervisor -> worker: become your own successor: the program in the descriptor that comes along, text =
                            its path; without one: the program it is */
  LUNFS_MSG_TROUBLE =
      9, /* worker -> supervisor: why SETTLED is not there yet; it is tried again.  Empty: that has passed. */
  LUNFS_MSG_PING = 20,   /* supervisor -> worker: do control thread and lanes still turn? (supervisor/pulse.h) */
  LUNFS_MSG_PONG = 21,   /* worker -> supervisor: yes */
  LUNFS_MSG_STORED = 22, /* supervisor -> worker: status: when I am gone, will a successor go on with the mount? */
} LunfsMessageType;

typedef struct {
  uint32_t type;
  int32_t status;
  uint32_t limit_ms;
  char text[480]; /* NUL-terminated */
} LunfsMessage;

typedef enum { LUNFS_RECEIVED_NONE, LUNFS_RECEIVED_MESSAGE, LUNFS_RECEIVED_END } LunfsReceived;

/* Neither waits.  @text may be NULL and is cut to size.  False: the other end is gone or does not read. */
bool lunfs_message_send (int control_fd, LunfsMessageType type, int status, uint32_t limit_ms, const char *text);
/* With a descriptor; @fd < 0: without. */
bool lunfs_message_send_fd (int control_fd, LunfsMessageType type, const char *text, int fd);
/* END: the other process is gone.  *out_fd: the descriptor that came along, the caller's, close-on-exec; -1 = none.  NULL: none is
 * taken. */
LunfsReceived lunfs_message_receive (int control_fd, LunfsMessage *out, int *out_fd);

/* What the worker is started with: the inherited descriptors. */
typedef struct {
  int fuse_fd;     /* /dev/fuse, INIT already answered */
  int arena_fd;    /* memfd, see lunfs/arena.h */
  int settings_fd; /* memfd with lunfs_settings_to_text */
  int control_fd;  /* SOCK_SEQPACKET */
  bool misfit;     /* worker: its supervisor is of a program that this one cannot work for */
} LunfsWorkerFds;

/* Environment variable that makes the program a worker: "fuse,arena,settings,control;protocol,settings format":
 * descriptor numbers, and what they mean (supervisor/interface.h). */
#define LUNFS_WORKER_ENV "LUNFS_WORKER_FDS"

/* Run the mount: returns the exit status of the command.  Without settings->foreground it forks; the parent returns
 * when the mount serves and the first login has settled or login_wait has passed. */
int lunfs_supervisor_run (LunfsSettings *settings);

/* True, with *out filled and the environment variable removed, if this process was started as a worker. */
bool lunfs_worker_fds_from_env (LunfsWorkerFds *out);

/* The settings from LunfsWorkerFds.settings_fd, which stays open. */
LunfsSettings *lunfs_worker_read_settings (int settings_fd, GError **error);

/* The worker's body (src/worker).  Returns the process exit status: 0 = done, do not start again;
 * anything else = start a new one; LUNFS_EXIT_MISFIT: nothing was touched. */
int lunfs_worker_run (const LunfsWorkerFds *fds);

#endif
