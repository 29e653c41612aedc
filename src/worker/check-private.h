/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What check.c (the command, what is told) and check_steps.c (the steps) share.  One thread. */
#ifndef LUNFS_WORKER_CHECK_PRIVATE_H
#define LUNFS_WORKER_CHECK_PRIVATE_H

#include "worker/worker-private.h"

#include "control/discovery.h"
#include "control/resolve.h"

#include <json-glib/json-glib.h>

typedef struct {
  const char *name; /* what is checked, as the user calls it */
  LunfsSettings *settings;
  LunfsLane *lane;
  JsonBuilder *json; /* NULL: lines of text */
  int status;        /* of the first step that failed */
  uint32_t isid_random;

  char *addresses[LUNFS_RESOLVE_MAX + 1]; /* ends with NULL */
  unsigned naddresses;
  char *why;
  bool answered; /* what is waited for has come */

  /* of lunfs_find */
  LunfsLoginOutcome outcome;
  GPtrArray *targets; /* LunfsFoundTarget */
  uint16_t *luns;
  unsigned nluns;

  /* of one LUN's session */
  LunfsSession *session;
  bool up, stopped;
  LunfsLunInfo info;
  LunfsRequest req;
  struct iovec iov;
} LunfsCheck;

/* One line, or one object; @status 0: the step has been done.  @return whether it is 0. */
bool lunfs_check_say (LunfsCheck *c, const char *step, int status, const char *format, ...) G_GNUC_PRINTF (4, 5);
/* All that the configuration leads to, up to the first failure, which is then in @c. */
void lunfs_check_online (LunfsCheck *c);

#endif
