/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows from the answer to each step: the function named after it (after_...).
 *
 *   CHECK    KEYS -> RESERVE_FIRST -> FINAL                             this nexus is registered and holds it, or may
 *            KEYS -> [RESERVE_FIRST ->] REGISTER_SAME -> RESERVE -> FINAL
 *            KEYS -> ... -> REGISTER_NEW -> VERIFY -> CLAIM -> RESERVE -> FINAL        a new nexus
 *   TAKE     CAPABILITIES -> KEYS -> REGISTER_SAME | REGISTER_NEW -> [CLAIM ->] RESERVE -> FINAL
 *   RELEASE  UNREGISTER -> RELEASED, which gives up what is held, too (and, of all registrants, only our part of it); also at
 *            the end of a CHECK that finds it begun.  With .keep: RELEASE -> RELEASED
 *   PREEMPT  KEYS -> HOLDER_OF_VICTIM -> PREEMPT -> HOLDER_AFTER -> FINAL
 * What another initiator does meanwhile makes a step fail with RESERVATION CONFLICT: all again (ROUNDS_MAX). */
#include "config.h"

#include "session/reservation-private.h"

#define ROUNDS_MAX 8

/* ---- ends ---- */

/* Another initiator was faster. */
static void
again (LunfsReservation *r)
{
  if (r->rounds++ < ROUNDS_MAX)
    lunfs_reservation_go (r, KEYS);
  else
    lunfs_reservation_end (r, LUNFS_RESERVE_FAILED, "other initiators change the registrations all the time");
}

static void
lose (LunfsReservation *r, LunfsReservationLoss why, uint64_t to)
{
  r->wish->lost_to = to;
  __atomic_store_n (&r->wish->lost, (uint8_t) why, __ATOMIC_RELEASE);
  lunfs_reservation_end (r, LUNFS_RESERVE_LOST, NULL);
}

static void
begin (LunfsArenaReservation *wish, uint8_t what)
{
  __atomic_store_n (&wish->begun, (uint8_t) (wish->begun | what), __ATOMIC_RELEASE);
}

static void
settle (LunfsArenaReservation *wish, uint8_t what)
{
  __atomic_store_n (&wish->begun, (uint8_t) (wish->begun & ~what), __ATOMIC_RELEASE);
}

static void
forget (LunfsArenaReservation *wish)
{
  __atomic_store_n (&wish->key, 0, __ATOMIC_RELEASE);
  *wish = (LunfsArenaReservation){ 0 };
}

/* Registered, and reserved if that was asked for. */
static void
publish (LunfsReservation *r)
{
  LunfsArenaReservation *wish = r->wish;

  wish->generation = r->report.generation;
  wish->type = (uint8_t) r->type;
  wish->persists = r->persists;
  wish->lost_to = 0;
  __atomic_store_n (&wish->begun, 0, __ATOMIC_RELEASE);
  __atomic_store_n (&wish->lost, LUNFS_LOST_NOT, __ATOMIC_RELEASE);
  __atomic_store_n (&wish->key, r->key, __ATOMIC_RELEASE);
}

/* TAKE, before the first command that changes something.  A reservation that our dead nexus holds, and of which nothing is
 * known here, would keep ourselves out: what is dirty would be given up. */
static void
begin_taking (LunfsReservation *r)
{
  LunfsArenaReservation *wish = r->wish;

  if (wish->key) {
    if (r->type)
      begin (wish, LUNFS_BEGUN_TAKING);
    return;
  }
  *wish = (LunfsArenaReservation){
    .generation = r->before_generation, .type = (uint8_t) r->type, .persists = r->persists, .begun = LUNFS_BEGUN_FIRST
  };
  __atomic_store_n (&wish->key, r->key, __ATOMIC_RELEASE);
}

/* TAKE has changed nothing, or that was taken back. */
static void
end_in_vain (LunfsReservation *r, LunfsReserveOutcome outcome, const char *text)
{
  if (r->wish->begun & LUNFS_BEGUN_FIRST)
    forget (r->wish);
  lunfs_reservation_end (r, outcome, text);
}

/* The registration stands, but what was to be reserved cannot be had. */
static void
fail_to_reserve (LunfsReservation *r, LunfsReserveOutcome outcome, const char *text)
{
  r->undone = outcome;
  r->undone_text = text;
  if (r->job.what == LUNFS_RESERVE_CHECK && (r->wish->begun & LUNFS_BEGUN_FIRST))
    lunfs_reservation_go (r, UNREGISTER); /* nobody waits for it any more */
  else if (r->job.what == LUNFS_RESERVE_CHECK && outcome == LUNFS_RESERVE_CONFLICT)
    lose (r, LUNFS_LOST_HELD, r->report.holder.key);
  else if (r->job.what == LUNFS_RESERVE_TAKE && (r->report.anew || r->wish->begun & LUNFS_BEGUN_FIRST))
    lunfs_reservation_go (r, UNDO);
  else
    lunfs_reservation_end (r, outcome, text);
}

static void
refused (LunfsReservation *r)
{
  lunfs_reservation_end (r, LUNFS_RESERVE_FAILED,
                         "the target refuses a command of persistent reservations that it should know");
}

/* ---- after each step ---- */

static bool
take_keys (LunfsReservation *r, LunfsKeys *keys)
{
  if (!lunfs_keys_parse (r->answer, r->answer_len, keys))
    return false;
  r->report.generation = keys->generation;
  r->report.nkeys = keys->nkeys;
  return true;
}

static bool
take_holder (LunfsReservation *r)
{
  return lunfs_holder_parse (r->answer, r->answer_len, &r->report.holder);
}

static void
after_capabilities (LunfsReservation *r, Answer answer)
{
  r->persists = answer == GOOD && lunfs_reservations_persist (r->answer, r->answer_len);
  lunfs_reservation_go (r, KEYS);
}

/* CHECK: our key is registered, or it must be clear why not. */
static void
check_keys (LunfsReservation *r, uint32_t generation)
{
  LunfsArenaReservation *wish = r->wish;

  /* A preemption removes all with our key.  So the one that is there came after it; or others were busy meanwhile, and ours did
   * not come: rare enough to be fenced for it. */
  r->leftover =
      !r->leaving && (wish->begun & LUNFS_BEGUN_JOINING) && r->before == 1 && generation - wish->generation > 1;
  if (r->leftover) {
    lunfs_reservation_go (r, BACK_OUT);
  } else if (r->before > 0) {
    settle (wish, LUNFS_BEGUN_JOINING);
    wish->generation = generation;
    lunfs_reservation_go (r, r->type ? RESERVE_FIRST : REGISTER_SAME);
  } else if (r->leaving || (wish->begun & LUNFS_BEGUN_FIRST)) {
    forget (wish);
    lunfs_reservation_end (r, LUNFS_RESERVE_OK, NULL);
  } else if (!wish->persists && generation <= wish->generation) {
    lunfs_reservation_go (r, REGISTER_NEW);
  } else {
    lose (r, LUNFS_LOST_PREEMPTED, 0);
  }
}

static void
show_keys (LunfsReservation *r, const LunfsKeys *keys)
{
  for (unsigned i = 0; i < MIN (keys->nkeys, LUNFS_RESERVE_KEYS_MAX); i++)
    r->report.keys[i] = lunfs_keys_get (r->answer, i);
  lunfs_reservation_go (r, HOLDER_SHOWN);
}

static void
after_keys (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer != GOOD || !take_keys (r, &keys)) {
    if (r->job.what == LUNFS_RESERVE_CHECK)
      lose (r, LUNFS_LOST_PREEMPTED, 0);
    else
      lunfs_reservation_end (r, LUNFS_RESERVE_UNSUPPORTED,
                             "the target has no persistent reservations (PERSISTENT RESERVE IN is refused)");
    return;
  }
  r->before = lunfs_keys_count (r->answer, &keys, r->key);
  r->before_generation = keys.generation;
  switch (r->job.what) {
  case LUNFS_RESERVE_KEYS:
    show_keys (r, &keys);
    break;
  case LUNFS_RESERVE_CHECK:
    check_keys (r, keys.generation);
    break;
  case LUNFS_RESERVE_PREEMPT:
    if (lunfs_keys_count (r->answer, &keys, r->job.key) == 0)
      lunfs_reservation_end (r, LUNFS_RESERVE_NO_KEY, "nobody is registered with that key");
    else
      lunfs_reservation_go (r, HOLDER_OF_VICTIM);
    break;
  default:
    begin_taking (r);
    lunfs_reservation_go (r, r->before > 0 ? REGISTER_SAME : REGISTER_NEW);
    break;
  }
}

static void
after_holder_shown (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD && take_holder (r))
    lunfs_reservation_end (r, LUNFS_RESERVE_OK, NULL);
  else
    refused (r);
}

static void
after_reserve_first (LunfsReservation *r, Answer answer)
{
  lunfs_reservation_go (r, answer == GOOD ? FINAL : REGISTER_SAME);
}

/* This nexus is registered; those before it are not needed any more. */
static void
registered (LunfsReservation *r, bool others)
{
  settle (r->wish, LUNFS_BEGUN_JOINING);
  if (!r->type && (r->wish->begun & LUNFS_BEGUN_TAKING))
    lunfs_reservation_go (r, HOLDER_OF_OLDER);
  else if (others)
    lunfs_reservation_go (r, r->type ? CLAIM : HOLDER_OF_OLDER);
  else
    lunfs_reservation_go (r, r->type ? RESERVE : FINAL);
}

static void
register_new (LunfsReservation *r)
{
  if (r->job.what == LUNFS_RESERVE_CHECK) /* .generation: check_keys */
    begin (r->wish, LUNFS_BEGUN_JOINING);
  lunfs_reservation_go (r, REGISTER_NEW);
}

static void
after_register_same (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD)
    registered (r, r->before > 1);
  else if (answer == CONFLICT)
    register_new (r);
  else
    refused (r);
}

static void
after_register_new (LunfsReservation *r, Answer answer)
{
  if (answer == REFUSED && r->persists) { /* it said that it could */
    r->persists = false;
    lunfs_reservation_go (r, r->step);
  } else if (answer == REFUSED) {
    end_in_vain (r, LUNFS_RESERVE_UNSUPPORTED,
                 "the target does not let us register (PERSISTENT RESERVE OUT is refused)");
  } else if (answer == CONFLICT && r->job.what == LUNFS_RESERVE_TAKE && r->step == REGISTER_NEW) {
    lunfs_reservation_go (
        r, REGISTER_ANY); /* with some other key, from an earlier time: it is our nexus, and our user has said which */
  } else if (answer == CONFLICT) {
    settle (r->wish, LUNFS_BEGUN_JOINING);
    again (r);
  } else {
    r->report.anew = true;
    if (r->job.what == LUNFS_RESERVE_CHECK && r->before > 0)
      lunfs_reservation_go (r, VERIFY);
    else
      registered (r, r->before > 0);
  }
}

static void
after_verify (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer != GOOD || !take_keys (r, &keys))
    refused (r);
  else if (keys.generation - r->before_generation <= 1)
    registered (r, true);
  else
    lunfs_reservation_go (r, BACK_OUT);
}

static void
after_back_out (LunfsReservation *r, Answer answer)
{
  r->report.anew = false;
  if (r->leftover) {
    lose (r, LUNFS_LOST_PREEMPTED, 0);
    return;
  }
  settle (r->wish, LUNFS_BEGUN_JOINING);
  again (r);
}

/* Registered only: a reservation that an older nexus of ours holds stays there, unless it may be the one that lunfsctl asked
 * for. */
static void
after_holder_of_older (LunfsReservation *r, Answer answer)
{
  bool is_ours;

  if (answer != GOOD || !take_holder (r)) {
    refused (r);
    return;
  }
  is_ours = r->report.holder.type && r->report.holder.key == r->key;
  if (is_ours && (r->wish->begun & LUNFS_BEGUN_TAKING))
    r->type = r->report.holder.type;
  if (r->before <= !r->report.anew)
    lunfs_reservation_go (r, r->type ? RESERVE : FINAL);
  else
    lunfs_reservation_go (r, is_ours && !r->type && !r->leaving ? FINAL : CLAIM);
}

static void
after_claim (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD)
    lunfs_reservation_go (r, r->type ? RESERVE : FINAL);
  else if (answer == CONFLICT)
    again (r);
  else
    refused (r);
}

static void
after_reserve (LunfsReservation *r, Answer answer)
{
  if (answer == REFUSED)
    fail_to_reserve (r, LUNFS_RESERVE_UNSUPPORTED, "the target does not know this type of reservation");
  else
    lunfs_reservation_go (r, answer == GOOD ? FINAL : HOLDER);
}

static void
after_holder (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r))
    refused (r);
  else if (r->report.holder.type == 0)
    again (r);
  else if (r->report.holder.type == r->type && lunfs_reservation_type_shared (r->type))
    lunfs_reservation_go (r, FINAL); /* held by another of the registered: that is what this type is for */
  else
    fail_to_reserve (r, LUNFS_RESERVE_CONFLICT, NULL);
}

static void
after_undo (LunfsReservation *r, Answer answer)
{
  end_in_vain (r, r->undone, r->undone_text);
}

static void
after_final (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer != GOOD || !take_keys (r, &keys)) {
    refused (r);
  } else if (lunfs_keys_count (r->answer, &keys, r->key) == 0) {
    again (r);
  } else if (r->leaving) {
    lunfs_reservation_go (r, UNREGISTER);
  } else {
    publish (r);
    lunfs_reservation_end (r, LUNFS_RESERVE_OK, NULL);
  }
}

/* Whatever the target says: if it does not know us, there is nothing to be given up. */
static void
after_release (LunfsReservation *r, Answer answer)
{
  r->wish->type = 0;
  lunfs_reservation_go (r, RELEASED);
}

static void
after_unregister (LunfsReservation *r, Answer answer)
{
  forget (r->wish);
  lunfs_reservation_go (r, RELEASED);
}

static void
after_released (LunfsReservation *r, Answer answer)
{
  LunfsKeys keys;

  if (answer == GOOD && take_keys (r, &keys) && r->wish->key)
    r->wish->generation = keys.generation;
  lunfs_reservation_end (r, LUNFS_RESERVE_OK, NULL);
}

static void
after_holder_of_victim (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r)) {
    refused (r);
    return;
  }
  if (!r->type) /* as it was */
    r->type = r->report.holder.type;
  begin (r->wish, LUNFS_BEGUN_TAKING);
  lunfs_reservation_go (r, PREEMPT);
}

static void
after_preempt (LunfsReservation *r, Answer answer)
{
  if (answer == GOOD)
    lunfs_reservation_go (r, HOLDER_AFTER);
  else if (answer == CONFLICT)
    lunfs_reservation_end (r, LUNFS_RESERVE_CONFLICT,
                           "another initiator has removed our registration, or that one, just now");
  else
    lunfs_reservation_end (r, LUNFS_RESERVE_UNSUPPORTED,
                           r->job.abort
                               ? "the target does not know PREEMPT AND ABORT; lunfsctl preempt without --abort may do"
                               : "the target does not know PREEMPT");
}

static void
after_holder_after (LunfsReservation *r, Answer answer)
{
  if (answer != GOOD || !take_holder (r)) {
    refused (r);
    return;
  }
  r->type = r->wish->type;
  if (r->report.holder.type && r->report.holder.key == r->key)
    r->type = r->report.holder.type;
  lunfs_reservation_go (r, FINAL);
}

static void (*const after[]) (LunfsReservation *r, Answer answer) = {
  [CAPABILITIES] = after_capabilities,
  [KEYS] = after_keys,
  [HOLDER_SHOWN] = after_holder_shown,
  [RESERVE_FIRST] = after_reserve_first,
  [REGISTER_SAME] = after_register_same,
  [REGISTER_NEW] = after_register_new,
  [REGISTER_ANY] = after_register_new,
  [VERIFY] = after_verify,
  [BACK_OUT] = after_back_out,
  [HOLDER_OF_OLDER] = after_holder_of_older,
  [CLAIM] = after_claim,
  [RESERVE] = after_reserve,
  [HOLDER] = after_holder,
  [UNDO] = after_undo,
  [FINAL] = after_final,
  [RELEASE] = after_release,
  [UNREGISTER] = after_unregister,
  [RELEASED] = after_released,
  [HOLDER_OF_VICTIM] = after_holder_of_victim,
  [PREEMPT] = after_preempt,
  [HOLDER_AFTER] = after_holder_after,
};

void
lunfs_reservation_take (LunfsReservation *r, Answer answer)
{
  after[r->step](r, answer);
}

Step
lunfs_reservation_first_step (LunfsReservation *r)
{
  switch (r->job.what) {
  case LUNFS_RESERVE_TAKE:
    return CAPABILITIES;
  case LUNFS_RESERVE_RELEASE:
    if (r->job.keep)
      return r->type ? RELEASE : RELEASED;
    begin (r->wish, LUNFS_BEGUN_LEAVING); /* a successor ends it */
    return UNREGISTER;
  default:
    return KEYS;
  }
}
