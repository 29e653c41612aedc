/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/nodedb.h"

#include "control/secret.h"
#include "lunfs/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX_BYTES (1 << 20)

LunfsNodeRecord *
lunfs_node_record_parse (const char *path, const char *text)
{
  LunfsNodeRecord *r = g_new0 (LunfsNodeRecord, 1);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  r->path = g_strdup (path);
  r->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) lunfs_secret_free);
  for (char **line = lines; *line; line++) {
    char *name = g_strstrip (*line), *equals = strchr (name, '=');

    if (*name == '#' || !equals)
      continue;
    *equals = '\0';
    g_hash_table_insert (r->values, g_strdup (g_strchomp (name)), g_strdup (g_strchug (equals + 1)));
    explicit_bzero (equals + 1, strlen (equals + 1));
  }
  return r;
}

void
lunfs_node_record_free (LunfsNodeRecord *r)
{
  if (!r)
    return;
  g_free (r->path);
  g_hash_table_unref (r->values);
  g_free (r);
}

const char *
lunfs_node_record_get (const LunfsNodeRecord *r, const char *name)
{
  const char *value = g_hash_table_lookup (r->values, name);

  return value && *value && !g_str_equal (value, "<empty>") ? value : NULL;
}

/* A copy to be wiped. */
static char *
read_text (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  g_autoptr (GMappedFile) map = NULL;
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s", g_strerror (errno));
  else if (!S_ISREG (st.st_mode) || st.st_size > RECORD_MAX_BYTES)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "not a regular file of at most %d KiB",
                 RECORD_MAX_BYTES >> 10);
  else
    map = g_mapped_file_new_from_fd (fd, FALSE, error);
  if (fd >= 0)
    close (fd);
  return map ? g_strndup (g_mapped_file_get_contents (map), g_mapped_file_get_length (map)) : NULL;
}

static LunfsNodeRecord *
read_record (LunfsNodeDb *db, const char *dir, const char *path)
{
  g_autofree char *full = g_build_filename (dir, path, NULL);
  g_autoptr (GError) why = NULL;
  char *text = read_text (full, &why);
  LunfsNodeRecord *r = why ? NULL : lunfs_node_record_parse (path, text ? text : "");

  if (why)
    g_ptr_array_add (db->warnings, g_strdup_printf ("%s cannot be read: %s", path, why->message));
  lunfs_secret_free (text);
  return r;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* The names in @dir/@path, sorted; NULL if it is no directory. */
static GPtrArray *
entries (const char *dir, const char *path)
{
  g_autofree char *full = g_build_filename (dir, path, NULL);
  g_autoptr (GDir) list = g_dir_open (full, 0, NULL);
  GPtrArray *names = list ? g_ptr_array_new_with_free_func (g_free) : NULL;
  const char *name;

  while (list && (name = g_dir_read_name (list)))
    if (*name != '.')
      g_ptr_array_add (names, g_strdup (name));
  if (names)
    g_ptr_array_sort (names, compare);
  return names;
}

static void
add_record (LunfsNodeDb *db, GPtrArray *to, const char *dir, const char *path)
{
  LunfsNodeRecord *r = read_record (db, dir, path);

  if (r)
    g_ptr_array_add (to, r);
}

/* nodes/TARGET/PORTAL or nodes/TARGET/PORTAL/IFACE */
static void
read_target (LunfsNodeDb *db, const char *dir, const char *path)
{
  g_autoptr (GPtrArray) portals = entries (dir, path);

  for (unsigned i = 0; portals && i < portals->len; i++) {
    g_autofree char *portal = g_build_filename (path, portals->pdata[i], NULL);
    g_autoptr (GPtrArray) ifaces = entries (dir, portal);

    if (!ifaces)
      add_record (db, db->nodes, dir, portal);
    for (unsigned j = 0; ifaces && j < ifaces->len; j++) {
      g_autofree char *record = g_build_filename (portal, ifaces->pdata[j], NULL);
      add_record (db, db->nodes, dir, record);
    }
  }
}

/* Beside st_config there are links to what the portal named. */
static void
read_portal (LunfsNodeDb *db, const char *dir, const char *path)
{
  g_autofree char *config = g_build_filename (path, "st_config", NULL);
  g_autofree char *full = g_build_filename (dir, config, NULL);

  add_record (db, db->portals, dir, g_file_test (full, G_FILE_TEST_EXISTS) ? config : path);
}

static void
read_each (LunfsNodeDb *db, const char *dir, const char *kind, void (*read) (LunfsNodeDb *, const char *, const char *))
{
  g_autoptr (GPtrArray) names = entries (dir, kind);

  for (unsigned i = 0; names && i < names->len; i++) {
    g_autofree char *path = g_build_filename (kind, names->pdata[i], NULL);
    read (db, dir, path);
  }
}

static void
refuse_kind (LunfsNodeDb *db, const char *dir, const char *path)
{
  g_ptr_array_add (db->warnings, g_strdup_printf ("%s: this kind of discovery is not imported", path));
}

LunfsNodeDb *
lunfs_nodedb_read (const char *dir, GError **error)
{
  static const char *const other_kinds[] = { "isns", "slp", "fw" };
  g_autofree char *nodes = g_build_filename (dir, "nodes", NULL);
  g_autofree char *defaults = g_build_filename (dir, "iscsid.conf", NULL);
  g_autoptr (GPtrArray) there = entries (dir, "nodes");
  g_autoptr (GPtrArray) asked = entries (dir, "send_targets");
  LunfsNodeDb *db;

  if (!there && !asked) {
    g_set_error (
        error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
        "%s: no database of open-iscsi can be read there (nodes, send_targets); name its directory, and be root", dir);
    return NULL;
  }
  db = g_new0 (LunfsNodeDb, 1);
  db->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) lunfs_node_record_free);
  db->portals = g_ptr_array_new_with_free_func ((GDestroyNotify) lunfs_node_record_free);
  db->warnings = g_ptr_array_new_with_free_func (g_free);
  read_each (db, dir, "nodes", read_target);
  read_each (db, dir, "send_targets", read_portal);
  for (size_t i = 0; i < G_N_ELEMENTS (other_kinds); i++)
    read_each (db, dir, other_kinds[i], refuse_kind);
  if (g_file_test (defaults, G_FILE_TEST_EXISTS))
    db->defaults = read_record (db, dir, "iscsid.conf");
  if (!db->defaults)
    db->defaults = lunfs_node_record_parse ("iscsid.conf", "");
  return db;
}

void
lunfs_nodedb_free (LunfsNodeDb *db)
{
  if (!db)
    return;
  g_ptr_array_unref (db->nodes);
  g_ptr_array_unref (db->portals);
  g_ptr_array_unref (db->warnings);
  lunfs_node_record_free (db->defaults);
  g_free (db);
}
