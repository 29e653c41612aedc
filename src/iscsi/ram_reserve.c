/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent reservations of the disk in memory, after SPC-4 5.9: registrations belong to nexuses and outlive their
 * connections; one other initiator is played by the test (OTHER). */
#include "config.h"

#include "iscsi/ram-private.h"

#include "scsi/reservation.h"
#include "scsi/sense.h"
#include "util/bytes.h"

#include <string.h>

#define OTHER UINT64_MAX /* nexus of the other initiator */

/* ---- registrations ---- */

static LunfsRamRegistration *
registration (LunfsRam *ram, uint64_t nexus)
{
  for (unsigned i = 0; i < ram->nregistrations; i++)
    if (ram->registrations[i].nexus == nexus)
      return &ram->registrations[i];
  return NULL;
}

static void
attend (LunfsRam *ram, uint64_t nexus, uint8_t ascq)
{
  for (GList *l = ram->connections.head; l; l = l->next) {
    LunfsRamConnection *connection = l->data;

    if (connection->nexus == nexus && connection->nattentions < G_N_ELEMENTS (connection->attentions))
      connection->attentions[connection->nattentions++] = (uint16_t) (0x2a00 | ascq);
  }
}

static void
attend_others (LunfsRam *ram, uint64_t but, uint8_t ascq)
{
  for (unsigned i = 0; i < ram->nregistrations; i++)
    if (ram->registrations[i].nexus != but)
      attend (ram, ram->registrations[i].nexus, ascq);
}

static bool
is_all_registrants (unsigned type)
{
  return type == LUNFS_PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS || type == LUNFS_PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

static bool
holds (LunfsRam *ram, uint64_t nexus)
{
  return ram->holder && (ram->holder == nexus || (is_all_registrants (ram->holder_type) && registration (ram, nexus)));
}

static void
release (LunfsRam *ram, uint64_t by)
{
  bool shared = lunfs_reservation_type_shared (ram->holder_type);

  ram->holder = ram->holder_type = 0;
  if (shared)
    attend_others (ram, by, 0x04);
}

static void
remove_one (LunfsRam *ram, LunfsRamRegistration *r)
{
  uint64_t nexus = r->nexus;

  *r = ram->registrations[--ram->nregistrations];
  if (ram->holder != nexus)
    return;
  if (is_all_registrants (ram->holder_type) && ram->nregistrations > 0)
    ram->holder = ram->registrations[0].nexus;
  else
    release (ram, nexus);
}

static void
put (LunfsRam *ram, uint64_t nexus, uint64_t key)
{
  LunfsRamRegistration *r = registration (ram, nexus);

  if (r && key)
    r->key = key;
  else if (r)
    remove_one (ram, r);
  else if (key && ram->nregistrations < LUNFS_RAM_REGISTRATIONS)
    ram->registrations[ram->nregistrations++] = (LunfsRamRegistration){ nexus, key };
  ram->pr_generation++;
}

static void
preempt (LunfsRam *ram, uint64_t by, uint64_t key, unsigned type)
{
  const LunfsRamRegistration *holder = ram->holder ? registration (ram, ram->holder) : NULL;
  bool takes = holder && holder->key == key && !is_all_registrants (ram->holder_type);

  if (takes) {
    ram->holder = by;
    ram->holder_type = type;
  }
  for (unsigned i = ram->nregistrations; i-- > 0;) {
    LunfsRamRegistration *r = &ram->registrations[i];

    if (r->key != key || r->nexus == by)
      continue;
    attend (ram, r->nexus, 0x05);
    remove_one (ram, r);
  }
  ram->pr_generation++;
}

void
lunfs_ram_forget_reservations (LunfsRam *ram)
{
  if (ram->persists)
    return;
  ram->nregistrations = 0;
  ram->holder = ram->holder_type = 0;
  ram->pr_generation = 0;
}

/* ---- commands ---- */

static void
reserve_in (LunfsRam *ram, LunfsCommand *cmd)
{
  uint8_t data[8 + 8 * LUNFS_RAM_REGISTRATIONS] = { 0 };
  uint32_t len = 8;

  switch (cmd->cdb[1] & 0x1f) {
  case LUNFS_PR_READ_KEYS:
    for (unsigned i = 0; i < ram->nregistrations; i++, len += 8)
      lunfs_put_be64 (data + len, ram->registrations[i].key);
    break;
  case LUNFS_PR_READ_RESERVATION:
    if (!ram->holder)
      break;
    if (!is_all_registrants (ram->holder_type))
      lunfs_put_be64 (data + 8, registration (ram, ram->holder)->key);
    data[21] = (uint8_t) ram->holder_type;
    len = 24;
    break;
  case LUNFS_PR_REPORT_CAPABILITIES:
    data[1] = 8;
    data[2] = ram->conf.persist ? 0x01 : 0;
    lunfs_ram_give (cmd, data, 8);
    return;
  default:
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x24, 0, false);
    return;
  }
  lunfs_put_be32 (data, ram->pr_generation);
  lunfs_put_be32 (data + 4, len - 8);
  lunfs_ram_give (cmd, data, len);
}

static void
register_it (LunfsRamConnection *connection, LunfsCommand *cmd, uint64_t key, uint64_t new_key, bool aptpl)
{
  LunfsRam *ram = connection->ram;
  const LunfsRamRegistration *r = registration (ram, connection->nexus);

  if (aptpl && !ram->conf.persist) {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x26, 0, false);
  } else if ((cmd->cdb[1] & 0x1f) == LUNFS_PR_REGISTER && (r ? r->key : 0) != key) {
    cmd->status = LUNFS_STATUS_RESERVATION_CONFLICT;
  } else {
    put (ram, connection->nexus, new_key);
    ram->persists = aptpl;
  }
}

static void
reserve_out (LunfsRamConnection *connection, LunfsCommand *cmd)
{
  LunfsRam *ram = connection->ram;
  const LunfsRamRegistration *r = registration (ram, connection->nexus);
  unsigned action = cmd->cdb[1] & 0x1f, type = cmd->cdb[2] & 0x0f;
  uint8_t param[LUNFS_PR_PARAM_BYTES] = { 0 };
  uint64_t key, other;

  lunfs_ram_take (cmd, param, sizeof param);
  key = lunfs_get_be64 (param);
  other = lunfs_get_be64 (param + 8);
  if (action == LUNFS_PR_REGISTER || action == LUNFS_PR_REGISTER_AND_IGNORE) {
    register_it (connection, cmd, key, other, param[20] & 1);
  } else if (!r || r->key != key) {
    cmd->status = LUNFS_STATUS_RESERVATION_CONFLICT;
  } else if (action == LUNFS_PR_RESERVE) {
    if (ram->holder && (!holds (ram, connection->nexus) || ram->holder_type != type)) {
      cmd->status = LUNFS_STATUS_RESERVATION_CONFLICT;
    } else if (!ram->holder) {
      ram->holder = connection->nexus;
      ram->holder_type = type;
    }
  } else if (action == LUNFS_PR_RELEASE) {
    if (holds (ram, connection->nexus) && ram->holder_type == type)
      release (ram, connection->nexus);
    else if (holds (ram, connection->nexus))
      lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x26, 0x04, false);
  } else if (action == LUNFS_PR_PREEMPT || action == LUNFS_PR_PREEMPT_AND_ABORT) {
    if (lunfs_ram_registrations (ram, other) == 0)
      cmd->status = LUNFS_STATUS_RESERVATION_CONFLICT;
    else
      preempt (ram, connection->nexus, other, type);
  } else {
    lunfs_ram_check (cmd, LUNFS_KEY_ILLEGAL_REQUEST, 0x24, 0, false);
  }
}

/* SBC-3 table 13 in short: MODE SENSE counts as a read. */
static bool
is_forbidden (LunfsRamConnection *connection, const LunfsCommand *cmd)
{
  LunfsRam *ram = connection->ram;
  unsigned type = ram->holder_type;
  bool exclusive = type == LUNFS_PR_EXCLUSIVE_ACCESS || type == LUNFS_PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY
                   || type == LUNFS_PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;

  if (!ram->holder || ram->holder == connection->nexus
      || (lunfs_reservation_type_shared (type) && registration (ram, connection->nexus)))
    return false;
  if (lunfs_ram_is_write (cmd->cdb) || lunfs_ram_is_sync (cmd->cdb))
    return true;
  return exclusive && (lunfs_ram_is_read (cmd->cdb) || cmd->cdb[0] == 0x1a || cmd->cdb[0] == 0x5a);
}

bool
lunfs_ram_reserve (LunfsRamConnection *connection, LunfsCommand *cmd)
{
  if (!connection->ram->conf.reservations)
    return false;
  cmd->status = LUNFS_STATUS_GOOD;
  if (cmd->cdb[0] == 0x5e)
    reserve_in (connection->ram, cmd);
  else if (cmd->cdb[0] == 0x5f)
    reserve_out (connection, cmd);
  else if (is_forbidden (connection, cmd))
    cmd->status = LUNFS_STATUS_RESERVATION_CONFLICT;
  else
    return false;
  return true;
}

bool
lunfs_ram_is_reserve_out (const uint8_t *cdb)
{
  return cdb[0] == 0x5f;
}

/* ---- the test's side ---- */

void
lunfs_ram_other_registers (LunfsRam *ram, uint64_t key)
{
  put (ram, OTHER, key);
}

bool
lunfs_ram_other_reserves (LunfsRam *ram, unsigned type)
{
  if (ram->holder)
    return false;
  ram->holder = OTHER;
  ram->holder_type = type;
  return true;
}

void
lunfs_ram_other_releases (LunfsRam *ram)
{
  if (ram->holder == OTHER)
    release (ram, OTHER);
}

void
lunfs_ram_other_preempts (LunfsRam *ram, uint64_t key, unsigned type)
{
  preempt (ram, OTHER, key, type);
}

unsigned
lunfs_ram_registrations (LunfsRam *ram, uint64_t key)
{
  unsigned n = 0;

  for (unsigned i = 0; i < ram->nregistrations; i++)
    n += key == 0 || ram->registrations[i].key == key;
  return n;
}

uint64_t
lunfs_ram_holder (LunfsRam *ram, unsigned *out_type)
{
  *out_type = ram->holder_type;
  return ram->holder ? registration (ram, ram->holder)->key : 0;
}
