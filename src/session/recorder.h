/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flight recorder of a session: the last answers that were not good, and what was made of each.
 *
 * Written by the lane, read by any thread; memory is taken with the first entry and bounded. */
#ifndef LUNFS_RECORDER_H
#define LUNFS_RECORDER_H

#include "lunfs/request.h"
#include "scsi/sense.h"

#define LUNFS_RECORDER_ENTRIES 64

typedef struct {
  int64_t real_us; /* wall clock */
  uint64_t lba;
  uint32_t nblocks;
  LunfsOp op;
  uint16_t status; /* SAM */
  uint8_t key, asc, ascq;
  uint8_t tries; /* attempts of the request so far */
  LunfsAction action;
  char text[96]; /* lunfs_sense_text */
} LunfsRecord;

typedef struct LunfsRecorder LunfsRecorder;

LunfsRecorder *lunfs_recorder_new (void);
void lunfs_recorder_free (LunfsRecorder *recorder);
void lunfs_recorder_add (LunfsRecorder *recorder, const LunfsRecord *record);
/* Copies the newest, oldest first, into @out, which has room for LUNFS_RECORDER_ENTRIES.  Returns how many; @out_total: how
 * many there have been. */
unsigned lunfs_recorder_read (LunfsRecorder *recorder, LunfsRecord *out, uint64_t *out_total);

#endif
