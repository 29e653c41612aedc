/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host names -> numeric addresses, without ever making a lane wait: asked in a thread of its own. */
#ifndef LUNFS_RESOLVE_H
#define LUNFS_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#define LUNFS_RESOLVE_MAX 8

/* @addresses: @n numeric addresses (IPv6 with %scope if it has one), valid during the call; n = 0: @error says why. */
typedef void (*LunfsResolveDone) (void *user, const char *const *addresses, unsigned n, const char *error);

/* It is an address already, which nobody has to be asked about. */
bool lunfs_host_is_numeric (const char *host);
/* Any thread.  @done on the control thread, or at once from inside if @host is an address already. */
void lunfs_resolve (const char *host, LunfsResolveDone done, void *user);
/* The same for @host and then @others ("HOST[:PORT]" separated by blanks; NULL = none): first the best address of each, then
 * the next best.  Those of @others are given as "[ADDRESS]:PORT". */
void lunfs_resolve_all (const char *host, const char *others, LunfsResolveDone done, void *user);

#endif
