/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All FUSE requests but READ and WRITE of LUNs, as libfuse's low-level operations: names and attributes from the tree at
 * once, FSYNC, FALLOCATE and LSEEK through the LUN's lane, the status file through the control thread. */
#ifndef LUNFS_OPS_H
#define LUNFS_OPS_H

#include "fuse/fuse_api.h"
#include "fuse/tree.h"

typedef struct LunfsOps LunfsOps;

typedef struct {
  LunfsTree *tree;
  /* The texts of the files in .lunfs; called on the default main context's thread.  Free with g_free. */
  char *(*status_text) (void *user);
  char *(*metrics_text) (void *user);
  void *user;
  bool page_cache;     /* the kernel caches what is read */
  int request_limit_s; /* no open waits longer for the first login; 0 = no such limit */
} LunfsOpsConf;

/* The session whose process_buf the channel feeds.  @init_request: the saved FUSE_INIT, replayed here so that libfuse knows
 * the protocol; @allow_root as in the mount options. */
struct fuse_session *lunfs_ops_session_new (const LunfsOpsConf *conf, int fuse_fd, const void *init_request,
                                            size_t init_bytes, bool allow_root, LunfsOps **out_ops, GError **error);
/* @answered: called when the kernel has an answer, with the number of the request; on any thread.  Before the first request
 * and after the last. */
typedef void LunfsOpsAnswered (void *user, uint64_t unique);
void lunfs_ops_set_answered (LunfsOps *ops, LunfsOpsAnswered *answered, void *user);
/* OPENs of the plain-file mount point that wait for its LUN: let them go on (it is up, or @give_up: EIO).  Any thread. */
void lunfs_ops_release_opens (LunfsOps *ops, bool give_up);
/* FSYNC, FALLOCATE and LSEEK not yet answered; opens that wait for a LUN's first login.  Any thread. */
unsigned lunfs_ops_under_way (LunfsOps *ops);
unsigned lunfs_ops_waiting_opens (LunfsOps *ops);
/* Open files of @lun; what was opened through an earlier worker is not counted.  Any thread. */
unsigned lunfs_ops_open_files (LunfsOps *ops, const LunfsLun *lun);
/* Nothing may be under way.  Closes the session's descriptor; either may be NULL. */
void lunfs_ops_free (LunfsOps *ops, struct fuse_session *se);

#endif
