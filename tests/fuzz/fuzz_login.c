/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libiscsi hands us of a target's: the text of a login that failed, and sense data behind its two length bytes.
 * take_sense() is static, so the file itself is compiled in here. */
#include "config.h"

#include "fuzz.h"

#include "iscsi/libiscsi.c"

static void
login (const char *text)
{
  LunfsLoginOutcome outcome = lunfs_outcome_of (text);
  g_autofree char *clean = lunfs_outcome_clean (text);
  const char *said = lunfs_outcome_text (outcome, clean, strlen (text) % 2);

  must (outcome > LUNFS_LOGIN_OK && outcome <= LUNFS_LOGIN_REFUSED && outcome != LUNFS_LOGIN_NOT_DISK);
  must (clean && strlen (clean) <= MAX (strlen (text), 64));
  must (said && *said);
}

static void
sense (FuzzBytes *in)
{
  LunfsCommand cmd = { .status = fuzz_u16 (in) };
  struct scsi_task task = { 0 };
  LunfsSense parsed;
  char text[128];
  size_t len;

  task.datain.data = fuzz_take (in, SIZE_MAX, &len);
  task.datain.size = (int) len;
  take_sense (&cmd, &task);
  must (cmd.sense_len <= LUNFS_SENSE_MAX && (size_t) cmd.sense_len + 2 <= MAX (len, 2));
  must (cmd.sense_len == 0 || memcmp (cmd.sense, task.datain.data + 2, cmd.sense_len) == 0);
  must (cmd.sense_len == 0 || cmd.status == LUNFS_STATUS_CHECK_CONDITION);
  lunfs_sense_parse (cmd.sense, cmd.sense_len, &parsed);
  must (fuzz_printable (lunfs_sense_text (cmd.status, &parsed, text, sizeof text)));
  free (task.datain.data);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  g_autofree char *text = NULL;

  fuzz_quiet ();
  if (fuzz_u8 (&in) & 1) {
    sense (&in);
    return 0;
  }
  text = fuzz_string (&in);
  login (text);
  return 0;
}
