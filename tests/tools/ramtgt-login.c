/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Login (any number of PDUs and stages, no authentication, no digests), and text requests (SendTargets).
 * What a key means is in the table below; everything else is the order of RFC 7143 section 6. */
#include "ramtgt.h"

#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

typedef enum KeyKind {
  KEY_FIXED,    /* always answered with text */
  KEY_LIST,     /* text if it is in the offered list, else Reject */
  KEY_MIN,      /* the smaller of the offer and *limit */
  KEY_OR,       /* Yes if one of the two says so */
  KEY_AND,      /* Yes if both do */
  KEY_DECLARED, /* the initiator's own limit; *limit is ours */
  KEY_NAME,     /* who and what: taken, not answered */
} KeyKind;

typedef struct Key {
  const char *name;
  KeyKind kind;
  const char *text;
  size_t param; /* offset in Params */
  const void *limit;
} Key;

#define PARAM(field) offsetof (Params, field)
static const Key keys[] = {
  { "InitiatorName", KEY_NAME, NULL, 0, NULL },
  { "InitiatorAlias", KEY_NAME, NULL, 0, NULL },
  { "TargetName", KEY_NAME, NULL, 0, NULL },
  { "SessionType", KEY_NAME, NULL, 0, NULL },
  { "AuthMethod", KEY_LIST, "None", 0, NULL },
  { "HeaderDigest", KEY_LIST, "None", 0, NULL },
  { "DataDigest", KEY_LIST, "None", 0, NULL },
  { "InitialR2T", KEY_OR, NULL, PARAM (initial_r2t), &rt_conf.initial_r2t },
  { "ImmediateData", KEY_AND, NULL, PARAM (immediate_data), &rt_conf.immediate_data },
  { "MaxBurstLength", KEY_MIN, NULL, PARAM (max_burst), &rt_conf.max_burst },
  { "FirstBurstLength", KEY_MIN, NULL, PARAM (first_burst), &rt_conf.first_burst },
  { "MaxRecvDataSegmentLength", KEY_DECLARED, NULL, PARAM (peer_mrdsl), &rt_conf.mrdsl },
  { "MaxConnections", KEY_FIXED, "1", 0, NULL },
  { "MaxOutstandingR2T", KEY_FIXED, "1", 0, NULL },
  { "DefaultTime2Wait", KEY_FIXED, "2", 0, NULL },
  { "DefaultTime2Retain", KEY_FIXED, "0", 0, NULL },
  { "ErrorRecoveryLevel", KEY_FIXED, "0", 0, NULL },
  { "DataPDUInOrder", KEY_FIXED, "Yes", 0, NULL },
  { "DataSequenceInOrder", KEY_FIXED, "Yes", 0, NULL },
  { "IFMarker", KEY_FIXED, "No", 0, NULL },
  { "OFMarker", KEY_FIXED, "No", 0, NULL },
};

enum { /* status class and detail */
       LOGIN_OK = 0,
       LOGIN_AUTH_FAILED = 0x0201,
       LOGIN_NOT_FOUND = 0x0203,
       LOGIN_VERSION = 0x0205,
       LOGIN_MISSING = 0x0207,
       LOGIN_NO_SESSION = 0x020a,
       LOGIN_BAD_REQUEST = 0x020b,
};

typedef struct Text {
  char data[TEXT_MAX];
  uint32_t len;
} Text;

static void
text_add (Text *t, const char *key, const char *value)
{
  size_t room = sizeof t->data - t->len;
  int n = snprintf (t->data + t->len, room, "%s=%s", key, value);

  if (n > 0 && (size_t)n + 1 < room)
    t->len += (uint32_t)n + 1;
}

static void
text_add_number (Text *t, const char *key, uint64_t value)
{
  char number[24];

  snprintf (number, sizeof number, "%llu", (unsigned long long)value);
  text_add (t, key, number);
}

/* Value of @key in the text gathered so far, or NULL. */
static const char *
text_value (const Conn *c, const char *key)
{
  size_t n = strlen (key);

  for (const char *p = c->text; p < c->text + c->text_len; p += strlen (p) + 1)
    if (!strncmp (p, key, n) && p[n] == '=')
      return p + n + 1;
  return NULL;
}

static bool
in_list (const char *list, const char *word)
{
  size_t n = strlen (word);

  for (const char *p = list; p; p = strchr (p, ',')) {
    p += *p == ',';
    if (!strncmp (p, word, n) && (p[n] == ',' || !p[n]))
      return true;
  }
  return false;
}

static void
answer_key (Conn *c, Text *out, const Key *k, const char *value)
{
  uint32_t *param = (uint32_t *)(void *)((char *)&c->params + k->param);
  uint64_t number = strtoull (value, NULL, 0);
  bool yes = !strcmp (value, "Yes");

  switch (k->kind) {
  case KEY_NAME:
    return;
  case KEY_FIXED:
    text_add (out, k->name, k->text);
    return;
  case KEY_LIST:
    text_add (out, k->name, in_list (value, k->text) ? k->text : "Reject");
    return;
  case KEY_MIN:
    *param = (uint32_t)min64 (number, *(const uint64_t *)k->limit);
    text_add_number (out, k->name, *param);
    return;
  case KEY_OR:
    *param = yes || *(const bool *)k->limit;
    text_add (out, k->name, *param ? "Yes" : "No");
    return;
  case KEY_AND:
    *param = yes && *(const bool *)k->limit;
    text_add (out, k->name, *param ? "Yes" : "No");
    return;
  case KEY_DECLARED:
    *param = (uint32_t)min64 (number < 512 ? 512 : number, 0xffffff);
    text_add_number (out, k->name, *(const uint64_t *)k->limit);
    return;
  }
}

static void
answer_keys (Conn *c, Text *out)
{
  for (char *p = c->text; p < c->text + c->text_len; p += strlen (p) + 1) {
    char *equals = strchr (p, '=');
    const Key *k = NULL;
    if (!equals)
      continue;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !k; i++)
      if (strlen (keys[i].name) == (size_t)(equals - p) && !strncmp (p, keys[i].name, (size_t)(equals - p)))
        k = &keys[i];
    if (k) {
      answer_key (c, out, k, equals + 1);
    } else {
      char name[64];
      snprintf (name, sizeof name, "%.*s", (int)(equals - p), p);
      text_add (out, name, "NotUnderstood");
    }
  }
}

static unsigned
check_names (Conn *c, const uint8_t *bhs)
{
  const char *name = text_value (c, "InitiatorName"), *type = text_value (c, "SessionType");
  const char *target = text_value (c, "TargetName");

  if (bhs[3] > 0)
    return LOGIN_VERSION;
  if (get16 (bhs + 14))
    return LOGIN_NO_SESSION; /* one connection per session */
  if (!name || !*name)
    return LOGIN_MISSING;
  c->discovery = type && !strcmp (type, "Discovery");
  if (!c->discovery && !target)
    return LOGIN_MISSING;
  if (target && !c->discovery && strcmp (target, rt_conf.iqn))
    return LOGIN_NOT_FOUND;
  snprintf (c->initiator, sizeof c->initiator, "%.223s", name);
  memcpy (c->isid, bhs + 8, sizeof c->isid);
  c->named = true;
  return LOGIN_OK;
}

static void
enter_full_phase (Conn *c)
{
  static uint16_t last_tsih;

  if (!c->discovery)
    conn_register (c);
  do
    c->tsih = __atomic_add_fetch (&last_tsih, 1, __ATOMIC_RELAXED);
  while (!c->tsih);
  c->phase = PHASE_FULL;
  stat_add (c->discovery ? STAT_DISCOVERY_LOGINS : STAT_LOGINS, 1);
}

static void
login_reply (Conn *c, const uint8_t *bhs, uint8_t flags, unsigned status, const Text *out)
{
  uint8_t *h, *data;

  conn_flush (c);
  conn_reserve (c, 1, TEXT_MAX);
  data = conn_heap (c, out->len);
  memcpy (data, out->data, out->len);
  h = conn_pdu (c, 0x23, flags, get32 (bhs + 16));
  memcpy (h + 8, c->isid, sizeof c->isid);
  put16 (h + 14, c->tsih);
  pdu_sequence (c, h, true);
  put16 (h + 36, (uint16_t)status);
  conn_attach (c, h, data, out->len);
  conn_flush (c);
}

/* Gather text over PDUs with the C bit; false if there is too much. */
static bool
gather (Conn *c, uint32_t len)
{
  if (len > TEXT_MAX - c->text_len || !conn_take (c, (uint8_t *)c->text + c->text_len, len))
    return false;
  c->text_len += len;
  c->text[c->text_len] = 0;
  return true;
}

bool
login_pdu (Conn *c, const uint8_t *bhs, uint32_t len)
{
  bool transit = bhs[1] & 0x80, more = bhs[1] & 0x40;
  unsigned stage = bhs[1] >> 2 & 3, next = bhs[1] & 3, status = LOGIN_OK;
  Text out = { .len = 0 };
  const char *auth;

  if (c->phase != PHASE_LOGIN || !gather (c, len))
    return false;
  c->exp_cmdsn = get32 (bhs + 24);
  c->max_cmdsn = c->exp_cmdsn + (uint32_t)rt_conf.cmdsn_window - 1;
  if (more) {
    login_reply (c, bhs, bhs[1] & 0x0c, LOGIN_OK, &out);
    return true;
  }
  if (!c->named) {
    status = check_names (c, bhs);
    if (!status && !c->discovery)
      text_add (&out, "TargetPortalGroupTag", "1");
  }
  auth = text_value (c, "AuthMethod");
  if (!status && auth && !in_list (auth, "None"))
    status = LOGIN_AUTH_FAILED;
  if (!status && (stage > 1 || (transit && (next <= stage || next == 2))))
    status = LOGIN_BAD_REQUEST;
  if (status) {
    stat_add (STAT_LOGIN_FAILURES, 1);
    login_reply (c, bhs, 0, status, &out);
    c->phase = PHASE_CLOSING;
    return true;
  }
  answer_keys (c, &out);
  c->text_len = 0;
  if (transit && next == 3)
    enter_full_phase (c);
  login_reply (c, bhs, (uint8_t)(transit ? 0x80 | stage << 2 | next : stage << 2), LOGIN_OK, &out);
  return true;
}

bool
text_pdu (Conn *c, const uint8_t *bhs, uint32_t len)
{
  Text out = { .len = 0 };
  const char *which;
  uint8_t *h, *data;

  if (c->phase != PHASE_FULL || !gather (c, len))
    return false;
  which = text_value (c, "SendTargets");
  if (which && (!strcmp (which, "All") || !*which || !strcmp (which, rt_conf.iqn))) {
    struct sockaddr_in sa = { .sin_family = AF_INET };
    socklen_t sl = sizeof sa;
    char address[64], ip[INET_ADDRSTRLEN];
    getsockname (c->fd, (struct sockaddr *)&sa, &sl);
    inet_ntop (AF_INET, &sa.sin_addr, ip, sizeof ip);
    snprintf (address, sizeof address, "%s:%u,1", ip, ntohs (sa.sin_port));
    text_add (&out, "TargetName", rt_conf.iqn);
    text_add (&out, "TargetAddress", address);
  }
  c->text_len = 0;
  conn_reserve (c, 1, TEXT_MAX);
  data = conn_heap (c, out.len);
  memcpy (data, out.data, out.len);
  h = conn_pdu (c, 0x24, 0x80, get32 (bhs + 16));
  put32 (h + 20, 0xffffffff);
  pdu_sequence (c, h, true);
  conn_attach (c, h, data, out.len);
  return true;
}
