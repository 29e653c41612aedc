/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/upgrade.h"

#include <string.h>

#include "control/control.h"
#include "lunfs/error.h"

#define ASK_EVERY_US 5000
#define ASK_TIMEOUT_S 2
#define BEGIN_WITHIN_US (5 * G_USEC_PER_SEC)  /* the supervisor does nothing else */
#define END_WITHIN_US (30 * G_USEC_PER_SEC)   /* what policy.c allows for all steps */
#define LOGIN_WITHIN_US (10 * G_USEC_PER_SEC) /* after that the target is to blame */

typedef struct {
  const char *socket, *mountpoint;
  gint64 attempts; /* before this one */
  gint64 began_us, done_us;
} Following;

static gint64
number (JsonObject *answer, const char *name)
{
  return json_object_get_int_member_with_default (answer, name, 0);
}

static const char *
text (JsonObject *answer, const char *name)
{
  return json_object_get_string_member_with_default (answer, name, "");
}

static JsonObject *
ask (const char *socket, const char *command, GError **error)
{
  g_autoptr (JsonObject) request = json_object_new ();

  json_object_set_string_member (request, "command", command);
  return lunfs_control_ask_at (socket, request, ASK_TIMEOUT_S, error);
}

static bool
fail (const Following *f, int status, const char *why, GError **error)
{
  g_set_error (error, LUNFS_ERROR, status, "%s: %s", f->mountpoint, why);
  return false;
}

/* True: go on.  False without @error: it has ended well. */
static bool
look (Following *f, JsonObject *answer, LunfsUpgradeResult *out, GError **error)
{
  gint64 now_us = g_get_monotonic_time ();
  const char *state = answer ? text (answer, "state") : "";

  if (answer && number (answer, "attempts") == f->attempts && now_us - f->began_us > BEGIN_WITHIN_US)
    return fail (f, LUNFS_EXIT_BUSY, "no upgrade now; the log says why", error);
  if (now_us - f->began_us > END_WITHIN_US)
    return fail (f, LUNFS_EXIT_TIMEOUT, "no end of the upgrade in sight; see the log", error);
  if (!answer || number (answer, "attempts") == f->attempts)
    return true;
  if (strcmp (state, "refused") == 0 || strcmp (state, "failed") == 0)
    return fail (f, (int) number (answer, "result"), text (answer, "text"), error);
  if (strcmp (state, "done") != 0)
    return true;
  f->done_us = f->done_us ? f->done_us : now_us;
  out->all_up = number (answer, "pause_us") > 0;
  if (!out->all_up && now_us - f->done_us < LOGIN_WITHIN_US)
    return true;
  g_strlcpy (out->from, text (answer, "from"), sizeof out->from);
  g_strlcpy (out->to, text (answer, "to"), sizeof out->to);
  out->pause_us = number (answer, out->all_up ? "pause_us" : "unread_us");
  return false;
}

bool
lunfs_upgrade_mount (const char *socket, const char *mountpoint, LunfsUpgradeResult *out, GError **error)
{
  Following f = { .socket = socket, .mountpoint = mountpoint, .began_us = g_get_monotonic_time () };
  g_autoptr (JsonObject) begun = ask (socket, "upgrade", error);
  g_autoptr (GError) why = NULL;

  if (!begun)
    return false;
  f.attempts = number (begun, "attempts");
  for (;;) {
    /* Between two workers nobody answers. */
    g_autoptr (JsonObject) answer = ask (socket, "upgrade-state", NULL);

    if (!look (&f, answer, out, &why))
      break;
    if (!answer && !lunfs_control_has_owner (socket))
      return fail (&f, LUNFS_EXIT_FAILED, "the mount has ended meanwhile", error);
    g_usleep (ASK_EVERY_US);
  }
  if (!why)
    return true;
  g_propagate_error (error, g_steal_pointer (&why));
  return false;
}
