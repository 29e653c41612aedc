/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's state and its three files: run.c the beginning and the end, keeper.c the loop and what policy.c has it do,
 * child.c the worker as a process.  One thread. */
#ifndef LUNFS_SUPERVISOR_KEEPER_PRIVATE_H
#define LUNFS_SUPERVISOR_KEEPER_PRIVATE_H

#include "supervisor/beat.h"
#include "supervisor/core.h"
#include "supervisor/holdings.h"
#include "supervisor/supervisor.h"
#include "supervisor/upgrade.h"

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
  char text[sizeof ((LunfsMessage *) 0)->text];    /* what the worker last said about its outcome */
  char trouble[sizeof ((LunfsMessage *) 0)->text]; /* and what keeps it from one */
  char ended[240];                                 /* how the last worker ended, in words */
} LunfsKeeper;

/* keeper.c */
/* Tell policy.c, and carry out what it says. */
void lunfs_keeper_event (LunfsKeeper *k, LunfsPolicyEvent event, int status);
/* Until it is finished. */
void lunfs_keeper_loop (LunfsKeeper *k);

/* child.c */
void lunfs_child_start (LunfsKeeper *k);
/* The one that has left becomes the next one.  If it does not hear it, its exit follows. */
void lunfs_child_follow (LunfsKeeper *k);
/* What the worker has to know when we are gone: whether there will be a successor. */
void lunfs_child_tell_stored (LunfsKeeper *k);
/* Its words. */
void lunfs_child_read (LunfsKeeper *k);
/* If it has ended. */
void lunfs_child_reap (LunfsKeeper *k);
void lunfs_child_close (LunfsKeeper *k); /* our end of the socket */

#endif
