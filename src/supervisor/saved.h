/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saved data: what a mount with state_dir had acknowledged, and could not flush before both its processes ended.
 *
 * It stands in the mount's arena file.  DIR/NAME.arena belongs to a mount while it is locked; unlocked, its mount is dead.
 * One with data in it is renamed to DIR/NAME-1.saved (-2, ...) before NAME.arena is made anew, so that it is never written
 * over.  A worker locks a saved file while it writes back what is for its LUNs, and no longer: mounts share a directory, and
 * each finds all the files.
 *
 * What becomes of a LUN's data is one word, LunfsArenaLun.saved, that lunfsctl may change without the lock; DONE is on disk
 * before the LUN is served, so that nothing is ever written back twice.  Any thread. */
#ifndef LUNFS_SUPERVISOR_SAVED_H
#define LUNFS_SUPERVISOR_SAVED_H

#include "lunfs/arena.h"

#define LUNFS_ARENA_SUFFIX ".arena"
#define LUNFS_SAVED_SUFFIX ".saved"

typedef struct {
  char *dir, *name; /* DIR/NAME */
  char *path;
  LunfsArena *arena;
  GMutex lock;    /* Protects users: a worker's lanes. */
  unsigned users; /* 0: the file is not under our lock */
} LunfsSaved;

/* Opens DIR/NAME.saved or, if its mount is dead, DIR/NAME.arena, to look at it and to mark it. */
LunfsSaved *lunfs_saved_open (const char *dir, const char *name, GError **error);
/* All in @dir that hold data.  @take: dead mounts' files are set aside, and all are taken, but for those that another mount
 * has.  @own, if not NULL, is not touched: to close another descriptor of it would give sole.c's lock back.
 * @unusable, if not NULL, hears of what cannot be opened. */
GPtrArray *lunfs_saved_open_all (const char *dir, bool take, const LunfsArena *own,
                                 void (*unusable) (void *user, const char *name, const char *why), void *user);
void lunfs_saved_free (LunfsSaved *saved);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsSaved, lunfs_saved_free)

/* The file at @path, locked by us, holds data: renames it.  Returns its new name, NULL with an error. */
char *lunfs_saved_set_aside (const char *path, GError **error);
/* Under our lock until it has been released as often.  False: another mount has it.  What waited may be gone by then. */
bool lunfs_saved_take (LunfsSaved *saved);
void lunfs_saved_release (LunfsSaved *saved);
/* The file under that name is this one. */
bool lunfs_saved_is_at (const LunfsArena *arena, const char *path);
/* Remove the file if nothing in it waits any more; it must be under our lock. */
void lunfs_saved_drop_empty (LunfsSaved *saved);

/* Bytes of pages and number of discarded or zeroed ranges that wait for LUN @lun. */
uint64_t lunfs_saved_bytes (const LunfsArena *arena, unsigned lun, unsigned *out_nranges);
/* Something waits in it. */
bool lunfs_saved_any (const LunfsArena *arena);
/* Its mount ran on the kernel that runs now, or ended in order: its content is whole. */
bool lunfs_saved_is_whole (const LunfsArena *arena);
char *lunfs_boot_id (void); /* "" if unknown */

/* The state of LUN @lun becomes @to, on disk when this returns, unless it is none of @from (bits of 1 << LunfsSavedState). */
bool lunfs_saved_mark (LunfsArena *arena, unsigned lun, unsigned from, LunfsSavedState to, const char *why);
/* Some of it may be at the target from now on; on disk when this returns. */
void lunfs_saved_begin (LunfsArena *arena, unsigned lun);
#define LUNFS_SAVED_OPEN (1u << LUNFS_SAVED_WAITS | 1u << LUNFS_SAVED_REFUSED | 1u << LUNFS_SAVED_APPROVED)

/* What is to be written for LUN @lun: uint32_t indices, ranges in order of seq, and then pages in order of their numbers, each
 * number once.  False: a record is damaged. */
bool lunfs_saved_collect (const LunfsArena *arena, unsigned lun, GArray **out_ranges, GArray **out_pages);

#endif
