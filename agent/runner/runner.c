/* The runner: one per lane, one task at a time. It lives as long as it has a task, an agent or a supervisor; none of
 * them takes the task with it when it dies. One loop; the only things that may block it are vfork's child on its way to
 * execve and writes to the disk. */
#define _GNU_SOURCE
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "folder.h"
#include "system.h"
#include "task.h"
#include "wire.h"

#define RETRY_NS (500 * 1000000ull)
/* Records wait here for a slow agent; beyond it they are read from the file again when there is room. */
#define REPORT_AHEAD_BYTES (1u << 20)
/* Ends of short tasks are told together while the agent has given enough in advance; this is the longest it may wait. */
#define TELL_DELAY_NS (5 * 1000000ull)
/* Read from one pipe before others get their turn. */
#define OUTPUT_ROUND_BYTES (1u << 20)

static void refuse_start(struct conn *boss, const char *what) {
  char sentence[256];
  snprintf(sentence, sizeof sentence, "The runner cannot start: %s: %s.", what, strerror(errno));
  note("%s", sentence);
  conn_refuse(boss, ERROR_START, sentence);
  exit(1);
}

/* The lane's page: its flock says "this lane has a living runner" to supervisors, and it survives us. */
static struct page *open_page(uint32_t lane, struct conn *boss) {
  char name[32];
  snprintf(name, sizeof name, "lane-%u.state", lane);
  int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) refuse_start(boss, name);
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) refuse_start(boss, "another runner holds this lane");
  /* Room first: writing to a mapping that has none is a SIGBUS. */
  int err = posix_fallocate(fd, 0, PAGE_BYTES);
  if (err == EOPNOTSUPP || err == EINVAL || err == ENOSYS) {
    uint8_t zero = 0;
    err = 0;
    for (off_t at = 0; at < (off_t)PAGE_BYTES && !err; at++)
      if (pread(fd, &zero, 1, at) != 1 && pwrite(fd, &zero, 1, at) != 1) err = errno;
  }
  errno = err;
  if (err) refuse_start(boss, name);
  struct page *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) refuse_start(boss, name);
  struct process self = {0};
  process_read(getpid(), &self);
  if (page->magic != PAGE_MAGIC || page->version != RECORD_VERSION || page->key_size > KEY_MAX_BYTES || page->lane != lane) {
    memset(page, 0, PAGE_BYTES);
    page->next_seq = 1;
  }
  page->magic = PAGE_MAGIC;
  page->version = RECORD_VERSION;
  page->lane = lane;
  page->runner_pid = getpid();
  page->runner_start_ticks = self.start_ticks;
  boot_id_read(page->boot_id);
  return page;
}

/* Sends what an agent has not yet been told, as far as it takes it; then, once, that this was all. */
static void pump(struct runner *r) {
  static uint8_t bytes[RECORD_MAX_BYTES];
  while (r->behind && r->agent.fd >= 0 && conn_pending(&r->agent) < REPORT_AHEAD_BYTES) {
    size_t n = results_next(&r->results, r->told_through, bytes);
    if (!n) {
      r->behind = false;
      if (!r->ready_sent) conn_put(&r->agent, FRAME_READY, NULL, 0, NULL, 0);
      r->ready_sent = true;
      return;
    }
    struct record head;
    memcpy(&head, bytes, STARTED_BYTES);
    r->told_through = head.seq;
    conn_put(&r->agent, FRAME_RECORD, bytes, n, NULL, 0);
  }
}

static void report(struct runner *r, const struct news *news) {
  if (r->agent.fd < 0 || r->behind) return;
  for (size_t at = 0; at < news->size;) {
    struct record head;
    memcpy(&head, news->bytes + at, STARTED_BYTES);
    if (conn_pending(&r->agent) >= REPORT_AHEAD_BYTES || !conn_put(&r->agent, FRAME_RECORD, news->bytes + at, head.size, NULL, 0)) {
      r->behind = true;
      return;
    }
    if (head.kind == RECORD_ENDED) r->told_through = head.seq;
    at += head.size;
  }
}

/* The disk takes no records. Ends are told all the same, marked, and we start nothing until they are written; a task
 * whose start could not be written is ended: it would run on without a promised place for its end. */
static void keep_unwritten(struct runner *r, struct news *news, int err) {
  note("a record cannot be written: %s", strerror(err));
  for (size_t at = 0; at < news->size;) {
    struct record head;
    memcpy(&head, news->bytes + at, STARTED_BYTES);
    if (head.kind == RECORD_ENDED) {
      head.flags |= FLAG_UNRECORDED;
      memcpy(news->bytes + at, &head, STARTED_BYTES);
      record_seal(news->bytes + at, head.size);
      if (r->unwritten.size + head.size <= sizeof r->unwritten.bytes) {
        memcpy(r->unwritten.bytes + r->unwritten.size, news->bytes + at, head.size);
        r->unwritten.size += head.size;
      }
    } else if (r->task.phase != TASK_NONE) {
      if (!r->task.cause) task_disk(&r->task, STAGE_RECORD, err);
      task_end(&r->task, CAUSE_DISK, r->task.run->head.grace_ms);
    }
    at += head.size;
  }
  r->retry_at = monotonic_ns() + RETRY_NS;
}

/* Each message wakes the agent, which costs both of us more than the message: while more than half of what was queued
 * is still to be started, an end can wait for the next one. Behind the last half, or alone, it is told at once. */
static bool can_gather(const struct runner *r) {
  uint32_t waiting = r->queue_count - (r->task.phase == TASK_NONE && r->queue_count ? 1 : 0);
  return waiting * 2 > r->queue_high && !r->behind;
}

static void tell(struct runner *r) {
  r->tell_at = 0;
  r->queue_high = r->queue_count;
  if (r->agent.fd >= 0 && !conn_flush(&r->agent)) conn_close(&r->agent);
}

/* On record first, then told. The page goes idle in between: "its end is on record" must be true when it says so. */
void runner_settle(struct runner *r) {
  struct news *news = &r->news;
  if (!news->size) return;
  if (!results_append(&r->results, news->bytes, news->size)) keep_unwritten(r, news, errno);
  if (r->task.phase == TASK_NONE && !r->unwritten.size) r->page->phase = PAGE_IDLE;
  report(r, news);
  news->size = 0;
  if (!can_gather(r))
    tell(r);
  else if (!r->tell_at)
    r->tell_at = monotonic_ns() + TELL_DELAY_NS;
}

static void retry_unwritten(struct runner *r) {
  if (!r->unwritten.size || monotonic_ns() < r->retry_at) return;
  r->retry_at = monotonic_ns() + RETRY_NS;
  if (!results_append(&r->results, r->unwritten.bytes, r->unwritten.size)) return;
  r->unwritten.size = 0;
  if (r->task.phase == TASK_NONE) r->page->phase = PAGE_IDLE;
}

void runner_unqueue(struct runner *r, uint32_t i) {
  uint32_t behind = --r->queue_count - i;
  r->queue_bytes -= r->queue[i]->bytes;
  memmove(r->queue + i, r->queue + i + 1, behind * sizeof *r->queue);
  memmove(r->queue_from + i, r->queue_from + i + 1, behind * sizeof *r->queue_from);
}

/* Nothing runs, and either nobody would bring anything new or the supervisor wants a fresh runner. All that the agent
 * has not acknowledged is on disk for the lane's next runner; what waits here is given to that one by the agent, if it
 * still has it: what an earlier connection brought must be run by us. */
static bool may_leave(const struct runner *r) {
  if (r->task.phase != TASK_NONE || r->unwritten.size) return false;
  for (uint32_t i = 0; i < r->queue_count; i++)
    if (!r->retiring || r->agent.fd < 0 || r->queue_from[i] != r->agent_number) return false;
  return r->retiring || (r->boss.fd < 0 && r->agent.fd < 0);
}

static void start_next(struct runner *r) {
  while (!may_leave(r) && r->task.phase == TASK_NONE && r->queue_count && !r->unwritten.size && !results_full(&r->results)) {
    struct run *run = r->queue[0];
    runner_unqueue(r, 0);
    task_start(&r->task, run, &r->results, r->null_fd, &r->news);
    if (r->task.phase == TASK_NONE) runner_settle(r);
  }
}

static void take_output(struct runner *r, struct output *o) {
  output_take(o, OUTPUT_ROUND_BYTES);
  if (!o->err || r->task.cause) return;
  task_disk(&r->task, STAGE_OUTPUT, o->err);
  task_end(&r->task, CAUSE_DISK, r->task.run->head.grace_ms);
}

static int wait_ms(const struct runner *r) {
  uint64_t at = task_deadline(&r->task);
  if (r->unwritten.size && (!at || r->retry_at < at)) at = r->retry_at;
  if (r->tell_at && (!at || r->tell_at < at)) at = r->tell_at;
  if (!at) return -1;
  uint64_t now = monotonic_ns();
  if (at <= now) return 0;
  uint64_t ms = (at - now + 999999) / 1000000;
  return ms > 60000 ? 60000 : (int)ms;
}

enum { P_SIGNAL, P_LISTEN, P_AGENT, P_BOSS, P_GUEST, P_OUT = P_GUEST + GUESTS_MAX, P_ERR, P_COUNT };

static void set_poll(struct pollfd *p, int fd, bool out) {
  p->fd = fd;
  p->events = (short)(POLLIN | (out ? POLLOUT : 0));
  p->revents = 0;
}

static void loop(struct runner *r) {
  struct pollfd p[P_COUNT];
  for (;;) {
    start_next(r);
    pump(r);
    if (!r->tell_at || monotonic_ns() >= r->tell_at) tell(r);
    if (r->boss.fd >= 0 && !conn_flush(&r->boss)) conn_close(&r->boss);
    if (may_leave(r)) return;
    bool running = r->task.phase != TASK_NONE;
    set_poll(&p[P_SIGNAL], r->signal_fd, false);
    set_poll(&p[P_LISTEN], r->listen_fd, false);
    set_poll(&p[P_AGENT], r->agent.fd, r->agent.fd >= 0 && !r->tell_at && conn_pending(&r->agent));
    set_poll(&p[P_BOSS], r->boss.fd, r->boss.fd >= 0 && conn_pending(&r->boss));
    for (int i = 0; i < GUESTS_MAX; i++) set_poll(&p[P_GUEST + i], r->guests[i].fd, false);
    set_poll(&p[P_OUT], running ? r->task.out.read_end : -1, false);
    set_poll(&p[P_ERR], running ? r->task.err_out.read_end : -1, false);
    if (poll(p, P_COUNT, wait_ms(r)) < 0 && errno != EINTR) {
      note("poll: %s", strerror(errno));
      return;
    }
    bool died = false;
    if (p[P_SIGNAL].revents) {
      struct signalfd_siginfo info;
      died = read(r->signal_fd, &info, sizeof info) > 0;
    }
    if (running) {
      /* What it wrote before it died is in the pipe and is taken by its end. */
      bool over = task_step(&r->task, &r->results, &r->news, died);
      if (!over && p[P_OUT].revents) take_output(r, &r->task.out);
      if (!over && p[P_ERR].revents) take_output(r, &r->task.err_out);
      if (!over && r->task.started_due && monotonic_ns() >= r->task.started_due)
        task_put_started(&r->task, &r->results, &r->news);
      runner_settle(r);
      /* The supervisor inherits what we could not end, and a new runner takes the lane. */
      if (over && r->task.left_behind) return;
    } else if (died) {
      while (waitpid(-1, NULL, WNOHANG) > 0) {
      }
    }
    retry_unwritten(r);
    if (p[P_AGENT].revents) control_serve(r, &r->agent);
    if (p[P_BOSS].revents) control_serve(r, &r->boss);
    for (int i = 0; i < GUESTS_MAX; i++)
      if (p[P_GUEST + i].revents) control_guest(r, &r->guests[i]);
    if (p[P_LISTEN].revents) control_accept(r);
  }
}

int runner_main(uint32_t lane, int boss_fd) {
  static struct runner runner;
  struct runner *r = &runner;
  sigset_t all, child;
  char name[32];
  note_role = "runner";
  /* All blocked, none handled: the task starts with clean dispositions, SIGTERM of a service manager does not take the
   * task down, and writes that fail say so by errno. */
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
  /* It came to us by not being close-on-exec; our task gets nothing of it. */
  close_inherited(boss_fd + 1);
  fcntl(boss_fd, F_SETFD, FD_CLOEXEC);
  conn_open(&r->boss, boss_fd);
  r->boss.role = ROLE_SUPERVISOR;
  conn_open(&r->agent, -1);
  for (int i = 0; i < GUESTS_MAX; i++) conn_open(&r->guests[i], -1);
  r->task.out.read_end = r->task.err_out.read_end = -1;
  r->lane = lane;
  prctl(PR_SET_NAME, "airavata-runner");
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  r->page = open_page(lane, &r->boss);
  if (results_open(&r->results, lane, r->page) < 0) refuse_start(&r->boss, "its results file");
  if (r->page->phase != PAGE_IDLE) {
    /* Our predecessor died over this task; the supervisor has ended what was left of it before it started us. */
    if (!r->results.task_ended)
      task_put_unstarted(r->page->key, r->page->key_size, CAUSE_LOST, STAGE_NONE, 0, r->page, &r->results, &r->news);
    runner_settle(r);
    if (!r->unwritten.size) r->page->phase = PAGE_IDLE;
  }
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  snprintf(name, sizeof name, "lane-%u.sock", lane);
  if ((r->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) refuse_start(&r->boss, "signalfd");
  if ((r->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) refuse_start(&r->boss, "/dev/null");
  if ((r->listen_fd = socket_listen(name)) < 0) refuse_start(&r->boss, name);
  control_welcome(r, &r->boss);
  loop(r);
  folder_drop();
  return 0;
}
