/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status (two bytes) and sense data (the rest): parsed, judged, put into words. */
#include "config.h"

#include "fuzz.h"

#include "lunfs/stats.h"
#include "scsi/sense.h"

#include <stdlib.h>
#include <string.h>

static const unsigned statuses[] = { 0x00, 0x02, 0x04, 0x08, 0x18, 0x28, 0x30, 0x40, LUNFS_STATUS_NONE };

static bool
same (const LunfsSense *a, const LunfsSense *b)
{
  return a->valid == b->valid && a->deferred == b->deferred && a->key == b->key && a->asc == b->asc
         && a->ascq == b->ascq && a->has_info == b->has_info && a->info == b->info;
}

static void
parse (const uint8_t *data, size_t len, LunfsSense *out)
{
  LunfsSense cut;
  size_t told;

  memset (out, 0xa5, sizeof *out);
  lunfs_sense_parse (data, len, out);
  must (out->key < 16 && (out->valid || (!out->deferred && !out->key && !out->asc && !out->ascq && !out->has_info)));
  must (out->has_info || out->info == 0);
  if (len < 8) {
    must (!out->valid);
    return;
  }
  /* What is behind its end by ADDITIONAL SENSE LENGTH is not looked at. */
  told = MIN (len, 8 + (size_t) data[7]);
  lunfs_sense_parse (data, told, &cut);
  must (same (out, &cut));
}

static void
judge (unsigned status, const LunfsSense *sense)
{
  for (unsigned kind = LUNFS_CMD_READ; kind <= LUNFS_CMD_OTHER; kind++) {
    LunfsVerdict v = lunfs_sense_verdict (status, sense, (LunfsCmdKind) kind);

    must (v.action <= LUNFS_ACT_FAIL);
    must ((v.err == 0) == (v.action == LUNFS_ACT_DONE));
    must (v.err >= 0 && v.err < (int) G_N_ELEMENTS (((LunfsStats *) 0)->errors_by_errno));
    must (v.max_tries < 32 && v.delay_ms <= 10000 && v.ua < LUNFS_UA_DEFERRED * 2);
    must (v.ua == 0 || v.action == LUNFS_ACT_UNIT_ATTENTION || v.ua == LUNFS_UA_ALUA);
    /* What is done again at once must end by itself. */
    must (v.max_tries > 0
          || (v.action != LUNFS_ACT_RETRY && v.action != LUNFS_ACT_SPLIT && v.action != LUNFS_ACT_UNIT_ATTENTION));
    /* What may be done for long is done with pauses. */
    must (v.delay_ms > 0
          || (v.action != LUNFS_ACT_RETRY_LATER && v.action != LUNFS_ACT_BUSY && v.action != LUNFS_ACT_WAIT_READY));
  }
}

static void
describe (unsigned status, const LunfsSense *sense)
{
  char whole[256];

  must (lunfs_sense_text (status, sense, whole, sizeof whole) == whole);
  must (whole[0] && fuzz_printable (whole) && strlen (whole) < 128); /* its users' buffers */
  for (size_t size = 1; size < 128; size += 1 + size / 2) {
    char *text = malloc (size);

    lunfs_sense_text (status, sense, text, size);
    must (strlen (text) == MIN (size - 1, strlen (whole)) && strncmp (text, whole, size - 1) == 0);
    free (text);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  unsigned status = fuzz_u16 (&in);
  LunfsSense sense;
  size_t len;
  uint8_t *bytes = fuzz_take (&in, SIZE_MAX, &len);

  parse (bytes, len, &sense);
  judge (status, &sense);
  judge (status, NULL);
  describe (status, &sense);
  for (size_t i = 0; i < G_N_ELEMENTS (statuses); i++) {
    judge (statuses[i], &sense);
    describe (statuses[i], &sense);
  }
  free (bytes);
  return 0;
}
