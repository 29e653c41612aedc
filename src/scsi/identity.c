/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who a LUN is: VPD 83h designators (SPC-4 7.8.6) and the VPD 80h serial number (SPC-4 7.8.15).
 *
 * The text decides whether data may be written after a login, and is a file name too.  So a name that came
 * incomplete or does not fit is no name: two LUNs must never look the same because their names were cut. */

#include "scsi/vpd.h"

#include "scsi/page.h"
#include "util/bytes.h"

#include <glib.h>

#include <stdio.h>
#include <string.h>

#define VPD_SERIAL 0x80
#define VPD_DESIGNATORS 0x83

enum { CODE_SET_BINARY = 1, CODE_SET_ASCII = 2, CODE_SET_UTF8 = 3 };
enum { TYPE_T10 = 1, TYPE_EUI64 = 2, TYPE_NAA = 3, TYPE_NAME = 8 };

typedef struct {
  uint8_t code_set, association, type;
  const uint8_t *id;
  size_t id_len;
} Designator;

/* Append "xx" for each byte.  False if it does not fit in LUNFS_IDENTITY_MAX. */
static bool
append_hex (char *text, const uint8_t *id, size_t id_len)
{
  size_t used = strlen (text);

  if (used + 2 * id_len >= LUNFS_IDENTITY_MAX)
    return false;
  for (size_t i = 0; i < id_len; i++)
    snprintf (text + used + 2 * i, 3, "%02x", id[i]);
  return true;
}

static bool
is_space (uint8_t c)
{
  return c == '\0' || g_ascii_isspace (c);
}

/* Leave out leading and trailing white space and padding NULs. */
static void
trim (const uint8_t **id, size_t *id_len)
{
  while (*id_len > 0 && is_space ((*id)[*id_len - 1]))
    (*id_len)--;
  while (*id_len > 0 && is_space (**id)) {
    (*id)++;
    (*id_len)--;
  }
}

/* Append the trimmed @id in udev's manner: a run of white space becomes one '_', and so does each character
 * that has no place in a file name.  False if nothing is left or it does not fit. */
static bool
append_name (char *text, const uint8_t *id, size_t id_len)
{
  size_t used = strlen (text);
  bool in_space = false;

  trim (&id, &id_len);
  if (id_len == 0 || used + id_len >= LUNFS_IDENTITY_MAX)
    return false;
  for (size_t i = 0; i < id_len; i++) {
    bool space = is_space (id[i]);

    if (!space || !in_space)
      text[used++] = g_ascii_isalnum (id[i]) || (id[i] && strchr ("#+-.:=@_", id[i])) ? (char) id[i] : '_';
    in_space = space;
  }
  text[used] = '\0';
  return true;
}

static bool
all_zero (const uint8_t *id, size_t id_len)
{
  for (size_t i = 0; i < id_len; i++)
    if (id[i] != 0)
      return false;
  return true;
}

static bool
all_blank (const uint8_t *id, size_t id_len)
{
  for (size_t i = 0; i < id_len; i++)
    if (!is_space (id[i]))
      return false;
  return true;
}

/* SPC-4 7.8.6.6.  The globally unique formats, the longest first; a locally assigned name (3) comes after
 * EUI-64. */
static int
naa_rank (const Designator *d)
{
  static const struct {
    uint8_t naa, id_len;
    int rank;
  } formats[] = { { 6, 16, 0 }, { 5, 8, 1 }, { 2, 8, 2 }, { 3, 8, 4 } };

  for (size_t i = 0; i < G_N_ELEMENTS (formats); i++)
    if (d->id_len == formats[i].id_len && d->id[0] >> 4 == formats[i].naa)
      return formats[i].rank;
  return -1;
}

/* How good a name is, 0 = best; -1 = no use.  An EUI-64 of zeroes is one that nobody ever set. */
static int
rank (const Designator *d)
{
  if (d->association != 0)
    return -1;
  switch (d->type) {
  case TYPE_NAA:
    return d->code_set == CODE_SET_BINARY ? naa_rank (d) : -1;
  case TYPE_EUI64:
    if (d->code_set != CODE_SET_BINARY || all_zero (d->id, d->id_len))
      return -1;
    return d->id_len == 8 || d->id_len == 12 || d->id_len == 16 ? 3 : -1;
  case TYPE_T10:
    return d->id_len > 8 && !all_blank (d->id + 8, d->id_len - 8) ? 5 : -1; /* a vendor alone names nothing */
  case TYPE_NAME:
    return d->code_set == CODE_SET_UTF8 ? 6 : -1;
  default:
    return -1;
  }
}

/* A SCSI name string says "naa.", "eui." or "iqn." itself (SPC-4 7.8.6.11).  Hex digits in one case. */
static bool
name_string_text (const Designator *d, char *text)
{
  if (!append_name (text, d->id, d->id_len) || strlen (text) <= strlen ("iqn."))
    return false;
  if (g_str_has_prefix (text, "iqn."))
    return true;
  if (!g_str_has_prefix (text, "naa.") && !g_str_has_prefix (text, "eui."))
    return false;
  for (char *c = text; *c; c++)
    *c = g_ascii_tolower (*c);
  return true;
}

static bool
designator_text (const Designator *d, char *text)
{
  switch (d->type) {
  case TYPE_NAA:
    strcpy (text, "naa.");
    return append_hex (text, d->id, d->id_len);
  case TYPE_EUI64:
    strcpy (text, "eui.");
    return append_hex (text, d->id, d->id_len);
  case TYPE_T10:
    strcpy (text, "t10.");
    if (d->code_set == CODE_SET_BINARY)
      return append_hex (text, d->id, d->id_len);
    return append_name (text, d->id, d->id_len);
  default:
    text[0] = '\0';
    return name_string_text (d, text);
  }
}

/* The designator at *@off, which moves on to the next one.  False at the end, also if the last one is cut. */
static bool
next_designator (const uint8_t *buf, size_t n, size_t *off, Designator *d)
{
  const uint8_t *p = buf + *off;

  if (*off + 4 > n || *off + 4 + p[3] > n)
    return false;
  *d = (Designator){
    .code_set = p[0] & 0x0f,
    .association = (p[1] >> 4) & 3,
    .type = p[1] & 0x0f,
    .id = p + 4,
    .id_len = p[3],
  };
  *off += 4 + (size_t) p[3];
  return true;
}

bool
lunfs_vpd83_parse (const uint8_t *buf, size_t len, LunfsIdentity *id)
{
  size_t n = lunfs_vpd_bytes (buf, len, VPD_DESIGNATORS);
  size_t off = LUNFS_VPD_HEADER_BYTES;
  int best = G_MAXINT;
  Designator d;

  while (next_designator (buf, n, &off, &d)) {
    char text[LUNFS_IDENTITY_MAX];
    int r = rank (&d);

    if (r < 0 || r >= best || !designator_text (&d, text))
      continue;
    best = r;
    memcpy (id->text, text, sizeof text);
  }
  return best != G_MAXINT;
}

bool
lunfs_vpd80_parse (const uint8_t *buf, size_t len, LunfsIdentity *id)
{
  size_t n = lunfs_vpd_bytes (buf, len, VPD_SERIAL);
  char text[LUNFS_IDENTITY_MAX] = "serial.";
  const uint8_t *serial;
  size_t serial_len;

  if (n <= LUNFS_VPD_HEADER_BYTES || n < LUNFS_VPD_HEADER_BYTES + (size_t) lunfs_get_be16 (buf + 2))
    return false;
  serial = buf + LUNFS_VPD_HEADER_BYTES;
  serial_len = n - LUNFS_VPD_HEADER_BYTES;
  if (!append_name (text, serial, serial_len))
    return false;
  trim (&serial, &serial_len);
  for (size_t i = 0; i < serial_len; i++)
    id->serial[i] = g_ascii_isprint (serial[i]) ? (char) serial[i] : '?';
  id->serial[serial_len] = '\0'; /* fits: append_name () refused what is longer */
  if (id->text[0] == '\0')
    memcpy (id->text, text, sizeof text);
  return true;
}
