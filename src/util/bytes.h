/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Big-endian loads and stores, as SCSI and iSCSI use them.  Any alignment; the caller has checked the bounds.
 */
#ifndef LUNFS_BYTES_H
#define LUNFS_BYTES_H

#include <stdint.h>

static inline uint16_t
lunfs_get_be16 (const uint8_t *p)
{
  return (uint16_t) (p[0] << 8 | p[1]);
}

static inline uint32_t
lunfs_get_be24 (const uint8_t *p)
{
  return (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];
}

static inline uint32_t
lunfs_get_be32 (const uint8_t *p)
{
  return (uint32_t) lunfs_get_be16 (p) << 16 | lunfs_get_be16 (p + 2);
}

static inline uint64_t
lunfs_get_be64 (const uint8_t *p)
{
  return (uint64_t) lunfs_get_be32 (p) << 32 | lunfs_get_be32 (p + 4);
}

static inline void
lunfs_put_be16 (uint8_t *p, uint16_t v)
{
  p[0] = (uint8_t) (v >> 8);
  p[1] = (uint8_t) v;
}

static inline void
lunfs_put_be24 (uint8_t *p, uint32_t v)
{
  p[0] = (uint8_t) (v >> 16);
  lunfs_put_be16 (p + 1, (uint16_t) v);
}

static inline void
lunfs_put_be32 (uint8_t *p, uint32_t v)
{
  lunfs_put_be16 (p, (uint16_t) (v >> 16));
  lunfs_put_be16 (p + 2, (uint16_t) v);
}

static inline void
lunfs_put_be64 (uint8_t *p, uint64_t v)
{
  lunfs_put_be32 (p, (uint32_t) (v >> 32));
  lunfs_put_be32 (p + 4, (uint32_t) v);
}

#endif
