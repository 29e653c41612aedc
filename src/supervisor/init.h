/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FUSE_INIT, read and answered without libfuse, so that every kernel feature is ours to choose whatever the
 * library's age.  Done once per mount; each worker feeds the saved request to its own libfuse session, whose
 * answer the kernel no longer wants (ENOENT). */
#ifndef LUNFS_SUPERVISOR_INIT_H
#define LUNFS_SUPERVISOR_INIT_H

#include "lunfs/arena.h"

#include <linux/fuse.h>

/* Newer than some linux/fuse.h (7.38 in Debian 12). */
#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif
#ifndef FUSE_NO_EXPORT_SUPPORT
#define FUSE_NO_EXPORT_SUPPORT (1ULL << 38)
#endif
#ifndef FUSE_HAS_RESEND
#define FUSE_HAS_RESEND (1ULL << 39)
#endif

/* What to answer to @offered.  @max_background is cut to what the protocol can say.  Pure. */
struct fuse_init_out lunfs_init_choose (const struct fuse_init_in *offered, uint32_t max_background, bool page_cache);
/* The flags of an INIT in either direction as one number; flags2 counts only with FUSE_INIT_EXT. */
uint64_t lunfs_init_flags (uint32_t flags, uint32_t flags2);
/* fs.fuse.default_request_timeout and max_request_timeout -> the limit a new mount gets (fs/fuse/inode.c: process_init_limits'
 * rule for a server that asks for none); seconds, 0 = none.  Pure. */
uint32_t lunfs_init_request_timeout (uint32_t default_s, uint32_t max_s);
/* Read the first request from @fuse_fd, answer it, note request and agreement in @header. */
bool lunfs_init_answer (int fuse_fd, LunfsArenaHeader *header, uint32_t max_background, bool page_cache,
                        GError **error);

#endif
