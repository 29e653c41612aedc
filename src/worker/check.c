/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread: the lane has none of its own here, passes of it and of the main loop alternate.
 *
 *   configuration -> resolve -> connect -> login (REPORT LUNS) -> identify -> read -> flush, the last three for each LUN;
 *   without a target discover (SendTargets) in place of login, and then login for each target.
 *
 * The nexus is one of its own (random ISID), so no session of a mount ends; the last three go through the session room, which
 * knows what targets answer to newcomers. */
#include "config.h"

#include "worker/check.h"

#include "worker/worker-private.h"

#include "control/discovery.h"
#include "control/keyfile.h"
#include "control/luns.h"
#include "control/options.h"
#include "control/resolve.h"
#include "control/url.h"
#include "iscsi/address.h"
#include "iscsi/libiscsi.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define READ_BYTES 4096
#define PASS_MS 10
#define ISID_QUALIFIER 0xfffe

typedef struct {
  const char *name; /* what is checked, as the user calls it */
  LunfsSettings *settings;
  LunfsLane *lane;
  JsonBuilder *json; /* NULL: lines of text */
  int status;        /* of the first step that failed */
  uint32_t isid_random;

  char *addresses[LUNFS_RESOLVE_MAX + 1]; /* ends with NULL */
  unsigned naddresses;
  char *why;
  bool answered; /* what is waited for has come */

  /* of lunfs_find */
  LunfsLoginOutcome outcome;
  GPtrArray *targets; /* LunfsFoundTarget */
  uint16_t *luns;
  unsigned nluns;

  /* of one LUN's session */
  LunfsSession *session;
  bool up, stopped;
  LunfsLunInfo info;
  LunfsRequest req;
  struct iovec iov;
} Check;

/* ---- telling ---- */

static bool G_GNUC_PRINTF (4, 5) say (Check *c, const char *step, int status, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);

  if (status && !c->status)
    c->status = status;
  if (c->json) {
    json_builder_begin_object (c->json);
    json_builder_set_member_name (c->json, "name");
    json_builder_add_string_value (c->json, c->name);
    json_builder_set_member_name (c->json, "step");
    json_builder_add_string_value (c->json, step);
    json_builder_set_member_name (c->json, "status");
    json_builder_add_int_value (c->json, status);
    json_builder_set_member_name (c->json, "text");
    json_builder_add_string_value (c->json, text);
    json_builder_end_object (c->json);
  } else if (status) {
    printf ("%s: %s: failed (%d): %s\n", c->name, step, status, text);
  } else {
    printf ("%s: %s: ok: %s\n", c->name, step, text);
  }
  fflush (stdout);
  return status == 0;
}

/* ---- waiting ---- */

/* False: @limit_s has passed. */
static bool
turn_until (Check *c, const bool *done, int limit_s)
{
  int64_t end_us = g_get_monotonic_time () + (int64_t) limit_s * G_USEC_PER_SEC;

  while (!*done && g_get_monotonic_time () < end_us) {
    while (g_main_context_iteration (NULL, FALSE))
      ;
    if (!*done)
      lunfs_lane_run_once (c->lane, PASS_MS);
  }
  return *done;
}

/* ---- resolve, connect ---- */

static void
resolved (void *user, const char *const *addresses, unsigned n, const char *error)
{
  Check *c = user;

  for (unsigned i = 0; i < n; i++)
    c->addresses[i] = g_strdup (addresses[i]);
  c->naddresses = n;
  c->why = g_strdup (error);
  c->answered = true;
}

static bool
try_resolve (Check *c)
{
  const LunfsSettings *s = c->settings;
  g_autofree char *list = NULL;

  c->answered = false;
  lunfs_resolve_all (s->source.host, s->other_portals, resolved, c);
  while (!turn_until (c, &c->answered, 3600)) /* the C library has its own limits */
    ;
  if (c->naddresses == 0)
    return say (c, "resolve", LUNFS_EXIT_TRANSPORT, "%s; check portal or the URL's host, and the name service", c->why);
  list = g_strjoinv (", ", c->addresses);
  return say (c, "resolve", 0, "%s%s%s: %s", s->source.host, s->other_portals ? " " : "",
              s->other_portals ? s->other_portals : "", list);
}

static bool
connect_to (const char *address, uint16_t port, unsigned limit_s, GError **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketAddress) where = g_inet_socket_address_new_from_string (address, port);
  g_autoptr (GSocketConnection) connection = NULL;

  if (!where) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "not an address");
    return false;
  }
  g_socket_client_set_timeout (client, limit_s);
  g_socket_client_set_enable_proxy (client, FALSE);
  connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (where), NULL, error);
  return connection != NULL;
}

/* The first that accepts is enough, as for a mount. */
static bool
try_connect (Check *c)
{
  g_autoptr (GString) failures = g_string_new (NULL);
  int status = LUNFS_EXIT_TRANSPORT;

  for (unsigned i = 0; i < c->naddresses; i++) {
    uint16_t port = c->settings->source.port;
    g_autofree char *address = lunfs_address_parse (c->addresses[i], &port);
    g_autoptr (GError) why = NULL;
    g_autofree char *place = g_strdup_printf (strchr (address, ':') ? "[%s]:%u" : "%s:%u", address, port);

    if (connect_to (address, port, (unsigned) c->settings->login_timeout, &why))
      return say (c, "connect", 0, "%s%s%s", place, failures->len ? "; not to " : "", failures->str);
    if (g_error_matches (why, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
      status = LUNFS_EXIT_TIMEOUT;
    g_string_append_printf (failures, "%s%s (%s)", failures->len ? ", " : "", place, why->message);
  }
  return say (c, "connect", status, "%s; check the port, firewalls, and whether the target runs", failures->str);
}

/* ---- discover, login ---- */

static void
target_free (gpointer data)
{
  LunfsFoundTarget *target = data;

  g_free (target->name);
  g_free (target->host);
  g_free (target);
}

static void
found (void *user, const LunfsFound *f)
{
  Check *c = user;

  c->outcome = f->outcome;
  g_free (c->why);
  c->why = g_strdup (f->text);
  for (unsigned i = 0; i < f->targets->len; i++) {
    const LunfsFoundTarget *from = f->targets->pdata[i];
    LunfsFoundTarget *target = g_new0 (LunfsFoundTarget, 1);

    target->name = g_strdup (from->name);
    target->host = g_strdup (from->host);
    target->port = from->port;
    g_ptr_array_add (c->targets, target);
  }
  g_free (c->luns);
  c->luns = g_memdup2 (f->luns, f->nluns * sizeof *f->luns);
  c->nluns = f->nluns;
  c->answered = true;
}

static void
ask (Check *c, const char *host, uint16_t port, const char *target_name)
{
  LunfsFindConf conf = {
    .lane = c->lane,
    .open = lunfs_iscsi_open,
    .settings = c->settings,
    .host = host,
    .port = port,
    .target_name = target_name,
    .isid_random = c->isid_random,
  };

  c->answered = false;
  lunfs_find (&conf, found, c);
  while (!turn_until (c, &c->answered, 3600)) /* lunfs_find has its own limit */
    ;
}

/* ---- one LUN ---- */

static void
on_up (void *user, const LunfsLunInfo *info)
{
  Check *c = user;

  c->info = *info;
  c->up = c->answered = true;
  lunfs_session_serve (c->session);
}

static void
on_failed (void *user, LunfsLoginOutcome outcome, const char *text)
{
  Check *c = user;

  if (c->answered)
    return;
  c->outcome = outcome;
  g_free (c->why);
  c->why = g_strdup (text);
  c->answered = true;
}

static void
on_stopped (void *user)
{
  ((Check *) user)->stopped = true;
}

static void
on_nothing (void *user)
{
}

static void
on_deferred (void *user, int err)
{
}

static const LunfsSessionEvents session_events = {
  .up = on_up,
  .deferred = on_deferred,
  .taken = on_nothing,
  .luns_changed = on_nothing,
  .failing = on_nothing,
  .down = on_nothing,
  .failed = on_failed,
  .stopped = on_stopped,
  .quiet = on_nothing,
  .left = on_nothing,
};

static void
session_resolved (void *user, const char *const *addresses, unsigned n, const char *error)
{
  Check *c = user;

  if (c->session)
    lunfs_session_resolved (c->session, addresses, n, error);
}

static void
session_resolve (void *user, LunfsSession *session, const char *host)
{
  Check *c = user;
  bool named = c->settings->source.target_name && g_str_equal (host, c->settings->source.host);

  lunfs_resolve_all (host, named ? c->settings->other_portals : NULL, session_resolved, c);
}

static void
request_done (LunfsRequest *req)
{
  ((Check *) req->owner)->answered = true;
}

/* 0, or a negative errno. */
static int
send_request (Check *c, LunfsOp op, void *data, uint64_t length)
{
  LunfsLayer *layer = lunfs_session_layer (c->session);

  memset (&c->req, 0, sizeof c->req);
  lunfs_request_init (&c->req);
  c->req.op = op;
  c->req.length = length;
  c->iov = (struct iovec){ data, length };
  c->req.iov = &c->iov;
  c->req.niov = length ? 1 : 0;
  c->req.done = request_done;
  c->req.owner = c;
  c->req.submit_us = lunfs_lane_now_us (c->lane);
  c->answered = false;
  layer->ops->submit (layer, &c->req);
  while (!turn_until (c, &c->answered, 3600)) /* cmd_timeout ends it */
    ;
  return c->req.result;
}

/* Logged in, and it is a disk: what it is, and what it does. */
static bool
try_io (Check *c, unsigned lun)
{
  const LunfsCapacity *capacity = &c->info.capacity;
  g_autofree char *size = g_format_size_full (capacity->nblocks * capacity->block_size, G_FORMAT_SIZE_IEC_UNITS);
  uint64_t bytes = MIN (MAX ((uint64_t) READ_BYTES, capacity->block_size), capacity->nblocks * capacity->block_size);
  g_autofree void *data = g_malloc0 (bytes + 1);
  const char *identity = c->info.identity.text;
  int result;

  say (c, "identify", 0, "lun %u: %s, %s, blocks of %u bytes, %s %s%s", lun,
       *identity ? identity : "no identity (VPD 83h, 80h)", size, capacity->block_size, c->info.inquiry.vendor,
       c->info.inquiry.product, c->info.modes.write_protected ? ", write protected" : "");
  result = send_request (c, LUNFS_OP_READ, data, bytes);
  if (!say (c, "read", result ? LUNFS_EXIT_FAILED : 0, "lun %u: the first %" G_GUINT64_FORMAT " bytes%s%s", lun, bytes,
            result ? ": " : "", result ? g_strerror (-result) : ""))
    return false;
  result = send_request (c, LUNFS_OP_FLUSH, NULL, 0);
  return say (c, "flush", result ? LUNFS_EXIT_FAILED : 0, "lun %u: write cache %s%s%s", lun,
              c->info.modes.wce || !c->info.modes.have_caching ? "on" : "off", result ? ": " : "",
              result ? g_strerror (-result) : "");
}

static bool
try_lun (Check *c, const char *host, uint16_t port, const char *target_name, uint16_t lun)
{
  LunfsStats stats = { 0 };
  LunfsSessionConf conf = {
    .open = lunfs_iscsi_open,
    .settings = c->settings,
    .host = host,
    .port = port,
    .target_name = target_name,
    .lun = lun,
    .isid_random = c->isid_random,
    .isid_qualifier = ISID_QUALIFIER,
    .stats = &stats,
    .resolve = session_resolve,
    .resolve_user = c,
  };
  bool ok;

  c->answered = c->up = c->stopped = false;
  c->session = lunfs_session_new (c->lane, &conf, &session_events, c);
  lunfs_session_start (c->session);
  turn_until (c, &c->answered, 2 * c->settings->login_timeout);
  if (c->up)
    ok = try_io (c, lun);
  else if (c->answered && c->outcome == LUNFS_LOGIN_NOT_DISK && c->settings->source.lun == LUNFS_LUN_ALL)
    ok = say (c, "identify", 0, "lun %u: not a disk, left out", lun);
  else
    ok = say (c, "identify", c->answered ? lunfs_worker_exit_of (c->outcome) : LUNFS_EXIT_TIMEOUT, "lun %u: %s", lun,
              c->answered ? c->why : "no end within twice login_timeout");
  lunfs_session_stop (c->session, (int64_t) c->settings->logout_timeout * 1000);
  while (!turn_until (c, &c->stopped, 3600))
    ;
  lunfs_session_free (g_steal_pointer (&c->session));
  return ok;
}

static bool
try_target (Check *c, const char *host, uint16_t port, const char *name)
{
  int only = c->settings->source.lun;
  g_autofree uint16_t *luns = NULL;
  unsigned nluns;

  ask (c, host, port, name);
  if (c->outcome != LUNFS_LOGIN_OK)
    return say (c, "login", lunfs_worker_exit_of (c->outcome), "%s: %s", name, c->why);
  if (c->nluns == 0)
    return say (c, "login", LUNFS_EXIT_NO_OBJECTS, "%s has no LUNs for %s; check its access list", name,
                c->settings->initiator_name);
  say (c, "login", 0, "%s as %s%s, %u LUNs", name, c->settings->initiator_name,
       c->settings->target_user ? ", mutual CHAP"
       : c->settings->user      ? ", CHAP"
                                : "",
       c->nluns);
  if (only != LUNFS_LUN_ALL)
    return try_lun (c, host, port, name, (uint16_t) only);
  luns = g_steal_pointer (&c->luns);
  nluns = c->nluns;
  for (unsigned i = 0; i < nluns; i++)
    if (lunfs_luns_include (c->settings->luns, luns[i]) && !try_lun (c, host, port, name, luns[i]))
      return false;
  return true;
}

static bool
try_discovery (Check *c)
{
  const LunfsSource *source = &c->settings->source;

  ask (c, source->host, source->port, NULL);
  if (c->outcome != LUNFS_LOGIN_OK)
    return say (c, "discover", lunfs_worker_exit_of (c->outcome), "%s", c->why);
  if (c->targets->len == 0)
    return say (c, "discover", LUNFS_EXIT_NO_OBJECTS, "the portal offers no targets to %s; check their access lists",
                c->settings->initiator_name);
  say (c, "discover", 0, "%u targets", c->targets->len);
  for (unsigned i = 0; i < c->targets->len; i++) {
    const LunfsFoundTarget *target = c->targets->pdata[i];

    if (!try_target (c, target->host, target->port, target->name))
      return false;
  }
  return true;
}

/* ---- one name ---- */

static void
check_online (Check *c)
{
  const LunfsSource *source = &c->settings->source;

  c->lane = lunfs_lane_new (0, NULL, NULL);
  c->isid_random = g_random_int () & 0xffffff;
  c->targets = g_ptr_array_new_with_free_func (target_free);
  c->settings->replacement_timeout = 0; /* what fails is to fail now */
  if (try_resolve (c) && try_connect (c)) {
    if (source->target_name)
      try_target (c, source->host, source->port, source->target_name);
    else
      try_discovery (c);
  }
  for (unsigned i = 0; i < c->naddresses; i++)
    g_free (c->addresses[i]);
  g_ptr_array_unref (c->targets);
  g_free (c->luns);
  g_free (c->why);
  lunfs_lane_free (c->lane);
}

/* @args: those of lunfs, the name last.  The status. */
static int
check_one (char **args, const char *name, JsonBuilder *json)
{
  Check c = { .name = name, .json = json };
  g_autoptr (GError) why = NULL;
  g_autofree char *text = NULL;
  const char *others;

  c.settings = lunfs_options_parse_source ((int) g_strv_length (args), args, &why);
  if (why)
    say (&c, "configuration", why->domain == LUNFS_ERROR ? why->code : LUNFS_EXIT_FAILED, "%s", why->message);
  if (!c.settings)
    return c.status;
  lunfs_log_open ("stderr", c.settings->debug_mask ? LUNFS_LOG_DEBUG : LUNFS_LOG_ERROR, c.settings->debug_mask, NULL);
  text = lunfs_source_text (&c.settings->source, NULL);
  others = c.settings->other_portals;
  say (&c, "configuration", 0, "%s%s%s", text, others ? ", or at " : "", others ? others : "");
  check_online (&c);
  lunfs_settings_free (c.settings);
  return c.status;
}

/* ---- the command ---- */

typedef struct {
  GPtrArray *args; /* for lunfs: its name, options */
  const char *source;
  const char *config_path;
  bool json;
} Command;

static bool
take_arguments (Command *cmd, int argc, char **argv, GError **error)
{
  for (int i = 0; i < argc; i++) {
    if (g_str_equal (argv[i], "--json")) {
      cmd->json = true;
    } else if (*argv[i] != '-' && cmd->source) {
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "give one NAME or URL, or none for all names");
      return false;
    } else if (*argv[i] != '-') {
      cmd->source = argv[i];
    } else {
      const LunfsOption *o = g_str_has_prefix (argv[i], "--") ? lunfs_option_find (argv[i] + 2) : NULL;
      bool next = i + 1 < argc && (o ? o->value_name && !o->value_optional : g_str_equal (argv[i], "-o"));

      if (g_str_equal (argv[i], "--config") && next)
        cmd->config_path = argv[i + 1];
      else if (g_str_has_prefix (argv[i], "--config="))
        cmd->config_path = argv[i] + strlen ("--config=");
      g_ptr_array_add (cmd->args, g_strdup (argv[i]));
      if (next)
        g_ptr_array_add (cmd->args, g_strdup (argv[++i]));
    }
  }
  return true;
}

static int
check_source (const Command *cmd, const char *source, JsonBuilder *json)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *shown = g_strdup (source);
  g_auto (GStrv) args = NULL;

  for (unsigned i = 0; i < cmd->args->len; i++)
    g_strv_builder_add (builder, cmd->args->pdata[i]);
  g_strv_builder_add (builder, source);
  args = g_strv_builder_end (builder);
  lunfs_url_hide_password (shown);
  return check_one (args, shown, json);
}

static int
check_all (const Command *cmd, JsonBuilder *json, GError **error)
{
  g_autoptr (LunfsKeyfile) file = lunfs_keyfile_load (cmd->config_path, error);
  int first = LUNFS_EXIT_OK;

  if (!file)
    return LUNFS_EXIT_USAGE;
  if (!*lunfs_keyfile_names (file))
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "%s names no target", lunfs_keyfile_path (file));
  for (char **name = lunfs_keyfile_names (file); *name; name++) {
    int status = check_source (cmd, *name, json);

    first = first ? first : status;
  }
  return first;
}

static void
print_json (JsonBuilder *json, int status)
{
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_end_array (json);
  json_builder_set_member_name (json, "status");
  json_builder_add_int_value (json, status);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  puts (text);
}

int
lunfs_check_run (int argc, char **argv, GError **error)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (JsonBuilder) json = NULL;
  Command cmd = { .args = args };
  int status;

  g_ptr_array_add (args, g_strdup ("lunfs"));
  if (!take_arguments (&cmd, argc, argv, error) || !lunfs_iscsi_self_test (error))
    return LUNFS_EXIT_USAGE;
  signal (SIGPIPE, SIG_IGN); /* libiscsi writes without MSG_NOSIGNAL */
  if (cmd.json) {
    json = json_builder_new ();
    json_builder_begin_object (json);
    json_builder_set_member_name (json, "steps");
    json_builder_begin_array (json);
  }
  status = cmd.source ? check_source (&cmd, cmd.source, json) : check_all (&cmd, json, error);
  if (json && !*error)
    print_json (json, status);
  return status;
}
