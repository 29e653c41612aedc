/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/reservation.h"

#include "scsi/cdb.h"
#include "util/bytes.h"

#include <glib.h>
#include <string.h>

#define KEY_BYTES 8
#define HEADER_BYTES 8

static const char *const type_names[] = {
  [LUNFS_PR_WRITE_EXCLUSIVE] = "write-exclusive",
  [LUNFS_PR_EXCLUSIVE_ACCESS] = "exclusive-access",
  [LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY] = "write-exclusive-registrants-only",
  [LUNFS_PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY] = "exclusive-access-registrants-only",
  [LUNFS_PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS] = "write-exclusive-all-registrants",
  [LUNFS_PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS] = "exclusive-access-all-registrants",
};

const char *
lunfs_reservation_type_name (unsigned type)
{
  if (type == 0)
    return "";
  return type < G_N_ELEMENTS (type_names) && type_names[type] ? type_names[type] : "unknown type";
}

unsigned
lunfs_reservation_type_parse (const char *name)
{
  for (unsigned i = 0; i < G_N_ELEMENTS (type_names); i++)
    if (type_names[i] && strcmp (type_names[i], name) == 0)
      return i;
  return 0;
}

bool
lunfs_reservation_type_shared (unsigned type)
{
  return type >= LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY && type <= LUNFS_PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

unsigned
lunfs_cdb_reserve_in (uint8_t *cdb, unsigned action, uint16_t alloc_bytes)
{
  memset (cdb, 0, LUNFS_CDB_MAX);
  cdb[0] = 0x5e;
  cdb[1] = (uint8_t) action;
  lunfs_put_be16 (cdb + 7, alloc_bytes);
  return 10;
}

/* Scope 0: the logical unit. */
unsigned
lunfs_cdb_reserve_out (uint8_t *cdb, unsigned action, unsigned type)
{
  memset (cdb, 0, LUNFS_CDB_MAX);
  cdb[0] = 0x5f;
  cdb[1] = (uint8_t) action;
  cdb[2] = (uint8_t) type;
  lunfs_put_be32 (cdb + 5, LUNFS_PR_PARAM_BYTES);
  return 10;
}

void
lunfs_reserve_param (uint8_t *buf, uint64_t key, uint64_t action_key, bool aptpl)
{
  memset (buf, 0, LUNFS_PR_PARAM_BYTES);
  lunfs_put_be64 (buf, key);
  lunfs_put_be64 (buf + 8, action_key);
  buf[20] = aptpl ? 0x01 : 0;
}

bool
lunfs_keys_parse (const uint8_t *buf, size_t len, LunfsKeys *out)
{
  uint32_t told;

  if (buf == NULL || len < HEADER_BYTES)
    return false;
  told = lunfs_get_be32 (buf + 4);
  out->generation = lunfs_get_be32 (buf);
  out->nkeys = (unsigned) (MIN ((size_t) told, len - HEADER_BYTES) / KEY_BYTES);
  out->complete = told <= len - HEADER_BYTES;
  return true;
}

uint64_t
lunfs_keys_get (const uint8_t *buf, unsigned i)
{
  return lunfs_get_be64 (buf + HEADER_BYTES + i * KEY_BYTES);
}

unsigned
lunfs_keys_count (const uint8_t *buf, const LunfsKeys *keys, uint64_t key)
{
  unsigned n = 0;

  for (unsigned i = 0; i < keys->nkeys; i++)
    n += lunfs_keys_get (buf, i) == key;
  return n;
}

bool
lunfs_holder_parse (const uint8_t *buf, size_t len, LunfsHolder *out)
{
  if (buf == NULL || len < HEADER_BYTES)
    return false;
  *out = (LunfsHolder){ 0 };
  if (lunfs_get_be32 (buf + 4) < 16 || len < HEADER_BYTES + 14)
    return true;
  out->key = lunfs_get_be64 (buf + HEADER_BYTES);
  out->type = buf[HEADER_BYTES + 13] & 0x0f;
  return true;
}

bool
lunfs_reservations_persist (const uint8_t *buf, size_t len)
{
  return buf != NULL && len >= 3 && (buf[2] & 0x01);
}
