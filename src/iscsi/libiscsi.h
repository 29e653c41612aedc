/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transport over libiscsi. */
#ifndef LUNFS_LIBISCSI_H
#define LUNFS_LIBISCSI_H

#include "iscsi/transport.h"

LunfsTransport *lunfs_iscsi_open (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events,
                                  void *user, GError **error);

/* libiscsi changed struct scsi_task without a new soname: refuse to run with a library that is not the one we were
 * built for.  Once at start, before any thread. */
bool lunfs_iscsi_self_test (GError **error);

#endif
