/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor does when: readiness, restarts, the end.  A pure state machine with the clock as argument:
 * an event goes in, actions come out.  keeper.c feeds it and carries the actions out. */
#ifndef LUNFS_SUPERVISOR_POLICY_H
#define LUNFS_SUPERVISOR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
  LUNFS_EVENT_TICK,      /* a deadline may have passed; the first one starts the first worker */
  LUNFS_EVENT_SERVING,   /* the worker's messages */
  LUNFS_EVENT_SETTLED,   /* with status */
  LUNFS_EVENT_STOPPED,   /* with status */
  LUNFS_EVENT_EXITED,    /* the worker was reaped, or could not be started; with the signal that ended it */
  LUNFS_EVENT_TERMINATE, /* a signal, or the command that waits for us went away */
  LUNFS_EVENT_UPGRADE,   /* somebody asks for the newly installed program */
  LUNFS_EVENT_FITS,      /* it can take over */
  LUNFS_EVENT_MISFIT,    /* it cannot */
  LUNFS_EVENT_LEFT,      /* the worker's message: it waits to become its successor */
  LUNFS_EVENT_ACCUSED,   /* EXITED follows: the worker crashed over a request that one before it had crashed over */
} LunfsPolicyEvent;

/* Actions, to be done in this order: first those of an upgrade, then the others as they stand. */
enum {
  LUNFS_DO_START = 1 << 0,      /* start a worker */
  LUNFS_DO_STOP = 1 << 1,       /* send it LUNFS_MSG_STOP with stop_limit_ms */
  LUNFS_DO_KILL = 1 << 2,       /* SIGKILL it */
  LUNFS_DO_READY = 1 << 3,      /* tell the waiting command that the mount serves */
  LUNFS_DO_FINISH = 1 << 4,     /* unmount and exit with status */
  LUNFS_DO_UNMOUNT = 1 << 5,    /* unmount if nobody uses it; the worker notices and says STOPPED */
  LUNFS_DO_DECLINE = 1 << 6,    /* no upgrade now: one is under way, or the mount is being stopped */
  LUNFS_DO_ABANDON = 1 << 7,    /* nothing comes of the upgrade under way */
  LUNFS_DO_CONFIRM = 1 << 8,    /* it is decided: the program that does not run is not needed */
  LUNFS_DO_CHECK = 1 << 9,      /* ask the new program whether it fits */
  LUNFS_DO_LEAVE = 1 << 10,     /* send the worker LUNFS_MSG_LEAVE with LUNFS_POLICY_LEAVE_MS */
  LUNFS_DO_SWITCH = 1 << 11,    /* workers are the new program from now on */
  LUNFS_DO_FALL_BACK = 1 << 12, /* workers are the former program again */
  LUNFS_DO_UPGRADED = 1 << 13,  /* the new worker serves */
  LUNFS_DO_FOLLOW = 1 << 14,    /* instead of START: the worker that has left becomes the next one */
};

/* In quarters, each of which may be shorter (worker/leave.c): one to synchronise, while users are served.  Two for what is under
 * way: a full queue on a slow disk (128 commands at 60 a second) ends in that.  One for what is dirty and on its way, and for
 * good-byes.  So users wait three seconds at most, much less than any user of a disk minds. */
#define LUNFS_POLICY_LEAVE_MS 4000

typedef enum {
  LUNFS_STEP_NONE,
  LUNFS_STEP_CHECK, /* the new program is asked */
  LUNFS_STEP_LEAVE, /* the worker was asked to leave */
  LUNFS_STEP_START, /* it has left, or is gone; the new one starts */
  LUNFS_STEP_TRIAL, /* that serves, for a short time so far */
  LUNFS_STEP_DOUBT, /* it died: the former one serves, and shows whether it was to blame */
} LunfsUpgradeStep;

typedef enum {
  LUNFS_PHASE_SERVE,  /* a worker that dies is started again */
  LUNFS_PHASE_LINGER, /* asked to stop, but in use: goes on serving until it is not, or its time is up */
  LUNFS_PHASE_FLUSH,  /* asked to stop: started again only while there is time to flush */
  LUNFS_PHASE_END,    /* the next exit is the last */
  LUNFS_PHASE_DONE,
} LunfsPolicyPhase;

/* Why it ended, for the message. */
typedef enum {
  LUNFS_CAUSE_WORKER,  /* the worker said so: its text counts */
  LUNFS_CAUSE_EARLY,   /* stopped or unmounted before it was ready */
  LUNFS_CAUSE_CRASHES, /* workers died one after the other and none ever served */
  LUNFS_CAUSE_SILENT,  /* the worker never served */
  LUNFS_CAUSE_KILLED,  /* it did not stop in time */
} LunfsPolicyCause;

#define LUNFS_NEVER INT64_MAX

/* All times in microseconds of one clock. */
typedef struct {
  int64_t login_wait_us, stop_timeout_us; /* set before the first event */
  int64_t linger_us; /* of stop_timeout: for users to leave; set before the first event, 0 = none */
  bool waited_for;   /* by a command: an end before READY is its failure */

  LunfsPolicyPhase phase;
  bool running;         /* a worker is there */
  bool served, settled; /* at least once */
  bool ready;           /* LUNFS_DO_READY was given */
  bool serving;         /* this worker has said SERVING */
  bool stopped;         /* this worker has said STOPPED */
  bool killed;          /* this worker got SIGKILL */
  bool failed;          /* status is decided, whatever the worker's end */
  int status;           /* LunfsExit */
  LunfsPolicyCause cause;
  unsigned short_lives; /* workers in a row that died young, of themselves */
  uint32_t stop_limit_ms;
  int64_t started_us;
  int64_t start_at, serve_by, ready_at, kill_at; /* LUNFS_NEVER = not pending */
  int64_t unmount_at, linger_until, stop_by;     /* LINGER */

  LunfsUpgradeStep step;
  int64_t step_at; /* when the step has taken too long; TRIAL, DOUBT: long enough */
  bool accused;    /* this worker's end is the fault of a request */
} LunfsPolicy;

/* Sets waited_for; a process in the foreground clears it. */
void lunfs_policy_init (LunfsPolicy *p, int64_t login_wait_us, int64_t stop_timeout_us, int64_t now_us);
/* Before the first event: the mount has been served before.  It is ready when a worker serves, lives on whatever the logins
 * say, and does not end because workers die early. */
void lunfs_policy_adopt (LunfsPolicy *p);
/* @status counts for SETTLED and STOPPED (LunfsExit), and for EXITED (a signal's number, 0 = none).  Returns LUNFS_DO_... bits. */
unsigned lunfs_policy_event (LunfsPolicy *p, LunfsPolicyEvent event, int status, int64_t now_us);
/* When the next TICK is due; LUNFS_NEVER if none. */
int64_t lunfs_policy_deadline (const LunfsPolicy *p);
/* The delay before a new worker after @short_lives young deaths in a row. */
int64_t lunfs_policy_backoff_us (unsigned short_lives);

#endif
