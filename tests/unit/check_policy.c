/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/policy.h"

#include "lunfs/error.h"

#include <check.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>

#define START LUNFS_DO_START
#define STOP LUNFS_DO_STOP
#define KILL LUNFS_DO_KILL
#define READY LUNFS_DO_READY
#define FINISH LUNFS_DO_FINISH
#define UMOUNT LUNFS_DO_UNMOUNT

#define DECLINE LUNFS_DO_DECLINE
#define ABANDON LUNFS_DO_ABANDON
#define CONFIRM LUNFS_DO_CONFIRM
#define CHECK LUNFS_DO_CHECK
#define LEAVE LUNFS_DO_LEAVE
#define SWITCH LUNFS_DO_SWITCH
#define BACK LUNFS_DO_FALL_BACK
#define UPGRADED LUNFS_DO_UPGRADED
#define FOLLOW LUNFS_DO_FOLLOW

#define TICK LUNFS_EVENT_TICK
#define SERVING LUNFS_EVENT_SERVING
#define SETTLED LUNFS_EVENT_SETTLED
#define STOPPED LUNFS_EVENT_STOPPED
#define EXITED LUNFS_EVENT_EXITED
#define TERM LUNFS_EVENT_TERMINATE
#define UPGRADE LUNFS_EVENT_UPGRADE
#define FITS LUNFS_EVENT_FITS
#define MISFIT LUNFS_EVENT_MISFIT
#define LEFT LUNFS_EVENT_LEFT
#define ACCUSED LUNFS_EVENT_ACCUSED

#define MS INT64_C (1000)
#define STEPS 20

typedef struct {
  int64_t at_ms; /* login_wait is 3 s, stop_timeout 30 s */
  LunfsPolicyEvent event;
  int status; /* of EXITED: the signal */
  unsigned actions;
} Step;

typedef struct {
  const char *name;
  int status, cause; /* at the end; -1 = does not end */
  uint32_t limit_ms; /* of the last STOP */
  int64_t linger_ms;
  Step step[STEPS];  /* ends with a zero line after the first */
} Story;

static const Story stories[] = {
  { "ready when settled", -1, 0, 0, 0, { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY } } },
  { "settled before serving", -1, 0, 0, 0, { { 0, TICK, 0, START }, { 5, SETTLED, 0, 0 }, { 9, SERVING, 0, READY } } },
  { "ready after login_wait", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 3004, TICK, 0, 0 }, { 3005, TICK, 0, READY },
      { 4000, SETTLED, LUNFS_EXIT_AUTH, 0 }, { 4001, TICK, 0, 0 } } },
  { "login refused", LUNFS_EXIT_AUTH, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, LUNFS_EXIT_AUTH, STOP }, { 20, STOPPED, 0, 0 },
      { 21, EXITED, 0, FINISH } } },
  { "login refused, then killed", LUNFS_EXIT_AUTH, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, LUNFS_EXIT_AUTH, STOP }, { 32009, TICK, 0, KILL },
      { 32010, EXITED, 0, FINISH } } },
  { "unmounted by hand", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 5000, STOPPED, 0, 0 },
      { 5001, EXITED, 0, FINISH } } },
  { "unmounted by hand, data left", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY },
      { 5000, STOPPED, LUNFS_EXIT_UNFLUSHED, 0 }, { 5001, EXITED, 0, FINISH } } },
  { "unmounted before ready", LUNFS_EXIT_FAILED, LUNFS_CAUSE_EARLY, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, STOPPED, 0, 0 }, { 10, EXITED, 0, FINISH } } },
  { "does not leave after STOPPED", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 50, STOPPED, 0, 0 },
      { 5050, TICK, 0, KILL }, { 5051, EXITED, 0, FINISH } } },
  { "terminated", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 200, STOPPED, 0, 0 }, { 201, EXITED, 0, FINISH } } },
  { "terminated before serving", LUNFS_EXIT_FAILED, LUNFS_CAUSE_EARLY, 30000, 0,
    { { 0, TICK, 0, START }, { 1, TERM, 0, STOP }, { 5, SERVING, 0, 0 }, { 200, STOPPED, 0, 0 },
      { 201, EXITED, 0, FINISH } } },
  { "does not stop in time", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 32099, TICK, 0, 0 }, { 32100, TICK, 0, KILL }, { 32200, EXITED, 0, FINISH } } },
  { "cannot even be killed", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 32100, TICK, 0, KILL }, { 37099, TICK, 0, 0 }, { 37100, TICK, 0, FINISH } } },
  { "terminated twice", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 200, TERM, 0, STOP }, { 300, STOPPED, LUNFS_EXIT_UNFLUSHED, 0 }, { 301, EXITED, 0, FINISH } } },
  { "terminated twice, hangs", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 200, TERM, 0, STOP }, { 2200, TICK, 0, KILL }, { 2201, EXITED, 0, FINISH } } },
  { "dies while flushing", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 1100, EXITED, 0, 0 }, { 1100, TICK, 0, START | STOP }, { 1200, SERVING, 0, 0 }, { 1300, STOPPED, 0, 0 },
      { 1301, EXITED, 0, FINISH } } },
  { "dies at the end of the flush", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 30100, EXITED, 0, FINISH } } },
  { "terminated between workers", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, 0, 0 },
      { 20, TICK, 0, START }, { 30, EXITED, 0, 0 }, { 31, TERM, 0, 0 }, { 31, TICK, 0, START | STOP },
      { 40, STOPPED, 0, 0 }, { 41, EXITED, 0, FINISH } } },
  { "restarts back off", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, 0, 0 },
      { 20, TICK, 0, START }, { 30, EXITED, 0, 0 }, { 129, TICK, 0, 0 }, { 130, TICK, 0, START },
      { 140, EXITED, 0, 0 }, { 339, TICK, 0, 0 }, { 340, TICK, 0, START }, { 10340, EXITED, 0, 0 },
      { 10340, TICK, 0, START }, { 10350, SETTLED, LUNFS_EXIT_AUTH, 0 } } },
  { "killed from outside: no back-off", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 120, EXITED, SIGKILL, 0 },
      { 120, TICK, 0, START }, { 125, SERVING, 0, 0 }, { 500, EXITED, SIGKILL, 0 }, { 500, TICK, 0, START },
      { 505, SERVING, 0, 0 }, { 900, EXITED, SIGKILL, 0 }, { 900, TICK, 0, START } } },
  { "killed from outside at once: not too often", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, SIGKILL, 0 },
      { 99, TICK, 0, 0 }, { 100, TICK, 0, START }, { 110, SERVING, 0, 0 }, { 130, EXITED, SIGKILL, 0 },
      { 199, TICK, 0, 0 }, { 200, TICK, 0, START } } },
  { "killed before it serves: backs off", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 120, EXITED, SIGKILL, 0 },
      { 120, TICK, 0, START }, { 130, EXITED, SIGKILL, 0 }, { 130, TICK, 0, START }, { 140, EXITED, SIGKILL, 0 },
      { 239, TICK, 0, 0 }, { 240, TICK, 0, START } } },
  { "killed from outside: a row of crashes ends", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, SIGSEGV, 0 },
      { 20, TICK, 0, START }, { 30, EXITED, SIGSEGV, 0 }, { 129, TICK, 0, 0 }, { 130, TICK, 0, START },
      { 140, SERVING, 0, 0 }, { 300, EXITED, SIGKILL, 0 }, { 300, TICK, 0, START }, { 305, SERVING, 0, 0 },
      { 400, EXITED, SIGSEGV, 0 }, { 400, TICK, 0, START } } },
  { "killed again and again while flushing", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29300, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 300, EXITED, SIGKILL, 0 }, { 300, TICK, 0, START | STOP }, { 305, SERVING, 0, 0 }, { 800, EXITED, SIGKILL, 0 },
      { 800, TICK, 0, START | STOP }, { 805, SERVING, 0, 0 }, { 900, STOPPED, 0, 0 }, { 901, EXITED, 0, FINISH } } },
  { "lingers, unused", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 120, STOPPED, 0, 0 }, { 121, EXITED, 0, FINISH } } },
  { "lingers, in use for a while", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 349, TICK, 0, 0 }, { 350, TICK, 0, UMOUNT }, { 360, STOPPED, 0, 0 }, { 361, EXITED, 0, FINISH } } },
  { "lingers, in use for ever", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 15000, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 15099, TICK, 0, UMOUNT }, { 15100, TICK, 0, STOP }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "lingers, told again", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29000, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 1100, TERM, 0, STOP }, { 15100, TICK, 0, 0 }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "lingers, worker dies", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 15000, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 200, EXITED, 0, 0 }, { 200, TICK, 0, START }, { 210, SERVING, 0, 0 }, { 350, TICK, 0, UMOUNT },
      { 15100, TICK, 0, STOP }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "never serves: dies", LUNFS_EXIT_FAILED, LUNFS_CAUSE_CRASHES, 0, 0,
    { { 0, TICK, 0, START }, { 1, EXITED, 0, 0 }, { 1, TICK, 0, START }, { 2, EXITED, 0, 0 },
      { 102, TICK, 0, START }, { 103, EXITED, 0, 0 }, { 303, TICK, 0, START }, { 304, EXITED, 0, 0 },
      { 704, TICK, 0, START }, { 705, EXITED, 0, FINISH } } },
  { "never serves: hangs", LUNFS_EXIT_FAILED, LUNFS_CAUSE_SILENT, 0, 0,
    { { 0, TICK, 0, START }, { 29999, TICK, 0, 0 }, { 30000, TICK, 0, KILL }, { 30001, EXITED, 0, FINISH } } },
};

/* What follows is told of a mount that serves: ready at 0, its worker started long ago. */
static const Story upgrades[] = {
  { "upgraded", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH },
      { 21, TICK, 0, 0 }, { 30, SERVING, 0, UPGRADED }, { 50, SETTLED, 0, 0 }, { 10029, TICK, 0, 0 },
      { 10030, TICK, 0, CONFIRM }, { 10040, EXITED, 0, 0 }, { 10040, TICK, 0, START } } },
  { "upgraded twice", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 21, EXITED, 0, 0 }, { 21, TICK, 0, START | SWITCH },
      { 30, SERVING, 0, UPGRADED }, { 40, UPGRADE, 0, CHECK | CONFIRM }, { 41, FITS, 0, LEAVE }, { 50, EXITED, 0, 0 },
      { 50, TICK, 0, START | SWITCH }, { 60, SERVING, 0, UPGRADED }, { 70, EXITED, 0, BACK },
      { 70, TICK, 0, START } } },
  { "asked for while one runs", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, UPGRADE, 0, DECLINE }, { 9, FITS, 0, LEAVE }, { 10, UPGRADE, 0, DECLINE },
      { 21, EXITED, 0, 0 }, { 21, UPGRADE, 0, DECLINE }, { 21, TICK, 0, START | SWITCH }, { 22, UPGRADE, 0, DECLINE },
      { 30, SERVING, 0, UPGRADED } } },
  { "does not fit", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, MISFIT, 0, 0 }, { 5001, TICK, 0, 0 }, { 5002, FITS, 0, 0 },
      { 5003, UPGRADE, 0, CHECK } } },
  { "does not say whether it fits", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 5000, TICK, 0, 0 }, { 5001, TICK, 0, ABANDON }, { 5002, FITS, 0, 0 } } },
  { "the worker dies while the new program is asked", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 5, EXITED, 0, 0 }, { 5, TICK, 0, START }, { 7, SERVING, 0, 0 },
      { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH } } },
  { "dies while leaving", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, EXITED, 0, 0 }, { 20, TICK, 0, START | SWITCH },
      { 30, SERVING, 0, UPGRADED } } },
  { "leaves too late", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 6009, TICK, 0, KILL }, { 6010, LEFT, 0, 0 },
      { 6011, EXITED, SIGKILL, 0 }, { 6011, TICK, 0, START | SWITCH } } },
  { "never leaves", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 6008, TICK, 0, 0 }, { 6009, TICK, 0, KILL },
      { 9999, TICK, 0, 0 }, { 10000, EXITED, 0, 0 }, { 10000, TICK, 0, START | SWITCH } } },
  { "the new worker dies at once", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, EXITED, 0, 0 }, { 20, TICK, 0, START | SWITCH },
      { 30, EXITED, 0, BACK }, { 30, TICK, 0, START }, { 35, SERVING, 0, 0 }, { 36, UPGRADE, 0, CHECK | CONFIRM } } },
  { "cannot become the new one", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 21, EXITED, 0, BACK },
      { 21, TICK, 0, START }, { 10020, TICK, 0, 0 } } },
  { "becomes the new one, which never serves", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 10019, TICK, 0, 0 },
      { 10020, TICK, 0, KILL }, { 10021, EXITED, SIGKILL, BACK } } },
  { "the new worker dies soon", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, EXITED, 0, 0 }, { 20, TICK, 0, START | SWITCH },
      { 30, SERVING, 0, UPGRADED }, { 10029, EXITED, 0, BACK }, { 10029, TICK, 0, START } } },
  { "the new worker never serves", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, EXITED, 0, 0 }, { 20, TICK, 0, START | SWITCH },
      { 10019, TICK, 0, 0 }, { 10020, TICK, 0, KILL }, { 10030, EXITED, 0, BACK }, { 10030, TICK, 0, START } } },
  { "both crash over a request: it stays", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 30, SERVING, 0, UPGRADED },
      { 50, EXITED, SIGSEGV, BACK }, { 50, TICK, 0, START }, { 60, SERVING, 0, 0 }, { 70, ACCUSED, 0, 0 },
      { 70, EXITED, SIGSEGV, 0 }, { 70, TICK, 0, START | SWITCH }, { 75, SERVING, 0, UPGRADED },
      { 75, ACCUSED, 0, 0 }, { 75, EXITED, SIGSEGV, 0 }, { 175, TICK, 0, START }, { 180, SERVING, 0, 0 },
      { 10074, TICK, 0, 0 }, { 10075, TICK, 0, CONFIRM } } },
  { "what it did not serve is not to blame", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 50, ACCUSED, 0, 0 },
      { 50, EXITED, SIGSEGV, BACK }, { 50, TICK, 0, START }, { 60, ACCUSED, 0, 0 }, { 60, EXITED, SIGSEGV, 0 },
      { 60, TICK, 0, START } } },
  { "a request had crashed the former one before: it stays", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 30, SERVING, 0, UPGRADED },
      { 50, ACCUSED, 0, 0 }, { 50, EXITED, SIGSEGV, 0 }, { 50, TICK, 0, START }, { 60, SERVING, 0, 0 },
      { 70, EXITED, SIGSEGV, BACK }, { 70, TICK, 0, START } } },
  { "the former one crashes over something else, or too late", -1, 0, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 30, SERVING, 0, UPGRADED },
      { 50, EXITED, SIGSEGV, BACK }, { 50, TICK, 0, START }, { 70, EXITED, SIGSEGV, 0 }, { 70, TICK, 0, START },
      { 10049, TICK, 0, 0 }, { 10050, TICK, 0, CONFIRM }, { 10060, ACCUSED, 0, 0 }, { 10060, EXITED, SIGSEGV, 0 },
      { 10160, TICK, 0, START } } },
  { "terminated in doubt", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29990, 0,
    { { 1, UPGRADE, 0, CHECK }, { 9, FITS, 0, LEAVE }, { 20, LEFT, 0, FOLLOW | SWITCH }, { 30, EXITED, SIGSEGV, BACK },
      { 30, TICK, 0, START }, { 40, TERM, 0, STOP | CONFIRM }, { 50, ACCUSED, 0, 0 }, { 50, EXITED, SIGSEGV, 0 },
      { 50, TICK, 0, START | STOP }, { 60, STOPPED, 0, 0 }, { 61, EXITED, 0, FINISH } } },
  { "in a back-off", -1, 0, 0, 0,
    { { 1, EXITED, 0, 0 }, { 1, TICK, 0, START }, { 2, EXITED, 0, 0 }, { 3, UPGRADE, 0, CHECK }, { 4, FITS, 0, 0 },
      { 4, TICK, 0, START | SWITCH }, { 9, SERVING, 0, UPGRADED } } },
  { "in a back-off that ends first", -1, 0, 0, 0,
    { { 1, EXITED, 0, 0 }, { 1, TICK, 0, START }, { 2, EXITED, 0, 0 }, { 3, UPGRADE, 0, CHECK },
      { 102, TICK, 0, START }, { 103, FITS, 0, LEAVE }, { 105, EXITED, 0, 0 }, { 105, TICK, 0, START | SWITCH } } },
  { "terminated while asking", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 1, UPGRADE, 0, CHECK }, { 5, TERM, 0, STOP | ABANDON }, { 6, FITS, 0, 0 }, { 9, STOPPED, 0, 0 },
      { 10, EXITED, 0, FINISH } } },
  { "terminated while leaving", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29985, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 5, TERM, 0, STOP | ABANDON }, { 20, LEFT, 0, FOLLOW | STOP },
      { 25, TICK, 0, 0 }, { 40, SERVING, 0, 0 }, { 50, STOPPED, 0, 0 },
      { 51, EXITED, 0, FINISH } } },
  { "terminated while a young one leaves: no pause", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29999, 0,
    { { 1, EXITED, 0, 0 }, { 1, TICK, 0, START }, { 2, EXITED, 0, 0 }, { 102, TICK, 0, START },
      { 110, UPGRADE, 0, CHECK }, { 111, FITS, 0, LEAVE }, { 112, TERM, 0, STOP | ABANDON }, { 113, LEFT, 0, FOLLOW | STOP },
      { 120, STOPPED, 0, 0 }, { 121, EXITED, 0, FINISH } } },
  { "terminated twice while leaving", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 5, TERM, 0, STOP | ABANDON }, { 6, TERM, 0, STOP },
      { 20, LEFT, 0, KILL }, { 25, EXITED, SIGKILL, FINISH } } },
  { "terminated, and leaves when the time is up", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 5, TERM, 0, STOP | ABANDON }, { 30005, LEFT, 0, KILL },
      { 30006, LEFT, 0, 0 }, { 30007, EXITED, SIGKILL, FINISH } } },
  { "terminated between the two", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 25, EXITED, 0, 0 }, { 25, TERM, 0, ABANDON },
      { 25, TICK, 0, START | STOP }, { 50, STOPPED, 0, 0 }, { 51, EXITED, 0, FINISH } } },
  { "terminated while the new one starts, and that dies", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29990, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 3, EXITED, 0, 0 }, { 3, TICK, 0, START | SWITCH },
      { 10, TERM, 0, STOP }, { 20, EXITED, 0, BACK }, { 20, TICK, 0, START | STOP | CONFIRM }, { 50, STOPPED, 0, 0 },
      { 51, EXITED, 0, FINISH } } },
  { "terminated on trial", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 3, EXITED, 0, 0 }, { 3, TICK, 0, START | SWITCH },
      { 5, SERVING, 0, UPGRADED }, { 10, TERM, 0, STOP }, { 50, STOPPED, 0, 0 }, { 51, EXITED, 0, FINISH } } },
  { "lingers: no upgrade", -1, 0, 0, 15000,
    { { 1, TERM, 0, UMOUNT }, { 2, UPGRADE, 0, DECLINE }, { 3, FITS, 0, 0 } } },
  { "flushes: no upgrade", -1, 0, 30000, 0, { { 1, TERM, 0, STOP }, { 2, UPGRADE, 0, DECLINE } } },
  { "ends: no upgrade", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 0,
    { { 1, STOPPED, 0, 0 }, { 2, UPGRADE, 0, DECLINE }, { 3, EXITED, 0, FINISH } } },
  { "lingers while asking", -1, 0, 0, 15000,
    { { 1, UPGRADE, 0, CHECK }, { 2, TERM, 0, UMOUNT | ABANDON }, { 3, FITS, 0, 0 } } },
  { "lingers while leaving", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 15000, 15000,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 3, TERM, 0, UMOUNT }, { 4, LEFT, 0, FOLLOW | SWITCH },
      { 6, SERVING, 0, UPGRADED }, { 253, TICK, 0, UMOUNT }, { 10006, TICK, 0, CONFIRM },
      { 10007, TICK, 0, UMOUNT }, { 15003, TICK, 0, STOP }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "unmounted while leaving", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 0,
    { { 1, UPGRADE, 0, CHECK }, { 2, FITS, 0, LEAVE }, { 3, STOPPED, 0, ABANDON }, { 4, EXITED, 0, FINISH } } },
};

static void
play (const Story *s, LunfsPolicy *p, int64_t from_us)
{
  for (int i = 0; i < STEPS && (i == 0 || s->step[i].at_ms); i++) {
    const Step *step = &s->step[i];
    unsigned got = lunfs_policy_event (p, step->event, step->status, from_us + step->at_ms * MS);
    ck_assert_msg (got == step->actions, "%s, step %d: %#x instead of %#x", s->name, i, got, step->actions);
  }
  ck_assert_msg ((p->phase == LUNFS_PHASE_DONE) == (s->status >= 0), "%s: phase %d", s->name, p->phase);
  ck_assert_msg (p->stop_limit_ms == s->limit_ms, "%s: limit %u", s->name, p->stop_limit_ms);
  if (s->status < 0)
    return;
  ck_assert_msg (p->status == s->status && (int) p->cause == s->cause, "%s: status %d, cause %d", s->name, p->status,
                 p->cause);
  ck_assert_int_eq (lunfs_policy_deadline (p), LUNFS_NEVER);
  ck_assert_uint_eq (lunfs_policy_event (p, TERM, 0, 0), 0);
}

START_TEST (test_story)
{
  LunfsPolicy p;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  p.linger_us = stories[_i].linger_ms * MS;
  play (&stories[_i], &p, 0);
}
END_TEST

START_TEST (test_upgrade)
{
  LunfsPolicy p;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  p.linger_us = upgrades[_i].linger_ms * MS;
  ck_assert_uint_eq (lunfs_policy_event (&p, TICK, 0, 0), START);
  lunfs_policy_event (&p, SERVING, 0, 1 * MS);
  ck_assert_uint_eq (lunfs_policy_event (&p, SETTLED, 0, 2 * MS), READY);
  play (&upgrades[_i], &p, 20000 * MS);
}
END_TEST

START_TEST (test_backoff)
{
  static const int64_t want_ms[] = { 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };

  for (unsigned i = 0; i < G_N_ELEMENTS (want_ms); i++)
    ck_assert_int_eq (lunfs_policy_backoff_us (i), want_ms[i] * MS);
  ck_assert_int_eq (lunfs_policy_backoff_us (G_MAXUINT), 5000 * MS);
}
END_TEST

/* In the foreground nobody waits: a clean stop is a clean stop, however early. */
START_TEST (test_foreground)
{
  LunfsPolicy p;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  p.waited_for = false;
  lunfs_policy_event (&p, TICK, 0, 0);
  lunfs_policy_event (&p, SERVING, 0, 1 * MS);
  ck_assert_uint_eq (lunfs_policy_event (&p, TERM, 0, 2 * MS), STOP);
  lunfs_policy_event (&p, STOPPED, 0, 3 * MS);
  ck_assert_uint_eq (lunfs_policy_event (&p, EXITED, 0, 4 * MS), FINISH);
  ck_assert_int_eq (p.status, LUNFS_EXIT_OK);
}
END_TEST

/* Whatever comes in whatever order: it ends after a TERM, and a worker is never started while one runs. */
START_TEST (test_random)
{
  GRand *rand = g_rand_new_with_seed ((guint32) _i);
  LunfsPolicy p;
  int64_t now = 0;
  bool running = false, asked = false;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  for (int i = 0; i < 2000 && p.phase != LUNFS_PHASE_DONE; i++) {
    LunfsPolicyEvent event = (LunfsPolicyEvent) g_rand_int_range (rand, TICK, ACCUSED + 1);
    unsigned got;

    now += g_rand_int_range (rand, 0, 3000) * MS;
    if (event == TERM && i < 100)
      event = UPGRADE;
    if (!running && event != TERM && event < UPGRADE)
      event = TICK;
    if ((event == LEFT || event == ACCUSED) && !running)
      event = FITS;
    running = running && event != EXITED;
    got = lunfs_policy_event (&p, event, g_rand_boolean (rand) ? LUNFS_EXIT_OK : LUNFS_EXIT_LOGIN, now);
    ck_assert (!((got & START) && running));
    ck_assert (!((got & (STOP | KILL | LEAVE | FOLLOW)) && !running && !(got & START)));
    ck_assert (!(got & SWITCH) || (got & (START | FOLLOW))); /* never without its worker */
    if (got & CHECK) { /* one program at a time on trial */
      ck_assert (!asked);
      asked = true;
    }
    if (got & (ABANDON | SWITCH) || event == MISFIT)
      asked = false;
    running = running || (got & START);
  }
  ck_assert_int_eq (p.phase, LUNFS_PHASE_DONE);
  g_rand_free (rand);
}
END_TEST

/* A mount that another supervisor has made: ready when a worker serves, and neither early deaths nor logins end it. */
START_TEST (test_adopted)
{
  LunfsPolicy p;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  p.waited_for = false;
  lunfs_policy_adopt (&p);
  for (int64_t now = 0; now < 200000 * MS; now += 10000 * MS) {
    ck_assert_uint_eq (lunfs_policy_event (&p, TICK, 0, now), START);
    ck_assert_uint_eq (lunfs_policy_event (&p, EXITED, 0, now + MS), 0);
  }
  ck_assert_uint_eq (lunfs_policy_event (&p, TICK, 0, 300000 * MS), START);
  ck_assert_uint_eq (lunfs_policy_event (&p, SERVING, 0, 300001 * MS), READY);
  ck_assert_uint_eq (lunfs_policy_event (&p, SETTLED, LUNFS_EXIT_AUTH, 300002 * MS), 0);
  ck_assert_int_eq (p.phase, LUNFS_PHASE_SERVE);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("policy");
  TCase *tc = tcase_create ("policy");
  tcase_add_loop_test (tc, test_story, 0, G_N_ELEMENTS (stories));
  tcase_add_loop_test (tc, test_upgrade, 0, G_N_ELEMENTS (upgrades));
  tcase_add_test (tc, test_backoff);
  tcase_add_test (tc, test_foreground);
  tcase_add_test (tc, test_adopted);
  tcase_add_loop_test (tc, test_random, 0, 50);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
