/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is there: SendTargets on a portal, REPORT LUNS on a target.  One question, one answer; asking again after a
 * failure is the caller's.  Control thread; the connection itself runs on a lane. */
#ifndef LUNFS_DISCOVERY_H
#define LUNFS_DISCOVERY_H

#include "iscsi/transport.h"
#include "lunfs/error.h"
#include "lunfs/settings.h"

typedef struct {
  char *name, *host; /* host: numeric */
  uint16_t port;
} LunfsFoundTarget;

typedef struct {
  LunfsLoginOutcome outcome;
  const char *text;   /* if outcome is not OK */
  GPtrArray *targets; /* of LunfsFoundTarget, each target once; SendTargets only */
  GPtrArray *lines; /* char*: "PORTAL,TPGT NAME" as the target says it, each portal of each target; SendTargets only */
  const uint16_t *luns; /* sorted; REPORT LUNS only */
  unsigned nluns;
} LunfsFound;

typedef void (*LunfsFoundFunc) (void *user, const LunfsFound *found);

typedef struct {
  LunfsLane *lane;
  LunfsTransportOpen open;
  const LunfsSettings *settings;
  const char *host;
  uint16_t port;
  const char *target_name; /* NULL: SendTargets; else REPORT LUNS of this target */
  uint32_t isid_random;
} LunfsFindConf;

/* @conf's strings are copied.  @found is called once, on the control thread, at the latest after twice login_timeout, and
 * once more for each of at most eight redirections. */
void lunfs_find (const LunfsFindConf *conf, LunfsFoundFunc found, void *user);

/* The exit status that a failed login means. */
LunfsExit lunfs_login_exit (LunfsLoginOutcome outcome);

#endif
