/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the disk in memory share.
 *
 *   ram_disk.c     the disk and what commands do to it
 *   ram_reserve.c  persistent reservations
 *   ram.c          connections, and faults on the way
 *   ram_control.c  the test's side */
#ifndef LUNFS_RAM_PRIVATE_H
#define LUNFS_RAM_PRIVATE_H

#include "iscsi/ram.h"

enum { LUNFS_RAM_LOGIN, LUNFS_RAM_UP, LUNFS_RAM_DEAD };

typedef struct {
  LunfsTransport base;
  LunfsRam *ram;
  GList link; /* in LunfsRam.connections */
  LunfsLane *lane;
  const LunfsTransportEvents *events;
  void *user;
  unsigned number;
  uint64_t nexus; /* for reservations */
  int state;
  LunfsLoginOutcome outcome;
  bool silent_login, leaving;
  const char *why;
  LunfsTimer timer; /* login's answer; death; the answer to a logout */
  LunfsTimer pong;
  LunfsTimer reset;
  int64_t heard_us;
  GQueue tasks;
  uint16_t attentions[8]; /* asc << 8 | ascq */
  unsigned nattentions;
} LunfsRamConnection;

typedef struct {
  LunfsTimer timer;
  LunfsRamConnection *connection;
  LunfsCommand *cmd;
  uint64_t first, end; /* blocks, of a write */
  LunfsRamFaultKind fault;
  bool faulty, executed, held;
} LunfsRamTask;
G_STATIC_ASSERT (sizeof (LunfsRamTask) <= sizeof ((LunfsCommand *) 0)->space);

#define LUNFS_RAM_REGISTRATIONS 16

typedef struct {
  uint64_t nexus, key;
} LunfsRamRegistration;

struct LunfsRam {
  char *target_name;
  LunfsRamConf conf;
  LunfsRamStats stats;
  uint64_t max_blocks;
  uint8_t *now, *stable;
  uint8_t *dirty, *mapped; /* per block */
  uint64_t random;
  GQueue connections;
  GQueue orphans; /* Orphan: writes of lost connections that it may still execute (conf.tgtd) */
  GArray *faults, *log;
  bool logging, mute;
  uint8_t not_ready;
  LunfsLoginOutcome refuse_outcome;
  unsigned refuse_times, fail_times;
  LunfsRamRegistration registrations[LUNFS_RAM_REGISTRATIONS];
  unsigned nregistrations;
  uint64_t holder; /* nexus; 0 = nobody.  Of all registrants: one of them */
  unsigned holder_type;
  bool persists; /* as the last REGISTER wanted it */
  uint32_t pr_generation;
};

static inline LunfsRamTask *
lunfs_ram_task (LunfsCommand *cmd)
{
  return (LunfsRamTask *) cmd->space;
}

/* Below @n, from the target's own series; 0 for 0. */
uint32_t lunfs_ram_roll (LunfsRam *ram, uint32_t n);

/* ram_disk.c */
/* Carry the command out; fills in the answer. */
void lunfs_ram_execute (LunfsRam *ram, LunfsCommand *cmd);
/* Data to or from the command. */
void lunfs_ram_give (LunfsCommand *cmd, const uint8_t *data, uint32_t len);
void lunfs_ram_take (LunfsCommand *cmd, uint8_t *data, uint32_t len);
/* CHECK CONDITION is the answer. */
void lunfs_ram_check (LunfsCommand *cmd, uint8_t key, uint8_t asc, uint8_t ascq, bool deferred);
/* False: the command has no range of blocks. */
bool lunfs_ram_range (const uint8_t *cdb, uint64_t *lba, uint32_t *nblocks);
void lunfs_ram_make_stable (LunfsRam *ram, uint64_t lba);

/* ram_reserve.c */
/* PERSISTENT RESERVE IN and OUT are carried out, what somebody else's reservation forbids is answered: true. */
bool lunfs_ram_reserve (LunfsRamConnection *connection, LunfsCommand *cmd);
void lunfs_ram_forget_reservations (LunfsRam *ram); /* a loss of power */

/* ram.c */
void lunfs_ram_end_connection (LunfsRamConnection *connection, const char *why);
/* Writes of lost connections are not executed any more. */
void lunfs_ram_end_orphans (LunfsRam *ram);
/* Which targets there are to connect to. */
void lunfs_ram_list (LunfsRam *ram, bool known);

#endif
