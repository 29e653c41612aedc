/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The name must be one host's own and stay the same: targets grant access by it, and session reinstatement after a
 * crash works by it.  So a generated one is stored before it is used, and never falls back to a constant. */
#include "config.h"

#include "control/initiator.h"

#include "control/url.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* RFC 2606 keeps ".example" for nobody, so no other owner can hand out these names. */
#define GENERATED_PREFIX "iqn.2026-01.example.lunfs"
#define KEY "InitiatorName="

/* The value of the InitiatorName= line of @path; NULL if there is none or the file cannot be read. */
static char *
read_name (const char *path)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line; line++) {
    g_strstrip (*line);
    if (g_str_has_prefix (*line, KEY))
      return g_strdup (g_strstrip (*line + strlen (KEY)));
  }
  return NULL;
}

static char *
checked (char *name, const char *where, GError **error)
{
  if (lunfs_iscsi_name_valid (name))
    return name;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
               "initiator name '%s' (%s) is not an iSCSI name such as iqn.2026-01.org.example:host", name, where);
  g_free (name);
  return NULL;
}

/* "iqn.2026-01.example.lunfs:HOST:RANDOM": the host for people, the random part to be unique. */
static char *
generate (GError **error)
{
  uint8_t random[8];
  if (getrandom (random, sizeof random, 0) != (ssize_t) sizeof random) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "no random numbers for an initiator name: %s",
                 g_strerror (errno));
    return NULL;
  }
  GString *s = g_string_new (GENERATED_PREFIX ":");
  const char *host = g_get_host_name ();
  for (size_t i = 0; host[i] && i < 64; i++)
    if (g_ascii_isalnum (host[i]) || host[i] == '-')
      g_string_append_c (s, g_ascii_tolower (host[i]));
    else if (host[i] == '.')
      break;
  g_string_append_c (s, ':');
  for (size_t i = 0; i < sizeof random; i++)
    g_string_append_printf (s, "%02x", random[i]);
  return g_string_free (s, false);
}

static bool
write_new (const char *temp, const char *name)
{
  g_autofree char *text = g_strdup_printf ("# Made by lunfs; targets grant access by this name.\n" KEY "%s\n", name);
  size_t len = strlen (text);
  int fd = open (temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return false;
  bool ok = write (fd, text, len) == (ssize_t) len && fsync (fd) == 0;
  int saved = errno;
  close (fd);
  errno = saved;
  return ok;
}

/* Several first mounts may run at once: link(2) lets one win, and all read what the winner wrote. */
static bool
store (const char *path, const char *name)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *temp = g_strdup_printf ("%s.%d", path, (int) getpid ());
  if (g_mkdir_with_parents (dir, 0700) < 0)
    return false;
  bool ok = write_new (temp, name) && (link (temp, path) == 0 || errno == EEXIST);
  int saved = errno;
  unlink (temp);
  errno = saved;
  return ok;
}

/* Where a generated name may live, best place first: root's own state, then the user's configuration. */
static GPtrArray *
places (void)
{
  GPtrArray *list = g_ptr_array_new_with_free_func (g_free);
  const char *state = g_getenv ("STATE_DIRECTORY"); /* systemd's StateDirectory=, for services */
  const char *config = g_getenv ("XDG_CONFIG_HOME");
  if (geteuid () == 0) {
    g_autofree char *first = state ? g_strndup (state, strcspn (state, ":")) : NULL;
    g_ptr_array_add (list, g_build_filename (first && *first ? first : "/var/lib/lunfs", "initiatorname", NULL));
  }
  if (config && *config)
    g_ptr_array_add (list, g_build_filename (config, "lunfs", "initiatorname", NULL));
  else
    g_ptr_array_add (list, g_build_filename (g_get_home_dir (), ".config", "lunfs", "initiatorname", NULL));
  return list;
}

static char *
stored_name (GPtrArray *list, GError **error)
{
  for (guint i = 0; i < list->len; i++) {
    const char *path = g_ptr_array_index (list, i);
    char *name = read_name (path);
    if (name)
      return checked (name, path, error);
  }
  return NULL;
}

static char *
make_name (GPtrArray *list, GError **error)
{
  g_autofree char *name = generate (error);
  if (!name)
    return NULL;
  for (guint i = 0; i < list->len; i++) {
    const char *path = g_ptr_array_index (list, i);
    if (!store (path, name))
      continue;
    char *kept = read_name (path);
    if (kept) {
      lunfs_notice ("made initiator name %s, kept in %s", kept, path);
      return checked (kept, path, error);
    }
  }
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS,
               "no initiator name, and nowhere to keep a new one (%s: %s); give -o initiator_name=NAME",
               (const char *) g_ptr_array_index (list, list->len - 1), g_strerror (errno));
  return NULL;
}

char *
lunfs_initiator_name (const char *option, const char *host_file, GError **error)
{
  if (option)
    return checked (g_strdup (option), "option initiator_name", error);
  char *name = host_file ? read_name (host_file) : NULL;
  if (name)
    return checked (name, host_file, error);

  g_autoptr (GPtrArray) list = places ();
  g_autoptr (GError) why = NULL;
  name = stored_name (list, &why);
  if (why) {
    g_propagate_error (error, g_steal_pointer (&why));
    return NULL;
  }
  return name ? name : make_name (list, error);
}
