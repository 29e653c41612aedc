/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/links.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

/* The prefix of an identity, and udev's prefixes for it: the digit of scsi- is the designator's type (SPC-4 7.8.6). */
static const struct {
  const char *prefix, *names[LUNFS_LINK_SCHEMES];
} kinds[] = {
  { "naa.", { "naa.", "scsi-3", "wwn-0x" } },
  { "eui.", { "eui.", "scsi-2", "wwn-0x" } },
  { "t10.", { "t10.", "scsi-1", NULL } },
  { "", { "", NULL, NULL } },
};

bool
lunfs_link_by_id (const char *identity, unsigned scheme, char *name, size_t size)
{
  for (unsigned i = 0; *identity && i < G_N_ELEMENTS (kinds); i++) {
    const char *prefix = kinds[i].names[scheme];

    if (!g_str_has_prefix (identity, kinds[i].prefix))
      continue;
    return prefix && (size_t) snprintf (name, size, "%s%s", prefix, identity + strlen (kinds[i].prefix)) < size;
  }
  return false;
}

bool
lunfs_link_by_path (const char *host, uint16_t port, const char *target_name, uint16_t lun, char *name, size_t size)
{
  char number[24];

  /* Linux counts LUNs with their addressing method, which is 1 ("flat space") above 255; udev writes those in hex. */
  if (lun < 256)
    snprintf (number, sizeof number, "%u", lun);
  else
    snprintf (number, sizeof number, "0x%04x000000000000", 0x4000u | lun);
  return (size_t) snprintf (name, size, "ip-%s:%u-iscsi-%s-lun-%s", host, port, target_name, number) < size;
}
