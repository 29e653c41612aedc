/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operations of libfuse that are more than a look at the tree, each kind with a state and a lock of its own: opens
 * (opens.c), FSYNC, FALLOCATE and LSEEK (lane_calls.c), the status file (status_file.c).  ops.c owns all three.
 *
 * Operations come from the lane that reads /dev/fuse, one at a time, and so do signals for them.  Each function that is
 * given a fuse_req_t answers it, now or later, on whatever thread. */
#ifndef LUNFS_OPS_PRIVATE_H
#define LUNFS_OPS_PRIVATE_H

#include "fuse/ops.h"

typedef struct LunfsOpens LunfsOpens;
typedef struct LunfsLaneCalls LunfsLaneCalls;
typedef struct LunfsStatusFile LunfsStatusFile;

struct LunfsOps {
  LunfsOpsConf conf;
  bool replaying; /* libfuse's answer to the saved INIT goes nowhere */
  LunfsOpsAnswered *answered;
  void *answered_user;
  LunfsOpens *opens;
  LunfsLaneCalls *lane_calls;
  LunfsStatusFile *status_file;
};

static inline LunfsOps *
lunfs_ops_of (fuse_req_t req)
{
  return fuse_req_userdata (req);
}

/* NULL: @ino is no LUN. */
static inline LunfsLun *
lunfs_ops_lun (fuse_req_t req, fuse_ino_t ino)
{
  return lunfs_tree_lun (lunfs_ops_of (req)->conf.tree, ino);
}

/* opens.c.  @request_limit_s: LunfsOpsConf. */
LunfsOpens *lunfs_opens_new (int request_limit_s);
void lunfs_opens_free (LunfsOpens *opens);
/* Answers OPEN of @lun with O_* @flags; of one that has never been up when lunfs_ops_release_opens says so. */
void lunfs_opens_open (LunfsOpens *opens, fuse_req_t req, LunfsLun *lun, int flags);
/* Open file @fh is closed. */
void lunfs_opens_close (LunfsOpens *opens, uint64_t fh);
/* What open file @fh has been told of (LunfsRequest.losses_seen); 0 of one that an earlier worker opened.  Any thread. */
uint64_t lunfs_opens_losses_seen (LunfsOpens *opens, uint64_t fh);
void lunfs_opens_set_losses_seen (LunfsOpens *opens, uint64_t fh, const LunfsLun *lun, uint64_t seen);

/* How many files of @lun are open, that this worker knows of.  Any thread. */
unsigned lunfs_opens_count (LunfsOpens *opens, const LunfsLun *lun);
/* How many wait.  Any thread. */
unsigned lunfs_opens_waiting (LunfsOpens *opens);

/* lane_calls.c.  Free: the lanes have stopped. */
LunfsLaneCalls *lunfs_lane_calls_new (void);
void lunfs_lane_calls_free (LunfsLaneCalls *calls);
/* How many are under way; one is counted until just before its answer.  Any thread. */
unsigned lunfs_lane_calls_count (LunfsLaneCalls *calls);
void lunfs_op_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void lunfs_op_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi);
void lunfs_op_lseek (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

/* xattr.c: answered at once. */
void lunfs_op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void lunfs_op_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size);
void lunfs_op_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void lunfs_op_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name);

/* status_file.c: all files of .lunfs.  Of @conf the texts are used. */
LunfsStatusFile *lunfs_status_file_new (const LunfsOpsConf *conf);
/* @ino is that of such a file. */
bool lunfs_is_status_file (uint64_t ino);
void lunfs_status_file_free (LunfsStatusFile *file);
void lunfs_status_file_open (LunfsStatusFile *file, fuse_req_t req, uint64_t ino, int flags);
void lunfs_status_file_read (LunfsStatusFile *file, fuse_req_t req, uint64_t ino, uint64_t fh, size_t size, off_t off);
void lunfs_status_file_close (LunfsStatusFile *file, fuse_req_t req, uint64_t fh);

#endif
