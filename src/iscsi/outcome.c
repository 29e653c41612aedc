/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/outcome.h"

#include <stdlib.h>
#include <string.h>

LunfsLoginOutcome
lunfs_outcome_of (const char *text)
{
  const char *paren = text ? strrchr (text, '(') : NULL;
  unsigned long code = paren ? strtoul (paren + 1, NULL, 10) : 0;

  switch (code) { /* RFC 7143 11.13.5: class * 256 + detail */
  case 0x0201:
  case 0x0202:
    return LUNFS_LOGIN_AUTH;
  case 0x0203:
  case 0x0204:
    return LUNFS_LOGIN_NOT_FOUND;
  case 0x0206:
  case 0x0300:
  case 0x0301:
  case 0x0302:
    return LUNFS_LOGIN_BUSY;
  default:
    break;
  }
  if (code >= 0x0200 && code < 0x0400)
    return LUNFS_LOGIN_REFUSED;
  if (text && (strcasestr (text, "authenticat") || strstr (text, "CHAP") || strcasestr (text, "wrong password")))
    return LUNFS_LOGIN_AUTH;
  return LUNFS_LOGIN_TRANSPORT;
}

/* Mutual CHAP: our own proof was accepted, but the target's was wrong or did not come. */
static bool
target_not_proven (const char *text)
{
  static const char *const words[] = { "Invalid CHAP_R", "Wrong CHAP targetname", "Wrong size of CHAP_R",
                                       "did not return CHAP_N", "did not return CHAP_R" };

  for (unsigned i = 0; i < G_N_ELEMENTS (words); i++)
    if (strstr (text, words[i]))
      return true;
  return false;
}

const char *
lunfs_outcome_text (LunfsLoginOutcome outcome, const char *text, bool has_user)
{
  /* libiscsi 1.19 parses the padding behind an unaligned TargetName/CHAP text as text (LIO, mutual CHAP). */
  if (text && strstr (text, "NUL not found"))
    return "login failed: libiscsi could not read the target's answer (a known fault with mutual CHAP: try a target "
           "user "
           "name whose length divided by 4 leaves 2)";
  switch (outcome) {
  case LUNFS_LOGIN_AUTH:
    if (text && target_not_proven (text))
      return "mutual authentication failed: the target did not prove its identity (check target_user and "
             "target_password, and that the target has them for mutual CHAP)";
    if (!has_user)
      return "login refused: authentication failed, and no user and password were given (credentials=FILE; or the "
             "target does not allow this initiator name)";
    return "login refused: authentication failed (check user and credentials, and that the target allows this "
           "initiator name)";
  case LUNFS_LOGIN_NOT_FOUND:
    return "login refused: the portal has no such target (iscsi://HOST mounts all that it offers)";
  case LUNFS_LOGIN_BUSY:
    return "login refused for now: the target is unavailable or out of resources";
  default:
    return text && *text ? text : "the connection was lost during login";
  }
}

char *
lunfs_outcome_clean (const char *text)
{
  const char *stale = text ? strstr (text, "SENSE KEY:") : NULL;
  g_autofree char *own = g_strchomp (stale ? g_strndup (text, (gsize) (stale - text)) : g_strdup (text ? text : ""));

  if (!*own || strstr (own, "reconnect"))
    return g_strdup ("the target closed the connection");
  return g_steal_pointer (&own);
}
