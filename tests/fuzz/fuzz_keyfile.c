/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs.conf (first byte even), a record of open-iscsi's (odd). */
#include "config.h"

#include "fuzz.h"

#include "control/import.h"
#include "control/keyfile.h"
#include "lunfs/error.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each group can be used, or the message says where it is wrong. */
static void
use_groups (const LunfsKeyfile *file, bool all_good)
{
  for (char **name = lunfs_keyfile_names (file); *name; name++) {
    LunfsOptionState state = { .settings = lunfs_settings_new (), .credentials_fd = -1 };
    LunfsKeyTarget target = { 0 };
    g_autoptr (GError) error = NULL;

    must (lunfs_keyfile_is_name (*name));
    if (lunfs_keyfile_apply (file, *name, &state, &target, &error))
      must (!error && state.settings->source.host && g_str_equal (state.settings->source_text, *name));
    else
      must (!all_good && error->code == LUNFS_EXIT_USAGE && strstr (error->message, lunfs_keyfile_path (file)));
    lunfs_key_target_clear (&target);
    lunfs_settings_free (state.settings);
    g_free (state.credentials_path);
  }
}

static void
use_file (FuzzBytes *in, bool all_good)
{
  int fd = fuzz_memfd (in);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autoptr (GError) error = NULL;

  must (fchmod (fd, 0600) == 0);
  g_autoptr (LunfsKeyfile) file = lunfs_keyfile_load (path, &error);
  must (file || (!all_good && error->domain == LUNFS_ERROR && g_str_has_prefix (error->message, path)));
  if (file)
    use_groups (file, all_good);
  close (fd);
}

/* Whatever the database holds, what is made of it is a lunfs.conf. */
static void
import_record (FuzzBytes *in)
{
  g_autofree char *text = fuzz_string (in);
  LunfsNodeDb db = { g_ptr_array_new (), g_ptr_array_new (), lunfs_node_record_parse ("iscsid.conf", text),
                     g_ptr_array_new () };
  LunfsNodeRecord *record = lunfs_node_record_parse ("nodes/x/y", text);
  LunfsImportConf conf = { .credentials_dir = "/c\\d", .mountpoint_dir = "/m" };
  g_autoptr (GPtrArray) secrets = lunfs_import_secrets_new ();
  g_autofree char *out = NULL;

  g_ptr_array_add (db.nodes, record);
  g_ptr_array_add (db.portals, record);
  out = lunfs_import_text (&db, &conf, secrets);
  if (g_utf8_validate (out, -1, NULL)) {
    FuzzBytes again = { (const uint8_t *) out, strlen (out) };
    use_file (&again, true);
  }
  lunfs_node_record_free (record);
  lunfs_node_record_free (db.defaults);
  g_ptr_array_unref (db.nodes);
  g_ptr_array_unref (db.portals);
  g_ptr_array_unref (db.warnings);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };

  fuzz_quiet ();
  if (fuzz_u8 (&in) & 1)
    import_record (&in);
  else
    use_file (&in, false);
  return 0;
}
