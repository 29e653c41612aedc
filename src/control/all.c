/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Some at a time: each may wait login_wait for a target that is down, and the machine is booting. */
#include "config.h"

#include "control/all.h"

#include "control/keyfile.h"
#include "lunfs/error.h"
#include "supervisor/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define AT_ONCE 8

typedef struct {
  char **args;      /* of the command, without --all */
  GPtrArray *names; /* of those that run, oldest first */
  GArray *pids;
  GString *failed;
  unsigned nmounted, nthere, nfailed;
  int first_status;
} All;

static void
note_failure (All *all, const char *name, int status)
{
  if (!all->nfailed++)
    all->first_status = status;
  g_string_append_printf (all->failed, "%s%s", all->failed->len ? ", " : "", name);
}

/* What [@name] says; false if it cannot be mounted, which was said. */
static bool
look_at (All *all, const LunfsKeyfile *file, const char *name, LunfsKeyTarget *target)
{
  LunfsOptionState state = { .settings = lunfs_settings_new (), .credentials_fd = -1 };
  g_autoptr (GError) why = NULL;
  bool ok = lunfs_keyfile_apply (file, name, &state, target, &why);

  if (ok && target->automatic && !target->mountpoint)
    g_set_error (&why, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s: [%s] has startup=automatic and needs mountpoint=DIRECTORY",
                 lunfs_keyfile_path (file), name);
  if (why) {
    fprintf (stderr, "lunfs: %s\n", why->message);
    note_failure (all, name, why->code);
    lunfs_key_target_clear (target);
  }
  lunfs_settings_free (state.settings);
  g_free (state.credentials_path);
  return !why && target->automatic;
}

static bool
is_mounted (const char *mountpoint)
{
  char *path = realpath (mountpoint, NULL);
  g_autofree char *type = lunfs_mountinfo_type (path ? path : mountpoint);

  free (path);
  return g_strcmp0 (type, "fuse.lunfs") == 0;
}

static void
wait_for_oldest (All *all)
{
  const char *name = all->names->pdata[0];
  GPid pid = g_array_index (all->pids, GPid, 0);
  int status = 0, result;

  do
    result = waitpid (pid, &status, 0);
  while (result < 0 && errno == EINTR);
  if (result > 0 && WIFEXITED (status) && WEXITSTATUS (status) == 0)
    all->nmounted++;
  else
    note_failure (all, name, result > 0 && WIFEXITED (status) ? WEXITSTATUS (status) : LUNFS_EXIT_FAILED);
  g_ptr_array_remove_index (all->names, 0);
  g_array_remove_index (all->pids, 0);
}

static void
start (All *all, const char *name)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) args = NULL;
  g_autoptr (GError) why = NULL;
  GPid pid;

  g_strv_builder_addv (builder, (const char **) all->args);
  g_strv_builder_add (builder, name);
  args = g_strv_builder_end (builder);
  if (!g_spawn_async (NULL, args, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO, NULL, NULL, &pid,
                      &why)) {
    fprintf (stderr, "lunfs: %s: %s\n", name, why->message);
    note_failure (all, name, LUNFS_EXIT_FAILED);
    return;
  }
  g_ptr_array_add (all->names, (char *) name);
  g_array_append_val (all->pids, pid);
}

/* Program, its name, and the arguments but for --all; NULL with @error. */
static char **
own_command (int argc, char **argv, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *program = g_file_read_link ("/proc/self/exe", error);
  bool found = false;

  if (!program)
    return NULL;
  g_strv_builder_add_many (builder, program, "lunfs", NULL);
  for (int i = 1; i < argc; i++) {
    if (strcmp (argv[i], "--all") == 0)
      found = true;
    else
      g_strv_builder_add (builder, argv[i]);
  }
  if (found)
    return g_strv_builder_end (builder);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "option all: write it as --all");
  return NULL;
}

static bool
sum_up (const All *all, const LunfsKeyfile *file, GError **error)
{
  g_autofree char *counts = g_strdup_printf ("%u mounted, %u mounted already", all->nmounted, all->nthere);

  if (all->nfailed) {
    g_set_error (error, LUNFS_ERROR, all->first_status, "%s: %s, %u failed: %s", lunfs_keyfile_path (file), counts,
                 all->nfailed, all->failed->str);
    return false;
  }
  printf ("%s: %s%s\n", lunfs_keyfile_path (file), counts,
          all->nmounted + all->nthere ? "" : "; no target has startup=automatic");
  return true;
}

static void
mount_each (All *all, const LunfsKeyfile *file)
{
  for (char **name = lunfs_keyfile_names (file); *name; name++) {
    LunfsKeyTarget target = { 0 };

    if (!look_at (all, file, *name, &target)) {
      lunfs_key_target_clear (&target);
      continue;
    }
    if (is_mounted (target.mountpoint)) {
      all->nthere++;
    } else {
      if (all->names->len >= AT_ONCE)
        wait_for_oldest (all);
      start (all, *name);
    }
    lunfs_key_target_clear (&target);
  }
  while (all->names->len)
    wait_for_oldest (all);
}

bool
lunfs_mount_all (const char *config_path, int argc, char **argv, GError **error)
{
  g_autoptr (LunfsKeyfile) file = lunfs_keyfile_load (config_path, error);
  g_auto (GStrv) args = file ? own_command (argc, argv, error) : NULL;
  All all = { .args = args };
  bool ok;

  if (!args)
    return false;
  all.names = g_ptr_array_new ();
  all.pids = g_array_new (FALSE, FALSE, sizeof (GPid));
  all.failed = g_string_new (NULL);
  mount_each (&all, file);
  ok = sum_up (&all, file, error);
  g_ptr_array_unref (all.names);
  g_array_unref (all.pids);
  g_string_free (all.failed, true);
  return ok;
}
