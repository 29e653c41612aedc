/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of LUNs in by-id and by-path, those that udev gives the kernel initiator's disks.  Pure. */
#ifndef LUNFS_LINKS_H
#define LUNFS_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUNFS_LINK_SCHEMES 3 /* of by-id: naa., eui., t10. or serial.; udev's scsi-; udev's wwn- */
#define LUNFS_LINK_MAX 256   /* bytes, with the NUL */

/* What a LUN of @identity (LunfsIdentity.text) is called in by-id by @scheme.  False: it has no such name. */
bool lunfs_link_by_id (const char *identity, unsigned scheme, char *name, size_t size);
/* ip-HOST:PORT-iscsi-TARGET-lun-N.  False: too long for a file's name. */
bool lunfs_link_by_path (const char *host, uint16_t port, const char *target_name, uint16_t lun, char *name,
                         size_t size);

#endif
