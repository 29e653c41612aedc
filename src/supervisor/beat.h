/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done at each beat of the pulse: ask the worker, replace one that hangs, tell the service manager. */
#ifndef LUNFS_SUPERVISOR_BEAT_H
#define LUNFS_SUPERVISOR_BEAT_H

#include "supervisor/mount.h"
#include "supervisor/notify.h"
#include "supervisor/policy.h"
#include "supervisor/pulse.h"

#include <sys/types.h>

/* While we stop: said at each beat, at least every five seconds, until the policy's own limits end it. */
#define LUNFS_NOTIFY_EXTEND "EXTEND_TIMEOUT_USEC=20000000"
#define LUNFS_NOTIFY_STOPPING "STOPPING=1\n" LUNFS_NOTIFY_EXTEND
#define LUNFS_NOTIFY_WRITING LUNFS_NOTIFY_STOPPING "\nSTATUS=writing what is left to the target"

typedef struct {
  LunfsPulse *pulse;
  const LunfsNotify *notify;
  const LunfsMount *mount;
  const LunfsPolicy *policy;
  pid_t worker;   /* 0 = none */
  int control_fd; /* -1 = none */
} LunfsBeat;

/* As often as you like: it looks whether one is due.  True: one was. */
bool lunfs_beat (const LunfsBeat *beat);

#endif
