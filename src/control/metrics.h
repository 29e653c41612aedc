/* SPDX-License-Identifier: GPL-2.0-or-later */
/* .lunfs/metrics: what the status file counts, as OpenMetrics text 1.0, from published facts and counters only: it never waits
 * for a lane or a target.  Counters begin anew with each worker, as any program's do. */
#ifndef LUNFS_METRICS_H
#define LUNFS_METRICS_H

#include "control/status.h"

/* Ends with "# EOF".  Control thread.  Free with g_free. */
char *lunfs_metrics_text (const LunfsStatus *status);

#endif
