/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of the control socket: finds the mount, asks, waits. */
#include "config.h"

#include "control/control.h"

#include "lunfs/error.h"
#include "util/rundir.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>

#include <string.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 10
#define HELLO_TIMEOUT_S 5
#define AGAIN_US 5000

static JsonObject *
parse_answer (const char *line, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonNode *root;
  JsonObject *object;
  int status;

  if (!json_parser_load_from_data (parser, line, -1, NULL) || !(root = json_parser_get_root (parser))
      || !JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "the daemon's answer is unreadable");
    return NULL;
  }
  object = json_node_get_object (root);
  status = (int) json_object_get_int_member_with_default (object, "status", LUNFS_EXIT_FAILED);
  if (status != LUNFS_EXIT_OK) {
    g_set_error (error, LUNFS_ERROR, status, "%s",
                 json_object_get_string_member_with_default (object, "error", "refused"));
    return NULL;
  }
  return json_object_ref (object);
}

static char *
owner_of (const char *socket)
{
  g_autofree char *name = g_path_get_basename (socket);

  return g_strndup (name, strlen (name) - strlen (".sock"));
}

bool
lunfs_control_has_owner (const char *socket)
{
  g_autofree char *pid = owner_of (socket);
  g_autofree char *path = g_strdup_printf ("/proc/%s/stat", pid);
  g_autofree char *stat = NULL;
  const char *state;

  if (!g_file_get_contents (path, &stat, NULL, NULL))
    return false;
  /* The process 1 of many a container never waits for its children: they stay as zombies. */
  state = strrchr (stat, ')');
  return state && strncmp (state, ") Z", 3) != 0 && strncmp (state, ") X", 3) != 0;
}

/* Between two workers nobody listens. */
static GSocketConnection *
connect_to (const char *path, unsigned timeout_s, GError **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  gint64 until_us = g_get_monotonic_time () + timeout_s * G_USEC_PER_SEC;

  g_socket_client_set_timeout (client, timeout_s);
  for (;;) {
    g_autoptr (GError) why = NULL;
    GSocketConnection *connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (address), NULL, &why);

    if (connection)
      return connection;
    if (!g_error_matches (why, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) || !lunfs_control_has_owner (path)
        || g_get_monotonic_time () > until_us) {
      g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
    g_usleep (AGAIN_US);
  }
}

/* The line that comes back; NULL with a G_IO_ERROR. */
static char *
exchange (const char *path, const char *message, unsigned timeout_s, GError **error)
{
  g_autoptr (GSocketConnection) connection = connect_to (path, timeout_s, error);
  g_autoptr (GDataInputStream) in = NULL;
  g_autoptr (GError) why = NULL;
  char *line;

  if (!connection)
    return NULL;
  /* Whom it does not want to hear, it answers without having read anything. */
  g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), message, strlen (message), NULL,
                             NULL, NULL);
  in = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  line = g_data_input_stream_read_line (in, NULL, NULL, &why);
  if (!line && !why)
    g_set_error (&why, G_IO_ERROR, G_IO_ERROR_CLOSED, "its worker has ended or hung up");
  if (why)
    g_propagate_error (error, g_steal_pointer (&why));
  return line;
}

/* What @why is to a user. */
static void
set_silent (const char *socket, const GError *why, GError **error)
{
  g_autofree char *pid = owner_of (socket);

  if (g_error_matches (why, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)
      || g_error_matches (why, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TIMEOUT, "the worker of lunfs process %s does not answer", pid);
  else
    g_set_error (error, LUNFS_ERROR, why->domain == LUNFS_ERROR ? why->code : LUNFS_EXIT_TRANSPORT,
                 "lunfs process %s: %s", pid, why->message);
}

static JsonObject *
ask (const char *path, JsonObject *request, unsigned timeout_s, GError **error)
{
  g_autoptr (JsonNode) root = json_node_init_object (json_node_alloc (), request);
  g_autofree char *text = json_to_string (root, FALSE);
  g_autofree char *message = g_strconcat (text, "\n", NULL);
  g_autofree char *line = exchange (path, message, timeout_s, error);

  return line ? parse_answer (line, error) : NULL;
}

JsonObject *
lunfs_control_ask_at (const char *path, JsonObject *request, unsigned timeout_s, GError **error)
{
  g_autoptr (GError) why = NULL;
  JsonObject *answer = ask (path, request, timeout_s, &why);

  if (!answer && why->domain == LUNFS_ERROR)
    g_propagate_error (error, g_steal_pointer (&why));
  else if (!answer)
    set_silent (path, why, error);
  return answer;
}

/* What follows @mountpoint in @path; NULL if @path is not in it. */
static const char *
inside (const char *mountpoint, const char *path)
{
  size_t len = strlen (mountpoint);

  if (strncmp (mountpoint, path, len) != 0 || (path[len] != '\0' && path[len] != '/'))
    return NULL;
  return path[len] ? path + len + 1 : "";
}

typedef struct {
  const char *path;   /* "" = any */
  const char *source; /* as the user wrote @path: it may also be what a mount was made from, a name or URL */
  bool any;           /* all of them are meant */
  char *socket, *inside;
  size_t depth; /* length of the mount point found: the innermost wins */
  unsigned nmounts, nfound;
  GError *silent; /* of a mount that does not answer */
  GPtrArray *all; /* LunfsControlMount */
} Search;

static void
mount_free (gpointer data)
{
  LunfsControlMount *mount = data;

  g_free (mount->socket);
  g_free (mount->mountpoint);
  g_free (mount->inside);
  g_clear_error (&mount->silent);
  g_free (mount);
}

static LunfsControlMount *
add_mount (GPtrArray *list, const char *socket, const char *mountpoint, const char *inside)
{
  LunfsControlMount *mount = g_new0 (LunfsControlMount, 1);

  mount->socket = g_strdup (socket);
  mount->mountpoint = g_strdup (mountpoint);
  mount->inside = g_strdup (inside);
  g_ptr_array_add (list, mount);
  return mount;
}

/* A worker that hangs, or is long in coming; or a socket that its dead supervisor has left. */
static void
look_at_silent (Search *s, const char *path, const GError *why)
{
  bool late = why->domain == LUNFS_ERROR || g_error_matches (why, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);

  if (late || lunfs_control_has_owner (path)) {
    g_clear_error (&s->silent);
    set_silent (path, why, &s->silent);
    add_mount (s->all, path, "", "")->silent = g_error_copy (s->silent);
  } else if (g_error_matches (why, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)) {
    unlink (path);
  }
}

static void
look_at_socket (Search *s, const char *path)
{
  g_autoptr (JsonObject) hello = json_object_new ();
  g_autoptr (JsonObject) answer = NULL;
  g_autoptr (GError) error = NULL;
  const char *mountpoint, *rest;
  size_t depth;

  json_object_set_string_member (hello, "command", "hello");
  answer = ask (path, hello, HELLO_TIMEOUT_S, &error);
  if (!answer) {
    look_at_silent (s, path, error);
    return;
  }
  s->nmounts++;
  mountpoint = json_object_get_string_member_with_default (answer, "mountpoint", "");
  add_mount (s->all, path, mountpoint, "");
  rest = s->path[0] ? inside (mountpoint, s->path) : "";
  depth = rest ? strlen (mountpoint) : 0;
  if (!rest && g_strcmp0 (s->source, json_object_get_string_member_with_default (answer, "source", NULL)) == 0)
    rest = "";
  if (!rest || (s->nfound && depth <= s->depth))
    return;
  s->nfound++;
  s->depth = depth;
  g_free (s->socket);
  g_free (s->inside);
  s->socket = g_strdup (path);
  s->inside = g_strdup (rest);
}

static void
look_in_dir (Search *s, const char *dir)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *name;

  while (entries && (name = g_dir_read_name (entries)))
    if (g_str_has_suffix (name, ".sock")) {
      g_autofree char *path = g_build_filename (dir, name, NULL);

      look_at_socket (s, path);
    }
}

/* Root sees everybody's mounts. */
static void
look_everywhere (Search *s)
{
  g_autofree char *own = lunfs_run_path (geteuid (), NULL);
  g_autoptr (GDir) users = geteuid () == 0 ? g_dir_open ("/run/user", 0, NULL) : NULL;
  const char *name;

  look_in_dir (s, own);
  while (users && (name = g_dir_read_name (users))) {
    g_autofree char *dir = g_build_filename ("/run/user", name, "lunfs", NULL);

    look_in_dir (s, dir);
  }
}

/* Somebody else's mount that @path is in: its owner's uid; -1 = there is none.  Text of the kernel: never waits. */
static gint64
foreign_owner (const char *path)
{
  g_autofree char *all = NULL;
  g_auto (GStrv) lines = NULL;
  gint64 uid = -1;

  if (!*path || !g_file_get_contents ("/proc/self/mountinfo", &all, NULL, NULL))
    return -1;
  lines = g_strsplit (all, "\n", -1);
  for (char **line = lines; *line; line++) {
    g_auto (GStrv) field = g_strsplit (*line, " ", 6);
    g_autofree char *mountpoint = g_strv_length (field) > 5 ? g_strcompress (field[4]) : NULL;
    const char *user = strstr (*line, "user_id=");

    if (mountpoint && user && strstr (*line, " - fuse.lunfs ") && inside (mountpoint, path))
      uid = g_ascii_strtoll (user + strlen ("user_id="), NULL, 10);
  }
  return uid != geteuid () ? uid : -1;
}

/* False with @error: there is not the one mount that @path means. */
static bool
search (Search *s, GError **error)
{
  s->all = g_ptr_array_new_with_free_func (mount_free);
  look_everywhere (s);
  if (s->nfound == 0 && s->silent)
    g_propagate_error (error, g_steal_pointer (&s->silent));
  else if (s->nfound == 0 && foreign_owner (s->path) >= 0 && geteuid () != 0)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS,
                 "%s: mounted by user %" G_GINT64_FORMAT "; only that user and root may control it", s->path,
                 foreign_owner (s->path));
  else if (s->nfound == 0)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS,
                 *s->path ? "%s: no lunfs mount of yours is there; lunfsctl status shows all"
                          : "%sno lunfs mount of yours is running",
                 s->path);
  else if (!*s->path && s->nmounts > 1 && !s->any)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "there are %u mounts: say which", s->nmounts);
  else
    return true;
  return false;
}

static void
search_clear (Search *s)
{
  g_free (s->socket);
  g_free (s->inside);
  g_clear_error (&s->silent);
  g_clear_pointer (&s->all, g_ptr_array_unref);
}

JsonObject *
lunfs_control_ask (const char *path, JsonObject *request, char **out_inside, GError **error)
{
  g_autofree char *absolute = *path ? g_canonicalize_filename (path, NULL) : g_strdup ("");
  Search s = { .path = absolute, .source = path };
  JsonObject *answer = NULL;

  if (search (&s, error)) {
    if (out_inside)
      *out_inside = g_strdup (s.inside);
    if (!json_object_has_member (request, "lun"))
      json_object_set_string_member (request, "lun", s.inside);
    answer = lunfs_control_ask_at (s.socket, request, ANSWER_TIMEOUT_S, error);
  }
  search_clear (&s);
  return answer;
}

GPtrArray *
lunfs_control_find (const char *path, GError **error)
{
  g_autofree char *absolute = path && *path ? g_canonicalize_filename (path, NULL) : g_strdup ("");
  Search s = { .path = absolute, .source = path, .any = !path };
  GPtrArray *found = NULL;

  if (search (&s, error)) {
    found = g_ptr_array_new_with_free_func (mount_free);
    for (unsigned i = 0; i < s.all->len; i++) {
      const LunfsControlMount *mount = s.all->pdata[i];

      if (!path || strcmp (mount->socket, s.socket) == 0)
        add_mount (found, mount->socket, mount->mountpoint, path ? s.inside : "")->silent =
            mount->silent ? g_error_copy (mount->silent) : NULL;
    }
  }
  search_clear (&s);
  return found;
}
