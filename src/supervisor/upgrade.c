/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"

struct LunfsUpgrade {
  LunfsArenaUpgrade *record;
  char *path;            /* where a new program is looked for; NULL = unknown */
  LunfsProgram *current; /* what workers are */
  LunfsProgram *next;    /* asked, to be switched to, or fallen back from */
  LunfsProgram *former;  /* until the current one has proven itself */
  pid_t child;           /* asked; 0 = none */
  int fd;                /* its answer; -1 = none */
  char text[256];
  size_t len;
};

/* ---- the record ---- */

static void
publish (LunfsUpgrade *u, LunfsUpgradeState state)
{
  __atomic_store_n (&u->record->state, (uint32_t) state, __ATOMIC_RELEASE);
}

static void
end (LunfsUpgrade *u, LunfsUpgradeState state, int status, const char *text)
{
  u->record->status = status;
  g_strlcpy (u->record->text, text, sizeof u->record->text);
  publish (u, state);
}

/* ---- the question ---- */

static void
end_question (LunfsUpgrade *u)
{
  if (u->fd >= 0)
    close (u->fd);
  u->fd = -1;
  if (!u->child)
    return;
  kill (u->child, SIGKILL); /* it has said what it had to say */
  while (waitpid (u->child, NULL, 0) < 0 && errno == EINTR)
    ;
  u->child = 0;
}

static LunfsUpgradeAnswer
refuse (LunfsUpgrade *u, int status, const char *why)
{
  end_question (u);
  g_clear_pointer (&u->next, lunfs_program_free);
  lunfs_error ("upgrade refused, nothing has changed: %s", why);
  end (u, LUNFS_UPGRADE_REFUSED, status, why);
  return LUNFS_ANSWER_MISFIT;
}

LunfsUpgradeAnswer
lunfs_upgrade_ask (LunfsUpgrade *u)
{
  LunfsArenaUpgrade *r = u->record;
  g_autoptr (GError) error = NULL;

  r->text[0] = r->to[0] = '\0';
  r->status = LUNFS_EXIT_OK;
  r->stopped_us = r->served_us = r->up_us = 0;
  g_strlcpy (r->from, u->current->version, sizeof r->from);
  publish (u, LUNFS_UPGRADE_CHECKING);
  r->attempts++;
  u->len = 0;
  if (!u->path)
    return refuse (u, LUNFS_EXIT_FAILED, "where the program lies is not known: /proc is not mounted");
  u->next = lunfs_program_open (u->path, &error);
  if (!u->next || !lunfs_program_ask (u->next, &u->child, &u->fd, &error))
    return refuse (u, error->code, error->message);
  return LUNFS_ANSWER_PENDING;
}

int
lunfs_upgrade_fd (const LunfsUpgrade *u)
{
  return u->fd;
}

pid_t
lunfs_upgrade_child (const LunfsUpgrade *u)
{
  return u->child;
}

/* True: it has said all it will say. */
static bool
read_answer (LunfsUpgrade *u)
{
  ssize_t n;

  while ((n = read (u->fd, u->text + u->len, sizeof u->text - 1 - u->len)) > 0)
    u->len += (size_t) n;
  u->text[u->len] = '\0';
  return n == 0 || (errno != EAGAIN && errno != EINTR);
}

LunfsUpgradeAnswer
lunfs_upgrade_read (LunfsUpgrade *u)
{
  LunfsInterface ours = lunfs_interface_own (), theirs;
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;

  if (!read_answer (u))
    return LUNFS_ANSWER_PENDING;
  if (!lunfs_interface_parse (u->text, &theirs)) {
    why = g_strdup_printf ("%s does not say what it can take over (too old, or no lunfs); install it again, or unmount "
                           "and mount again to use it",
                           u->path);
    return refuse (u, LUNFS_EXIT_MISFIT, why);
  }
  g_strlcpy (u->record->to, theirs.version, sizeof u->record->to);
  if (!lunfs_interface_fits (&ours, &theirs, &error))
    return refuse (u, error->code, error->message);
  g_strlcpy (u->next->version, theirs.version, sizeof u->next->version);
  end_question (u);
  return LUNFS_ANSWER_FITS;
}

void
lunfs_upgrade_abandon (LunfsUpgrade *u, const char *why)
{
  refuse (u, LUNFS_EXIT_FAILED, why);
}

/* ---- carrying it out ---- */

void
lunfs_upgrade_leaving (LunfsUpgrade *u)
{
  lunfs_notice ("upgrade: lunfs %s takes over from %s", u->next->version, u->current->version);
  publish (u, LUNFS_UPGRADE_LEAVING);
}

void
lunfs_upgrade_switch (LunfsUpgrade *u)
{
  if (!u->next) /* it is so already */
    return;
  if (u->record->state == LUNFS_UPGRADE_FAILED) {
    lunfs_notice ("upgrade: lunfs %s has crashed over the same request: lunfs %s is not to blame and serves again",
                  u->current->version, u->next->version);
    u->record->stopped_us = u->record->up_us = 0; /* of the first time */
  }
  lunfs_program_free (u->former);
  u->former = u->current;
  u->current = g_steal_pointer (&u->next);
  publish (u, LUNFS_UPGRADE_STARTING);
}

void
lunfs_upgrade_served (LunfsUpgrade *u)
{
  u->record->done++;
  lunfs_notice ("upgrade: the worker is lunfs %s now", u->current->version);
  end (u, LUNFS_UPGRADE_DONE, LUNFS_EXIT_OK, "");
}

void
lunfs_upgrade_fall_back (LunfsUpgrade *u, const char *why)
{
  g_autofree char *text = g_strdup_printf ("the worker of lunfs %s is no good (%s): lunfs %s serves again",
                                           u->current->version, why, u->former->version);

  if (u->record->state == LUNFS_UPGRADE_DONE)
    u->record->done--;
  u->next = u->current;
  u->current = g_steal_pointer (&u->former);
  lunfs_error ("upgrade taken back: %s", text);
  end (u, LUNFS_UPGRADE_FAILED, LUNFS_EXIT_FAILED, text);
}

void
lunfs_upgrade_confirm (LunfsUpgrade *u)
{
  g_clear_pointer (&u->former, lunfs_program_free);
  g_clear_pointer (&u->next, lunfs_program_free);
}

/* ---- life ---- */

const LunfsProgram *
lunfs_upgrade_program (const LunfsUpgrade *u)
{
  return u->current;
}

void
lunfs_upgrade_end_interrupted (LunfsArenaUpgrade *record)
{
  LunfsUpgrade u = { .record = record };

  if (record->state == LUNFS_UPGRADE_CHECKING || record->state == LUNFS_UPGRADE_LEAVING
      || record->state == LUNFS_UPGRADE_STARTING)
    end (&u, LUNFS_UPGRADE_FAILED, LUNFS_EXIT_FAILED,
         "the supervisor was killed meanwhile; lunfsctl status tells which version serves");
}

LunfsUpgrade *
lunfs_upgrade_new (LunfsArenaHeader *header)
{
  LunfsUpgrade *u = g_new0 (LunfsUpgrade, 1);

  u->record = &header->upgrade;
  u->path = lunfs_program_own_path ();
  u->current = lunfs_program_own ();
  u->fd = -1;
  lunfs_upgrade_end_interrupted (u->record);
  g_strlcpy (u->record->supervisor_version, PACKAGE_VERSION, sizeof u->record->supervisor_version);
  return u;
}

void
lunfs_upgrade_free (LunfsUpgrade *u)
{
  if (!u)
    return;
  end_question (u);
  lunfs_program_free (u->current);
  lunfs_program_free (u->next);
  lunfs_program_free (u->former);
  g_free (u->path);
  g_free (u);
}
