/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of iovecs.  Pure. */
#ifndef LUNFS_IOV_H
#define LUNFS_IOV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* @len bytes of @iov from byte @skip on, as elements of @out.  Returns how many, or 0 if @max is too few or @iov too short. */
unsigned lunfs_iov_slice (const struct iovec *iov, unsigned niov, uint64_t skip, uint64_t len, struct iovec *out,
                          unsigned max);
/* Copy @len bytes at byte @skip of @iov, which has them, to or from @data. */
void lunfs_iov_get (const struct iovec *iov, unsigned niov, uint64_t skip, void *data, size_t len);
void lunfs_iov_put (const struct iovec *iov, unsigned niov, uint64_t skip, const void *data, size_t len);
/* @data goes on behind what the first *@niov elements of @iov have: the last one grows if it ends there, else there is one
 * more.  False: there are @max already. */
bool lunfs_iov_append (struct iovec *iov, unsigned *niov, unsigned max, void *data, size_t len);

#endif
