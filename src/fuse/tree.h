/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and node ids.  Node ids are fixed: a LUN's is its index in the arena, so that a new worker gives the same ones and
 * needs no look-up counts.
 *
 *   1 root     2 .lunfs     3 .lunfs/status.json     4 by-id     5 .lunfs/metrics     6 by-path
 *   0x1000 + t    directory of target t       0x100000 + i   LUN i
 *   0x200000 + 0x400 s + i   link to LUN i in by-id by scheme s (links.h)       0x300000 + i   in by-path
 * With a plain file as mount point node 1 is LUN 0 of the arena and there is nothing else.
 *
 * Additions come from the control thread, look-ups from any; one short lock, but none for lunfs_tree_lun. */
#ifndef LUNFS_TREE_H
#define LUNFS_TREE_H

#include "lun/lun.h"
#include "session/session.h"

#include <sys/stat.h>

typedef struct LunfsTree LunfsTree;

#define LUNFS_INO_ROOT 1u
#define LUNFS_INO_CONTROL 2u
#define LUNFS_INO_STATUS 3u
#define LUNFS_INO_BY_ID 4u
#define LUNFS_INO_METRICS 5u
#define LUNFS_INO_BY_PATH 6u

typedef struct {
  bool root_is_file;
  bool one_target; /* LUN files stand in the root */
  uint32_t uid, gid, umask;
  int64_t
      born_us; /* of the mount, wall clock: what does not change has that time.  rsync, make and backup tools compare it */
} LunfsTreeConf;

LunfsTree *lunfs_tree_new (const LunfsTreeConf *conf);
void lunfs_tree_free (LunfsTree *tree);
/* What the tree knows of a LUN; all borrowed until the tree is freed. */
typedef struct {
  const char *host, *target_name;
  uint16_t port, number;
  LunfsLun *lun;
  LunfsSession *session;
  const LunfsStats *stats;
  bool found; /* by the target's answer, not named by the user: it may go */
} LunfsTreeLun;

/* Make LUN @index known (not yet visible). */
void lunfs_tree_add (LunfsTree *tree, unsigned index, const LunfsTreeLun *lun);
/* It has been up: its name appears.  Returns true if that is new. */
bool lunfs_tree_show (LunfsTree *tree, unsigned index);
/* If @ino is a LUN's: from now on its data may be another, and its time of change says so.  Any thread. */
void lunfs_tree_touch (LunfsTree *tree, uint64_t ino);
/* Its names go; the node stays, for those who have the file open and in case it comes back. */
void lunfs_tree_hide (LunfsTree *tree, unsigned index);
/* False: @ino is no LUN's. */
bool lunfs_tree_known (LunfsTree *tree, uint64_t ino, LunfsTreeLun *out);

/* LUN behind a node id, or NULL.  Lock-free: the hot path. */
LunfsLun *lunfs_tree_lun (LunfsTree *tree, uint64_t ino);
/* "TARGET lun N" for the log; NULL if @ino is no LUN's.  Free with g_free. */
char *lunfs_tree_lun_name (LunfsTree *tree, uint64_t ino);
/* The node id LUN @index has. */
uint64_t lunfs_tree_ino (const LunfsTree *tree, unsigned index);
/* Node id of @name in @parent; 0 = no such name. */
uint64_t lunfs_tree_lookup (LunfsTree *tree, uint64_t parent, const char *name);
/* False: no such node. */
bool lunfs_tree_stat (LunfsTree *tree, uint64_t ino, struct stat *st);
/* The entry of directory @ino at place *@place, "." and ".." included, or the next one after it: name into @name, its stat;
 * *@place is then the one behind it.  False: there is none.  Places are fixed, whatever comes and goes. */
bool lunfs_tree_entry (LunfsTree *tree, uint64_t ino, uint64_t *place, char *name, size_t size, struct stat *st);
/* Where the link @ino points, relative to its directory; NULL if it is none.  Free with g_free. */
char *lunfs_tree_readlink (LunfsTree *tree, uint64_t ino);
/* Path of LUN @index below the mount point, "" if the mount point is the LUN; free with g_free. */
char *lunfs_tree_path (LunfsTree *tree, unsigned index);

#endif
