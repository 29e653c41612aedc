/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The probe: after every login (and after unit attentions that may mean a change) asks the LUN what it is.
 *
 * TEST UNIT READY until the unit attentions are used up and it is ready, INQUIRY, VPD 00/83/80/B0/B2, READ CAPACITY,
 * MODE SENSE; READ KEYS if asked to.  One command at a time on the session's transport; lane thread only. */
#ifndef LUNFS_PROBE_H
#define LUNFS_PROBE_H

#include "iscsi/transport.h"
#include "lunfs/luninfo.h"
#include "lunfs/stats.h"

typedef struct LunfsProbe LunfsProbe;

/* @error: 0 = *info is filled; else a negative errno and @text says why: -ENXIO no such LUN, -ENODEV not a disk,
 * -EIO other; -EHOSTUNREACH: not through this portal;
 * -ECANCELED: the session died (no text). */
typedef void (*LunfsProbeDone) (void *user, int error, const LunfsLunInfo *info, const char *text);
/* The LUN is there and does not serve (not ready, busy); it is asked again.  Once for each new @why. */
typedef void (*LunfsProbeWaits) (void *user, const char *why);

LunfsProbe *lunfs_probe_new (LunfsLane *lane, LunfsStats *stats, LunfsProbeDone done, LunfsProbeWaits waits,
                             void *user);
/* Not while one runs. */
void lunfs_probe_free (LunfsProbe *probe);
/* Start on @transport; done() comes later, unless lunfs_probe_abort.  @others: there are other portals to go to if the LUN
 * is in standby here; else it is waited for. */
void lunfs_probe_start (LunfsProbe *probe, LunfsTransport *transport, bool others);
/* Forget the probe under way: done() will not be called.  The command in flight may still come back. */
void lunfs_probe_abort (LunfsProbe *probe);
/* A command of the probe is at the transport. */
bool lunfs_probe_busy (const LunfsProbe *probe);
/* From now on also ask for PRGENERATION (LunfsLunInfo.pr_generation). */
void lunfs_probe_ask_keys (LunfsProbe *probe);
/* LUNFS_UA_* of all unit attentions met since lunfs_probe_start. */
unsigned lunfs_probe_attentions (const LunfsProbe *probe);
/* When the command in flight was sent (lane clock, us); 0 if none. */
int64_t lunfs_probe_since_us (const LunfsProbe *probe);

#endif
