/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/tree.h"

#include "fuse/links.h"
#include "lunfs/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INO_TARGET 0x1000u
#define INO_LUN 0x100000u
#define INO_ID 0x200000u
#define INO_PATH 0x300000u
#define ID_LINKS (LUNFS_LINK_SCHEMES * LUNFS_ARENA_LUNS)
#define DIRECTORY_MODE (S_IFDIR | 0555)

typedef struct {
  LunfsTreeLun known;
  unsigned target;
  bool visible;
} Leaf;

/* The files and directories with names of their own. */
static const struct {
  uint64_t parent, ino;
  const char *name;
} fixed[] = {
  { LUNFS_INO_ROOT, LUNFS_INO_CONTROL, ".lunfs" },     { LUNFS_INO_ROOT, LUNFS_INO_BY_ID, "by-id" },
  { LUNFS_INO_ROOT, LUNFS_INO_BY_PATH, "by-path" },    { LUNFS_INO_CONTROL, LUNFS_INO_STATUS, "status.json" },
  { LUNFS_INO_CONTROL, LUNFS_INO_METRICS, "metrics" },
};

struct LunfsTree {
  LunfsTreeConf conf;
  _Atomic (LunfsLun *) luns[LUNFS_ARENA_LUNS];
  _Atomic int64_t touched_us[LUNFS_ARENA_LUNS]; /* wall clock; 0 = never */
  GMutex lock;                                  /* Protects all below. */
  GPtrArray *targets;                           /* names */
  Leaf leaves[LUNFS_ARENA_LUNS];
};

LunfsTree *
lunfs_tree_new (const LunfsTreeConf *conf)
{
  LunfsTree *tree = g_new0 (LunfsTree, 1);

  tree->conf = *conf;
  g_mutex_init (&tree->lock);
  tree->targets = g_ptr_array_new_with_free_func (g_free);
  return tree;
}

void
lunfs_tree_free (LunfsTree *tree)
{
  if (!tree)
    return;
  g_ptr_array_unref (tree->targets);
  g_mutex_clear (&tree->lock);
  g_free (tree);
}

static unsigned
target_index_locked (LunfsTree *tree, const char *name)
{
  unsigned i;

  if (g_ptr_array_find_with_equal_func (tree->targets, name, g_str_equal, &i))
    return i;
  g_ptr_array_add (tree->targets, g_strdup (name));
  return tree->targets->len - 1;
}

void
lunfs_tree_add (LunfsTree *tree, unsigned index, const LunfsTreeLun *lun)
{
  g_mutex_lock (&tree->lock);
  tree->leaves[index].target = target_index_locked (tree, lun->target_name);
  tree->leaves[index].known = *lun;
  g_mutex_unlock (&tree->lock);
  atomic_store (&tree->luns[index], lun->lun);
}

static bool
set_visible (LunfsTree *tree, unsigned index, bool visible)
{
  bool was;

  g_mutex_lock (&tree->lock);
  was = tree->leaves[index].visible;
  tree->leaves[index].visible = visible;
  g_mutex_unlock (&tree->lock);
  return was;
}

bool
lunfs_tree_show (LunfsTree *tree, unsigned index)
{
  return !set_visible (tree, index, true);
}

void
lunfs_tree_hide (LunfsTree *tree, unsigned index)
{
  set_visible (tree, index, false);
}

/* Index of a LUN's node id; -1 if it is none. */
static int
index_of (const LunfsTree *tree, uint64_t ino)
{
  if (tree->conf.root_is_file)
    return ino == LUNFS_INO_ROOT ? 0 : -1;
  return ino >= INO_LUN && ino < INO_LUN + LUNFS_ARENA_LUNS ? (int) (ino - INO_LUN) : -1;
}

void
lunfs_tree_touch (LunfsTree *tree, uint64_t ino)
{
  int i = index_of (tree, ino);

  if (i >= 0)
    atomic_store (&tree->touched_us[i], g_get_real_time ());
}

LunfsLun *
lunfs_tree_lun (LunfsTree *tree, uint64_t ino)
{
  int i = index_of (tree, ino);

  return i < 0 ? NULL : atomic_load_explicit (&tree->luns[i], memory_order_acquire);
}

bool
lunfs_tree_known (LunfsTree *tree, uint64_t ino, LunfsTreeLun *out)
{
  if (!lunfs_tree_lun (tree, ino))
    return false;
  g_mutex_lock (&tree->lock);
  *out = tree->leaves[index_of (tree, ino)].known;
  g_mutex_unlock (&tree->lock);
  return true;
}

uint64_t
lunfs_tree_ino (const LunfsTree *tree, unsigned index)
{
  return tree->conf.root_is_file ? LUNFS_INO_ROOT : INO_LUN + index;
}

static uint64_t
find_lun_locked (LunfsTree *tree, int target, const char *name)
{
  char *end;
  unsigned long number;

  if (!g_str_has_prefix (name, "lun") || !g_ascii_isdigit (name[3]) || (name[3] == '0' && name[4]))
    return 0;
  number = strtoul (name + 3, &end, 10);
  if (*end)
    return 0;
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++) {
    const Leaf *leaf = &tree->leaves[i];

    if (leaf->visible && leaf->known.number == number && (int) leaf->target == target)
      return INO_LUN + i;
  }
  return 0;
}

/* Which target's LUNs stand in directory @ino; -1 = none. */
static int
target_of_directory (const LunfsTree *tree, uint64_t ino)
{
  if (tree->conf.one_target)
    return ino == LUNFS_INO_ROOT ? 0 : -1;
  return ino >= INO_TARGET && ino < INO_TARGET + tree->targets->len ? (int) (ino - INO_TARGET) : -1;
}

static bool
target_visible_locked (const LunfsTree *tree, unsigned target)
{
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++)
    if (tree->leaves[i].visible && tree->leaves[i].target == target)
      return true;
  return false;
}

static bool
id_name_locked (LunfsTree *tree, unsigned index, unsigned scheme, char *name, size_t size)
{
  const Leaf *leaf = &tree->leaves[index];
  LunfsLunInfo info;

  return leaf->visible && lunfs_lun_info (leaf->known.lun, &info)
         && lunfs_link_by_id (info.identity.text, scheme, name, size);
}

static bool
path_name_locked (LunfsTree *tree, unsigned index, char *name, size_t size)
{
  const Leaf *leaf = &tree->leaves[index];
  const LunfsTreeLun *l = &leaf->known;

  return leaf->visible && lunfs_link_by_path (l->host, l->port, l->target_name, l->number, name, size);
}

/* How many places directory @ino has behind those of fixed[]. */
static unsigned
places_locked (const LunfsTree *tree, uint64_t ino)
{
  if (ino == LUNFS_INO_BY_ID)
    return ID_LINKS;
  if (ino == LUNFS_INO_BY_PATH || target_of_directory (tree, ino) >= 0)
    return LUNFS_ARENA_LUNS;
  return ino == LUNFS_INO_ROOT ? tree->targets->len : 0;
}

/* Node id of what stands at place @i of these, and its name; 0: nothing. */
static uint64_t
child_locked (LunfsTree *tree, uint64_t ino, unsigned i, char *name, size_t size)
{
  int target = target_of_directory (tree, ino);

  if (ino == LUNFS_INO_BY_ID)
    return id_name_locked (tree, i % LUNFS_ARENA_LUNS, i / LUNFS_ARENA_LUNS, name, size) ? INO_ID + i : 0;
  if (ino == LUNFS_INO_BY_PATH)
    return path_name_locked (tree, i, name, size) ? INO_PATH + i : 0;
  if (target >= 0) {
    const Leaf *leaf = &tree->leaves[i];

    if (!leaf->visible || (int) leaf->target != target)
      return 0;
    snprintf (name, size, "lun%u", leaf->known.number);
    return INO_LUN + i;
  }
  if (!target_visible_locked (tree, i))
    return 0;
  g_strlcpy (name, tree->targets->pdata[i], size);
  return INO_TARGET + i;
}

static uint64_t
find_link_locked (LunfsTree *tree, uint64_t ino, const char *wanted)
{
  char name[LUNFS_LINK_MAX];

  for (unsigned i = 0; i < places_locked (tree, ino); i++) {
    uint64_t child = child_locked (tree, ino, i, name, sizeof name);

    if (child && strcmp (name, wanted) == 0)
      return child;
  }
  return 0;
}

static uint64_t
lookup_locked (LunfsTree *tree, uint64_t parent, const char *name)
{
  int target = target_of_directory (tree, parent);
  unsigned i;

  for (i = 0; i < G_N_ELEMENTS (fixed); i++)
    if (fixed[i].parent == parent && strcmp (fixed[i].name, name) == 0)
      return fixed[i].ino;
  if (parent == LUNFS_INO_BY_ID || parent == LUNFS_INO_BY_PATH)
    return find_link_locked (tree, parent, name);
  if (target >= 0)
    return find_lun_locked (tree, target, name);
  if (parent == LUNFS_INO_ROOT && g_ptr_array_find_with_equal_func (tree->targets, name, g_str_equal, &i)
      && target_visible_locked (tree, i))
    return INO_TARGET + i;
  return 0;
}

uint64_t
lunfs_tree_lookup (LunfsTree *tree, uint64_t parent, const char *name)
{
  uint64_t ino;

  if (tree->conf.root_is_file)
    return 0;
  g_mutex_lock (&tree->lock);
  ino = lookup_locked (tree, parent, name);
  g_mutex_unlock (&tree->lock);
  return ino;
}

static int
lun_of_link (uint64_t ino)
{
  if (ino >= INO_ID && ino < INO_ID + ID_LINKS)
    return (int) ((ino - INO_ID) % LUNFS_ARENA_LUNS);
  return ino >= INO_PATH && ino < INO_PATH + LUNFS_ARENA_LUNS ? (int) (ino - INO_PATH) : -1;
}

static void
set_times (struct stat *st, int64_t us)
{
  st->st_mtim.tv_sec = us / G_USEC_PER_SEC;
  st->st_mtim.tv_nsec = us % G_USEC_PER_SEC * 1000;
  st->st_ctim = st->st_atim = st->st_mtim;
}

static void
stat_lun (const LunfsTree *tree, LunfsLun *lun, struct stat *st)
{
  LunfsGeometry g = { 0 };
  mode_t mode = 0666 & ~tree->conf.umask;

  if (lun)
    lunfs_lun_geometry (lun, &g);
  st->st_mode = S_IFREG | (g.read_only ? mode & ~0222u : mode);
  st->st_nlink = 1;
  st->st_size = (off_t) g.size_bytes;
  st->st_blocks = (blkcnt_t) (g.size_bytes / 512);
  /* What loop and qemu take as the good size for one request. */
  st->st_blksize = (blksize_t) MAX (g.physical_block_size, 4096u);
}

bool
lunfs_tree_stat (LunfsTree *tree, uint64_t ino, struct stat *st)
{
  LunfsLun *lun = lunfs_tree_lun (tree, ino);

  memset (st, 0, sizeof *st);
  st->st_ino = ino;
  st->st_uid = tree->conf.uid;
  st->st_gid = tree->conf.gid;
  set_times (st, tree->conf.born_us);
  if (index_of (tree, ino) >= 0) {
    int64_t touched_us = atomic_load (&tree->touched_us[index_of (tree, ino)]);

    if (!lun && !tree->conf.root_is_file)
      return false;
    stat_lun (tree, lun, st);
    if (touched_us)
      set_times (st, touched_us);
  } else if (lun_of_link (ino) >= 0) {
    st->st_mode = S_IFLNK | 0777;
    st->st_nlink = 1;
  } else if (ino == LUNFS_INO_STATUS || ino == LUNFS_INO_METRICS) {
    st->st_mode = S_IFREG | 0444;
    st->st_nlink = 1;
    st->st_blksize = 4096;
  } else {
    st->st_mode = DIRECTORY_MODE;
    st->st_nlink = 2;
  }
  return true;
}

static uint64_t
place_locked (LunfsTree *tree, uint64_t ino, uint64_t place, char *name, size_t size)
{
  if (place < 2) {
    g_strlcpy (name, place == 0 ? "." : "..", size);
    return ino;
  }
  place -= 2;
  if (place >= G_N_ELEMENTS (fixed))
    return child_locked (tree, ino, (unsigned) (place - G_N_ELEMENTS (fixed)), name, size);
  g_strlcpy (name, fixed[place].name, size);
  return fixed[place].parent == ino ? fixed[place].ino : 0;
}

bool
lunfs_tree_entry (LunfsTree *tree, uint64_t ino, uint64_t *place, char *name, size_t size, struct stat *st)
{
  uint64_t child = 0, end;

  g_mutex_lock (&tree->lock);
  end = 2 + G_N_ELEMENTS (fixed) + places_locked (tree, ino);
  while (!child && *place < end)
    child = place_locked (tree, ino, (*place)++, name, size);
  g_mutex_unlock (&tree->lock);
  return child && lunfs_tree_stat (tree, child, st);
}

char *
lunfs_tree_lun_name (LunfsTree *tree, uint64_t ino)
{
  int i = index_of (tree, ino);
  char *name;

  if (i < 0 || !lunfs_tree_lun (tree, ino))
    return NULL;
  g_mutex_lock (&tree->lock);
  name = g_strdup_printf ("%s lun %u", (char *) tree->targets->pdata[tree->leaves[i].target],
                          tree->leaves[i].known.number);
  g_mutex_unlock (&tree->lock);
  return name;
}

char *
lunfs_tree_path (LunfsTree *tree, unsigned index)
{
  char *path;

  if (tree->conf.root_is_file)
    return g_strdup ("");
  g_mutex_lock (&tree->lock);
  if (tree->conf.one_target)
    path = g_strdup_printf ("lun%u", tree->leaves[index].known.number);
  else
    path = g_strdup_printf ("%s/lun%u", (char *) tree->targets->pdata[tree->leaves[index].target],
                            tree->leaves[index].known.number);
  g_mutex_unlock (&tree->lock);
  return path;
}

char *
lunfs_tree_readlink (LunfsTree *tree, uint64_t ino)
{
  int i = lun_of_link (ino);
  g_autofree char *path = NULL;

  if (i < 0 || !atomic_load (&tree->luns[i]))
    return NULL;
  path = lunfs_tree_path (tree, (unsigned) i);
  return g_strconcat ("../", path, NULL);
}
