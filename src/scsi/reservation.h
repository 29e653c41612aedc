/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PERSISTENT RESERVE IN and OUT (SPC-4 5.9, 6.15, 6.16): commands, parameter lists and answers.  Pure; any thread.
 * The answers come from the network: no parser reads past @len. */
#ifndef LUNFS_SCSI_RESERVATION_H
#define LUNFS_SCSI_RESERVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SPC-4 table 209; 0 stands for "no reservation" here. */
enum {
  LUNFS_PR_WRITE_EXCLUSIVE = 1,
  LUNFS_PR_EXCLUSIVE_ACCESS = 3,
  LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5,
  LUNFS_PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6,
  LUNFS_PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7,
  LUNFS_PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8,
};
/* "write-exclusive"; "" for none. */
const char *lunfs_reservation_type_name (unsigned type);
unsigned lunfs_reservation_type_parse (const char *name); /* 0: there is no such type */
/* Whoever is registered may do what the holder may. */
bool lunfs_reservation_type_shared (unsigned type);

/* Service actions */
enum { LUNFS_PR_READ_KEYS = 0, LUNFS_PR_READ_RESERVATION = 1, LUNFS_PR_REPORT_CAPABILITIES = 2 };
enum {
  LUNFS_PR_REGISTER = 0,
  LUNFS_PR_RESERVE = 1,
  LUNFS_PR_RELEASE = 2,
  LUNFS_PR_PREEMPT = 4,
  LUNFS_PR_PREEMPT_AND_ABORT = 5,
  LUNFS_PR_REGISTER_AND_IGNORE = 6,
};
#define LUNFS_PR_PARAM_BYTES 24

/* As in scsi/cdb.h: they return the CDB's length. */
unsigned lunfs_cdb_reserve_in (uint8_t *cdb, unsigned action, uint16_t alloc_bytes);
unsigned lunfs_cdb_reserve_out (uint8_t *cdb, unsigned action, unsigned type);
/* @key: ours; @action_key: the new one, or whose is meant. */
void lunfs_reserve_param (uint8_t *buf, uint64_t key, uint64_t action_key, bool aptpl);

/* Answer to READ KEYS: how many keys of it are in @buf. */
typedef struct {
  uint32_t generation;
  unsigned nkeys;
  bool complete; /* there are no others */
} LunfsKeys;
bool lunfs_keys_parse (const uint8_t *buf, size_t len, LunfsKeys *out);
uint64_t lunfs_keys_get (const uint8_t *buf, unsigned i);
/* How often @key is among them. */
unsigned lunfs_keys_count (const uint8_t *buf, const LunfsKeys *keys, uint64_t key);

/* Answer to READ RESERVATION. */
typedef struct {
  uint64_t key;  /* of the holder; 0: of all registrants, or there is none */
  unsigned type; /* 0: there is none */
} LunfsHolder;
bool lunfs_holder_parse (const uint8_t *buf, size_t len, LunfsHolder *out);

/* Answer to REPORT CAPABILITIES: registrations can be made to outlive a loss of power (PTPL_C). */
bool lunfs_reservations_persist (const uint8_t *buf, size_t len);

#endif
