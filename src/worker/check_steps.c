/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread: the lane has none of its own here, passes of it and of the main loop alternate.
 *
 *   resolve -> connect -> login (REPORT LUNS) -> identify -> read -> flush, the last three for each LUN; without a target
 *   discover (SendTargets) in place of login, and then login for each target.
 *
 * The nexus is one of its own (random ISID), so no session of a mount ends; the last three go through the session room, which
 * knows what targets answer to newcomers. */
#include "config.h"

#include "worker/check-private.h"

#include "control/luns.h"
#include "iscsi/address.h"
#include "iscsi/libiscsi.h"
#include "lunfs/error.h"

#include <gio/gio.h>
#include <string.h>

#define READ_BYTES 4096
#define PASS_MS 10
#define ISID_QUALIFIER 0xfffe

/* ---- waiting ---- */

/* False: @limit_s has passed. */
static bool
turn_until (LunfsCheck *c, const bool *done, int limit_s)
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
  LunfsCheck *c = user;

  for (unsigned i = 0; i < n; i++)
    c->addresses[i] = g_strdup (addresses[i]);
  c->naddresses = n;
  c->why = g_strdup (error);
  c->answered = true;
}

static bool
try_resolve (LunfsCheck *c)
{
  const LunfsSettings *s = c->settings;
  g_autofree char *list = NULL;

  c->answered = false;
  lunfs_resolve_all (s->source.host, s->other_portals, resolved, c);
  while (!turn_until (c, &c->answered, 3600)) /* the C library has its own limits */
    ;
  if (c->naddresses == 0)
    return lunfs_check_say (c, "resolve", LUNFS_EXIT_TRANSPORT,
                            "%s; check portal or the URL's host, and the name service", c->why);
  list = g_strjoinv (", ", c->addresses);
  return lunfs_check_say (c, "resolve", 0, "%s%s%s: %s", s->source.host, s->other_portals ? " " : "",
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
try_connect (LunfsCheck *c)
{
  g_autoptr (GString) failures = g_string_new (NULL);
  int status = LUNFS_EXIT_TRANSPORT;

  for (unsigned i = 0; i < c->naddresses; i++) {
    uint16_t port = c->settings->source.port;
    g_autofree char *address = lunfs_address_parse (c->addresses[i], &port);
    g_autoptr (GError) why = NULL;
    g_autofree char *place = g_strdup_printf (strchr (address, ':') ? "[%s]:%u" : "%s:%u", address, port);

    if (connect_to (address, port, (unsigned) c->settings->login_timeout, &why))
      return lunfs_check_say (c, "connect", 0, "%s%s%s", place, failures->len ? "; not to " : "", failures->str);
    if (g_error_matches (why, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
      status = LUNFS_EXIT_TIMEOUT;
    g_string_append_printf (failures, "%s%s (%s)", failures->len ? ", " : "", place, why->message);
  }
  return lunfs_check_say (c, "connect", status, "%s; check the port, firewalls, and whether the target runs",
                          failures->str);
}

/* ---- discover, login ---- */

static void
found (void *user, const LunfsFound *f)
{
  LunfsCheck *c = user;

  c->outcome = f->outcome;
  g_free (c->why);
  c->why = g_strdup (f->text);
  g_clear_pointer (&c->targets, g_ptr_array_unref);
  c->targets = g_ptr_array_ref (f->targets);
  g_free (c->luns);
  c->luns = g_memdup2 (f->luns, f->nluns * sizeof *f->luns);
  c->nluns = f->nluns;
  c->answered = true;
}

static void
ask (LunfsCheck *c, const char *host, uint16_t port, const char *target_name)
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
  LunfsCheck *c = user;

  c->info = *info;
  c->up = c->answered = true;
  lunfs_session_serve (c->session);
}

static void
on_failed (void *user, LunfsLoginOutcome outcome, const char *text)
{
  LunfsCheck *c = user;

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
  ((LunfsCheck *) user)->stopped = true;
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
  LunfsCheck *c = user;

  if (c->session)
    lunfs_session_resolved (c->session, addresses, n, error);
}

static void
session_resolve (void *user, LunfsSession *session, const char *host)
{
  LunfsCheck *c = user;
  bool named = c->settings->source.target_name && g_str_equal (host, c->settings->source.host);

  lunfs_resolve_all (host, named ? c->settings->other_portals : NULL, session_resolved, c);
}

static void
request_done (LunfsRequest *req)
{
  ((LunfsCheck *) req->owner)->answered = true;
}

/* 0, or a negative errno. */
static int
send_request (LunfsCheck *c, LunfsOp op, void *data, uint64_t length)
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
try_io (LunfsCheck *c, unsigned lun)
{
  const LunfsCapacity *capacity = &c->info.capacity;
  g_autofree char *size = g_format_size_full (capacity->nblocks * capacity->block_size, G_FORMAT_SIZE_IEC_UNITS);
  uint64_t bytes = MIN (MAX ((uint64_t) READ_BYTES, capacity->block_size), capacity->nblocks * capacity->block_size);
  g_autofree void *data = g_malloc0 (bytes + 1);
  const char *identity = c->info.identity.text;
  int result;

  lunfs_check_say (c, "identify", 0, "lun %u: %s, %s, blocks of %u bytes, %s %s%s", lun,
                   *identity ? identity : "no identity (VPD 83h, 80h)", size, capacity->block_size,
                   c->info.inquiry.vendor, c->info.inquiry.product,
                   c->info.modes.write_protected ? ", write protected" : "");
  result = send_request (c, LUNFS_OP_READ, data, bytes);
  if (!lunfs_check_say (c, "read", result ? LUNFS_EXIT_FAILED : 0, "lun %u: the first %" G_GUINT64_FORMAT " bytes%s%s",
                        lun, bytes, result ? ": " : "", result ? g_strerror (-result) : ""))
    return false;
  result = send_request (c, LUNFS_OP_FLUSH, NULL, 0);
  return lunfs_check_say (c, "flush", result ? LUNFS_EXIT_FAILED : 0, "lun %u: write cache %s%s%s", lun,
                          c->info.modes.wce || !c->info.modes.have_caching ? "on" : "off", result ? ": " : "",
                          result ? g_strerror (-result) : "");
}

static bool
try_lun (LunfsCheck *c, const char *host, uint16_t port, const char *target_name, uint16_t lun)
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
    ok = lunfs_check_say (c, "identify", 0, "lun %u: not a disk, left out", lun);
  else
    ok = lunfs_check_say (c, "identify", c->answered ? lunfs_login_exit (c->outcome) : LUNFS_EXIT_TIMEOUT,
                          "lun %u: %s", lun, c->answered ? c->why : "no end within twice login_timeout");
  lunfs_session_stop (c->session, (int64_t) c->settings->logout_timeout * 1000);
  while (!turn_until (c, &c->stopped, 3600))
    ;
  lunfs_session_free (g_steal_pointer (&c->session));
  return ok;
}

static bool
try_target (LunfsCheck *c, const char *host, uint16_t port, const char *name)
{
  int only = c->settings->source.lun;
  g_autofree uint16_t *luns = NULL;
  unsigned nluns;

  ask (c, host, port, name);
  if (c->outcome != LUNFS_LOGIN_OK)
    return lunfs_check_say (c, "login", lunfs_login_exit (c->outcome), "%s: %s", name, c->why);
  if (c->nluns == 0)
    return lunfs_check_say (c, "login", LUNFS_EXIT_NO_OBJECTS, "%s has no LUNs for %s; check its access list", name,
                            c->settings->initiator_name);
  lunfs_check_say (c, "login", 0, "%s as %s%s, %u LUNs", name, c->settings->initiator_name,
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
try_discovery (LunfsCheck *c)
{
  const LunfsSource *source = &c->settings->source;
  g_autoptr (GPtrArray) targets = NULL;

  ask (c, source->host, source->port, NULL);
  if (c->outcome != LUNFS_LOGIN_OK)
    return lunfs_check_say (c, "discover", lunfs_login_exit (c->outcome), "%s", c->why);
  if (c->targets->len == 0)
    return lunfs_check_say (c, "discover", LUNFS_EXIT_NO_OBJECTS,
                            "the portal offers no targets to %s; check their access lists",
                            c->settings->initiator_name);
  lunfs_check_say (c, "discover", 0, "%u targets", c->targets->len);
  targets = g_steal_pointer (&c->targets);
  for (unsigned i = 0; i < targets->len; i++) {
    const LunfsFoundTarget *target = targets->pdata[i];

    if (!try_target (c, target->host, target->port, target->name))
      return false;
  }
  return true;
}

/* ---- all of it ---- */

void
lunfs_check_online (LunfsCheck *c)
{
  const LunfsSource *source = &c->settings->source;

  c->lane = lunfs_lane_new (0, NULL, NULL);
  c->isid_random = g_random_int () & 0xffffff;
  c->settings->replacement_timeout = 0; /* what fails is to fail now */
  if (try_resolve (c) && try_connect (c)) {
    if (source->target_name)
      try_target (c, source->host, source->port, source->target_name);
    else
      try_discovery (c);
  }
  for (unsigned i = 0; i < c->naddresses; i++)
    g_free (c->addresses[i]);
  g_clear_pointer (&c->targets, g_ptr_array_unref);
  g_free (c->luns);
  g_free (c->why);
  lunfs_lane_free (c->lane);
}
