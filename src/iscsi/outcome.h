/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libiscsi's error texts mean.  Pure: no state, any thread. */
#ifndef LUNFS_ISCSI_OUTCOME_H
#define LUNFS_ISCSI_OUTCOME_H

#include "iscsi/transport.h"

#include <stdbool.h>

/* Of a login that failed.  libiscsi gives the status only inside its text: "... Status: Authentication failure(513)". */
LunfsLoginOutcome lunfs_outcome_of (const char *text);
/* For the user: cause and remedy.  @text may be NULL, and is what is returned if nothing better is known.
 * @has_user: CHAP was ready on our side. */
const char *lunfs_outcome_text (LunfsLoginOutcome outcome, const char *text, bool has_user);
/* libiscsi's words for "the other end closed" are about its reconnecting, which is off.  And its last error stays: the sense data
 * of some earlier command, alone or behind the error of the connection.  Free with g_free. */
char *lunfs_outcome_clean (const char *text);

#endif
