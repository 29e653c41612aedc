/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/control.h"

#include "control/status.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "util/rundir.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536
#define CLIENTS_MAX 32
#define IDLE_S 60
#define PAUSE_S 2

struct LunfsControl {
  GSocketListener *listener;
  bool accepting;
  guint pause; /* source: accept again then */
  char *path;
  LunfsControlHandler handler;
  void *user;
  GList *clients; /* Client */
  GCancellable *end;
};

typedef struct {
  LunfsControl *control;
  GSocketConnection *connection;
  GBufferedInputStream *in; /* its buffer is as large as a line may be */
  char *reply;
} Client;

static void next_line (Client *client);

char *
lunfs_control_path (int pid)
{
  g_autofree char *name = g_strdup_printf ("%d.sock", pid);

  return lunfs_run_path (geteuid (), name);
}

/* ---- one client ---- */

static void
client_end (Client *client)
{
  client->control->clients = g_list_remove (client->control->clients, client);
  g_io_stream_close (G_IO_STREAM (client->connection), NULL, NULL);
  g_object_unref (client->in);
  g_object_unref (client->connection);
  g_free (client->reply);
  g_free (client);
}

static char *
render (JsonObject *object)
{
  g_autoptr (JsonNode) root = json_node_init_object (json_node_alloc (), object);
  g_autofree char *text = json_to_string (root, FALSE);
  g_autofree char *valid = lunfs_json_make_valid (text);

  return g_strconcat (valid, "\n", NULL);
}

/* One request; the reply's line. */
static char *
answer (LunfsControl *control, const char *line)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (JsonObject) reply = json_object_new ();
  g_autoptr (GError) error = NULL;
  JsonNode *root = NULL;

  if (json_parser_load_from_data (parser, line, -1, &error))
    root = json_parser_get_root (parser);
  if (!error && (!root || !JSON_NODE_HOLDS_OBJECT (root)))
    g_set_error (&error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "a request is an object");
  if (!error)
    control->handler (control->user, json_node_get_object (root), reply, &error);
  if (error) {
    json_object_set_int_member (reply, "status", error->domain == LUNFS_ERROR ? error->code : LUNFS_EXIT_USAGE);
    json_object_set_string_member (reply, "error", error->message);
  } else {
    json_object_set_int_member (reply, "status", LUNFS_EXIT_OK);
  }
  return render (reply);
}

static void
written_cb (GObject *source, GAsyncResult *result, gpointer user)
{
  Client *client = user;

  g_clear_pointer (&client->reply, g_free);
  if (!g_output_stream_write_all_finish (G_OUTPUT_STREAM (source), result, NULL, NULL))
    client_end (client);
  else
    next_line (client);
}

static void
filled_cb (GObject *source, GAsyncResult *result, gpointer user)
{
  Client *client = user;

  if (g_buffered_input_stream_fill_finish (client->in, result, NULL) <= 0)
    client_end (client);
  else
    next_line (client);
}

/* Answer the line that is there, or read on. */
static void
next_line (Client *client)
{
  size_t n;
  const char *text = g_buffered_input_stream_peek_buffer (client->in, &n), *end = memchr (text, '\n', n);
  g_autofree char *line = end ? g_strndup (text, (size_t) (end - text)) : NULL;

  if (!end && n < LINE_MAX_BYTES) {
    g_buffered_input_stream_fill_async (client->in, -1, G_PRIORITY_DEFAULT, client->control->end, filled_cb, client);
    return;
  }
  if (!end || !g_utf8_validate (line, -1, NULL)) {
    client_end (client);
    return;
  }
  g_input_stream_skip (G_INPUT_STREAM (client->in), (size_t) (end + 1 - text), NULL, NULL); /* of what was read */
  client->reply = answer (client->control, line);
  g_output_stream_write_all_async (g_io_stream_get_output_stream (G_IO_STREAM (client->connection)), client->reply,
                                   strlen (client->reply), G_PRIORITY_DEFAULT, client->control->end, written_cb,
                                   client);
}

static bool
peer_allowed (GSocketConnection *connection)
{
  g_autoptr (GCredentials) who = g_socket_get_credentials (g_socket_connection_get_socket (connection), NULL);
  uid_t uid = who ? g_credentials_get_unix_user (who, NULL) : (uid_t) -1;

  return uid == 0 || uid == geteuid ();
}

/* Answers without having read anything: who may not ask is not listened to. */
static void
refuse (GSocketConnection *connection, LunfsExit status, const char *why)
{
  g_autoptr (JsonObject) reply = json_object_new ();
  g_autofree char *text = NULL;

  json_object_set_int_member (reply, "status", status);
  json_object_set_string_member (reply, "error", why);
  text = render (reply);
  if (send (g_socket_get_fd (g_socket_connection_get_socket (connection)), text, strlen (text),
            MSG_DONTWAIT | MSG_NOSIGNAL)
      < 0)
    lunfs_debug (CONTROL, "refusal: %s", g_strerror (errno));
}

static void
incoming (LunfsControl *control, GSocketConnection *connection)
{
  Client *client;

  if (!peer_allowed (connection)) {
    refuse (connection, LUNFS_EXIT_ACCESS, "only the user who mounted it and root may control this mount");
    return;
  }
  if (g_list_length (control->clients) >= CLIENTS_MAX) {
    refuse (connection, LUNFS_EXIT_BUSY, "too many ask at once; try again");
    return;
  }
  g_socket_set_timeout (g_socket_connection_get_socket (connection), IDLE_S);
  client = g_new0 (Client, 1);
  client->control = control;
  client->connection = g_object_ref (connection);
  client->in = G_BUFFERED_INPUT_STREAM (
      g_buffered_input_stream_new_sized (g_io_stream_get_input_stream (G_IO_STREAM (connection)), LINE_MAX_BYTES));
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (client->in), FALSE);
  control->clients = g_list_prepend (control->clients, client);
  next_line (client);
}

static gboolean accept_next (gpointer user);

/* Not a GSocketService: without a descriptor left that one tries again at once, and tells the log each time. */
static void
accepted_cb (GObject *source, GAsyncResult *result, gpointer user)
{
  g_autoptr (GSocketConnection) connection =
      g_socket_listener_accept_finish (G_SOCKET_LISTENER (source), result, NULL, NULL);
  LunfsControl *control = user;

  control->accepting = false;
  if (g_cancellable_is_cancelled (control->end))
    return;
  if (connection) {
    incoming (control, connection);
    accept_next (control);
  } else {
    control->pause = g_timeout_add_seconds (PAUSE_S, accept_next, control);
  }
}

static gboolean
accept_next (gpointer user)
{
  LunfsControl *control = user;

  control->pause = 0;
  control->accepting = true;
  g_socket_listener_accept_async (control->listener, control->end, accepted_cb, control);
  return G_SOURCE_REMOVE;
}

/* ---- life ---- */

static bool
listen_at (LunfsControl *control, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (control->path);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (control->path);

  if (g_mkdir_with_parents (dir, 0700) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS, "%s: %s", dir, g_strerror (errno));
    return false;
  }
  unlink (control->path);
  if (!g_socket_listener_add_address (control->listener, address, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL,
                                      NULL, error))
    return false;
  if (chmod (control->path, 0600) < 0) /* the directory is closed to others anyway, and peers are looked at */
    lunfs_debug (CONTROL, "%s: %s", control->path, g_strerror (errno));
  return true;
}

LunfsControl *
lunfs_control_new (const char *path, LunfsControlHandler handler, void *user, GError **error)
{
  LunfsControl *control = g_new0 (LunfsControl, 1);

  control->listener = g_socket_listener_new ();
  control->path = g_strdup (path);
  control->end = g_cancellable_new ();
  control->handler = handler;
  control->user = user;
  if (!listen_at (control, error)) {
    g_clear_pointer (&control->path, g_free);
    lunfs_control_free (control);
    return NULL;
  }
  accept_next (control);
  return control;
}

void
lunfs_control_free (LunfsControl *control)
{
  if (!control)
    return;
  if (control->pause)
    g_source_remove (control->pause);
  g_cancellable_cancel (control->end);
  while (control->accepting || control->clients) /* each ends when its cancelled operation comes back */
    g_main_context_iteration (NULL, TRUE);
  g_socket_listener_close (control->listener);
  g_object_unref (control->listener);
  g_object_unref (control->end);
  if (control->path)
    unlink (control->path);
  g_free (control->path);
  g_free (control);
}
