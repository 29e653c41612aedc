/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has the kernel drop the pages it caches of a node, from a process of its own: the kernel waits for pages that are being read
 * or written, and whoever waits there cannot be killed.  If that were a thread of the worker, then a worker that is killed
 * would not end, no successor would start, and nobody would be there to answer for those pages. */
#ifndef LUNFS_EXPIRE_H
#define LUNFS_EXPIRE_H

#include <stdbool.h>
#include <stdint.h>

/* Does not wait for it.  False, with errno: there can be no such process.  Control thread. */
bool lunfs_expire_pages (int fuse_fd, uint64_t ino);

#endif
