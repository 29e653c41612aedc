/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters.  Relaxed atomics: they are read for reports only and order nothing. */
#include "ramtgt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPS_MAX = 64 };

static const char *const names[STAT_COUNT] = {
  [STAT_CONNECTIONS] = "connections",
  [STAT_LOGINS] = "logins",
  [STAT_DISCOVERY_LOGINS] = "discovery_logins",
  [STAT_LOGIN_FAILURES] = "login_failures",
  [STAT_REINSTATEMENTS] = "reinstatements",
  [STAT_LOGOUTS] = "logouts",
  [STAT_READ_BYTES] = "read_bytes",
  [STAT_WRITE_BYTES] = "write_bytes",
  [STAT_SYNCS] = "syncs",
  [STAT_FUA_WRITES] = "fua_writes",
  [STAT_FUA_READS] = "fua_reads",
  [STAT_UNMAPPED_BYTES] = "unmapped_bytes",
  [STAT_DATA_OUTS] = "data_outs",
  [STAT_R2TS] = "r2ts",
  [STAT_NOPS] = "nops",
  [STAT_TMFS] = "tmfs",
  [STAT_UNIT_ATTENTIONS] = "unit_attentions",
  [STAT_CHECK_CONDITIONS] = "check_conditions",
  [STAT_WINDOW_OVERRUNS] = "window_overruns",
  [STAT_CMDSN_GAPS] = "cmdsn_gaps",
  [STAT_PROTOCOL_ERRORS] = "protocol_errors",
};
static uint64_t counters[STAT_COUNT];
static uint64_t ops[OPS_MAX]; /* the last one: unknown commands */

void
stat_add (Stat stat, uint64_t n)
{
  __atomic_fetch_add (&counters[stat], n, __ATOMIC_RELAXED);
}

void
scsi_count (const ScsiOp *op)
{
  __atomic_fetch_add (&ops[op ? scsi_index (op) : OPS_MAX - 1], 1, __ATOMIC_RELAXED);
}

void
stat_reset (void)
{
  for (unsigned i = 0; i < STAT_COUNT; i++)
    __atomic_store_n (&counters[i], 0, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < OPS_MAX; i++)
    __atomic_store_n (&ops[i], 0, __ATOMIC_RELAXED);
}

char *
stat_json (void)
{
  char *text = NULL;
  size_t len;
  FILE *f = open_memstream (&text, &len);
  const char *comma = "";

  if (!f)
    return NULL;
  fputc ('{', f);
  for (unsigned i = 0; i < STAT_COUNT; i++)
    fprintf (f, "\"%s\":%" PRIu64 ",", names[i], __atomic_load_n (&counters[i], __ATOMIC_RELAXED));
  fputs ("\"commands\":{", f);
  for (unsigned i = 0; i < OPS_MAX; i++) {
    uint64_t n = __atomic_load_n (&ops[i], __ATOMIC_RELAXED);
    if (!n)
      continue;
    fprintf (f, "%s\"%s\":%" PRIu64, comma, i == OPS_MAX - 1 ? "unknown" : scsi_nth (i)->name, n);
    comma = ",";
  }
  fputs ("}}\n", f);
  fclose (f);
  return text;
}
