/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A target in memory behind the transport contract: for tests of everything to the left of it.
 *
 * The target outlives its connections, as a real one does: blocks, pending unit attentions, faults to come.  Written data
 * is volatile until SYNCHRONIZE CACHE or FUA if it says WCE=1.  Answers come from the lane's timers, in an order that the
 * seed decides; a command is executed either when it arrives or when it is answered.  What it does wrong it was told to do.
 *
 * One lane; lunfs_ram_open finds the target by its name. */
#ifndef LUNFS_RAM_H
#define LUNFS_RAM_H

#include "iscsi/transport.h"

typedef struct LunfsRam LunfsRam;

#define LUNFS_RAM_NO_RESPONSE G_MAXUINT

/* What the LUN says about itself and how fast it is; may be changed at any time. */
typedef struct {
  uint64_t nblocks; /* not beyond that of lunfs_ram_new */
  uint32_t block_size;
  bool wce, dpofua, write_protected;
  bool no_modes; /* no MODE SENSE */
  bool no16;     /* none of the 16-byte commands */
  bool no_sync;  /* no SYNCHRONIZE CACHE in any form */
  bool lbpme, lbprz, lbpu, lbpws;
  bool no_write_same;
  uint8_t refusal_asc; /* what an unknown command gets: 20h (the default) or 24h */
  uint32_t max_transfer_blocks, max_unmap_blocks, unmap_granularity_blocks, unmap_alignment_blocks;
  uint64_t max_write_same_blocks;
  uint64_t naa;            /* VPD 83h; 0 = no identity */
  char serial[32];         /* VPD 80h; "" = none */
  bool ua_on_login;        /* every nexus begins with 29/00 */
  bool tgtd;               /* INQUIRY names tgtd: no reinstatement without SecurityNegotiation */
  bool reservations;       /* PERSISTENT RESERVE IN and OUT */
  bool persist;            /* ... which may outlive a loss of power (APTPL) */
  bool new_nexus;          /* each login is another nexus, as with tgtd */
  unsigned reset_response; /* to LUN RESET; 0 = done, LUNFS_RAM_NO_RESPONSE */
  int64_t latency_us, jitter_us;
} LunfsRamConf;

typedef struct {
  unsigned connections, open; /* ever, now */
  unsigned commands[256];     /* by operation code, as they came */
  unsigned overlaps;          /* writes that came while one to the same blocks was under way: never right */
  unsigned out_of_range;
  unsigned in_flight, max_in_flight;
  unsigned resets, security_logins; /* LUN RESETs; logins through SecurityNegotiation */
} LunfsRamStats;

/* One command as it came. */
typedef struct {
  uint8_t opcode, flags; /* cdb[0], cdb[1] */
  uint64_t lba;
  uint32_t nblocks;
  unsigned connection;
} LunfsRamRecord;

typedef enum {
  LUNFS_RAM_STATUS,      /* not executed: @status, with @key/@asc/@ascq if CHECK CONDITION; @bytes as below */
  LUNFS_RAM_UNDERFLOW,   /* GOOD, but @bytes of the data did not move */
  LUNFS_RAM_NO_ANSWER,   /* not executed, never answered */
  LUNFS_RAM_LOST_ANSWER, /* executed, never answered */
  LUNFS_RAM_DROP_BEFORE, /* the connection ends instead of it */
  LUNFS_RAM_DROP_AFTER,  /* the connection ends before its answer */
} LunfsRamFaultKind;

typedef struct {
  bool (*match) (const uint8_t *cdb); /* NULL: any command */
  unsigned skip, times;               /* let @skip matches pass, then strike @times times (0 = once) */
  LunfsRamFaultKind kind;
  uint16_t status;
  uint8_t key, asc, ascq;
  bool deferred;
  uint32_t bytes;
} LunfsRamFault;

LunfsRam *lunfs_ram_new (const char *target_name, uint64_t nblocks, uint32_t block_size, uint64_t seed);
void lunfs_ram_free (LunfsRam *ram); /* nothing connected */
LunfsTransport *lunfs_ram_open (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events,
                                void *user, GError **error);

LunfsRamConf *lunfs_ram_conf (LunfsRam *ram);
LunfsRamStats *lunfs_ram_stats (LunfsRam *ram);
/* All commands since the last clear; lunfs_ram_log (ram, true) clears.  Kept once it has been asked for. */
const GArray *lunfs_ram_log (LunfsRam *ram, bool clear);
uint8_t *lunfs_ram_data (LunfsRam *ram);         /* what a READ would get */
const uint8_t *lunfs_ram_stable (LunfsRam *ram); /* what would be left after a loss of power */

/* ---- what goes wrong ---- */
void lunfs_ram_fault (LunfsRam *ram, const LunfsRamFault *fault);
void lunfs_ram_clear_faults (LunfsRam *ram);
/* On the nexuses there are now. */
void lunfs_ram_unit_attention (LunfsRam *ram, uint8_t asc, uint8_t ascq);
/* NOT READY 04/@ascq until 0 is set (or, for 02h, until START UNIT). */
void lunfs_ram_not_ready (LunfsRam *ram, uint8_t ascq);
/* The connections end; commands not answered are executed or not, as the seed wills. */
void lunfs_ram_drop (LunfsRam *ram, const char *why);
/* drop, and volatile blocks go back to their stable content, but @survive_percent of them reached the medium in time. */
void lunfs_ram_power_loss (LunfsRam *ram, unsigned survive_percent);
/* The next @times logins end so; LUNFS_LOGIN_OK: they get no answer at all; LUNFS_LOGIN_MOVED: they are sent
 * to port 4711 of "elsewhere.test". */
void lunfs_ram_refuse (LunfsRam *ram, LunfsLoginOutcome outcome, unsigned times);
/* The next @times opens fail at once. */
void lunfs_ram_fail_open (LunfsRam *ram, unsigned times);
/* A black hole: nothing comes out until it is switched off again. */
void lunfs_ram_mute (LunfsRam *ram, bool mute);

/* ---- reservations: another initiator, and what there is ---- */
/* @key 0: it unregisters. */
void lunfs_ram_other_registers (LunfsRam *ram, uint64_t key);
bool lunfs_ram_other_reserves (LunfsRam *ram, unsigned type);
void lunfs_ram_other_releases (LunfsRam *ram);
void lunfs_ram_other_preempts (LunfsRam *ram, uint64_t key, unsigned type);
unsigned lunfs_ram_registrations (LunfsRam *ram, uint64_t key); /* how many have @key; 0: all */
/* Whose key holds it, 0 if nobody. */
uint64_t lunfs_ram_holder (LunfsRam *ram, unsigned *out_type);

/* For LunfsRamFault.match */
bool lunfs_ram_is_read (const uint8_t *cdb);
bool lunfs_ram_is_write (const uint8_t *cdb); /* WRITE, WRITE SAME, UNMAP */
bool lunfs_ram_is_sync (const uint8_t *cdb);
bool lunfs_ram_is_medium (const uint8_t *cdb); /* any of these */
bool lunfs_ram_is_ready (const uint8_t *cdb);  /* TEST UNIT READY */
bool lunfs_ram_is_reserve_out (const uint8_t *cdb);

#endif
