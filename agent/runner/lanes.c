#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor.h"
#include "system.h"
#include "tree.h"

/* What KILL does not end within this hangs in the kernel: lanes are given out again, and we keep trying. */
#define CLEAN_PATIENCE_NS (10ull * 1000000000u)
/* A boot-time clock reading and the kernel's start ticks (100 a second) differ by rounding and by fork's duration. */
#define TICK_NS 10000000ull
#define TICKS_APART 5

static void page_name(char *name, size_t size, uint32_t lane) { snprintf(name, size, "lane-%u.state", lane); }

/* The page of a lane as it lies on disk. False: there is none that can be understood. */
static bool page_read(uint32_t lane, struct page *page, bool *alive) {
  char name[32];
  page_name(name, sizeof name, lane);
  int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  bool good = pread(fd, page, sizeof *page, 0) == (ssize_t)sizeof *page && page->magic == PAGE_MAGIC && page->lane == lane;
  /* The runner holds the lock for as long as it lives. */
  if (alive) *alive = flock(fd, LOCK_EX | LOCK_NB) < 0;
  close(fd);
  return good;
}

uint32_t lane_flags(const struct lanes *l, uint32_t lane) {
  struct page page;
  uint32_t flags = l->list[lane].state == LANE_UP ? LANE_ALIVE : 0;
  if (page_read(lane, &page, NULL) && (page.phase != PAGE_IDLE || page.last_end_seq > page.acked_through)) flags |= LANE_HOLDS;
  return flags;
}

/* A runner died that is not our child, so its task's tree did not come to us: find it by what the page says. */
static void end_leftovers(uint32_t lane) {
  struct page page;
  struct process p;
  uint8_t boot[16];
  bool alive;
  boot_id_read(boot);
  if (!page_read(lane, &page, &alive) || alive || page.phase == PAGE_IDLE || page.task_pid <= 1) return;
  if (memcmp(boot, page.boot_id, sizeof boot)) return;
  if (process_read(page.task_pid, &p) == 0) {
    uint64_t ticks = page.task_start_ticks ? page.task_start_ticks : page.task_started_boot_ns / TICK_NS;
    uint64_t apart = p.start_ticks > ticks ? p.start_ticks - ticks : ticks - p.start_ticks;
    if (apart > (page.task_start_ticks ? 0 : TICKS_APART)) {
      note("lane %u: process %d is not the task that its page names any more", lane, (int)page.task_pid);
      return;
    }
  }
  /* Without its leader the session's number stays taken for as long as it has members. */
  int left = tree_kill_session(page.task_pid);
  note("lane %u: its runner was dead and its task's process session %d has been ended, %d left", lane, (int)page.task_pid, left);
}

static void adopt_one(struct lanes *l, uint32_t lane) {
  struct lane *it = &l->list[lane];
  struct page page;
  bool alive = false;
  char name[32];
  if (lane >= l->count) l->count = lane + 1;
  page_read(lane, &page, &alive);
  if (!alive) {
    end_leftovers(lane);
    return;
  }
  snprintf(name, sizeof name, "lane-%u.sock", lane);
  int fd = socket_connect(name);
  if (fd < 0) {
    note("lane %u: its runner lives but cannot be reached: %s", lane, strerror(errno));
    return;
  }
  uint32_t hello[3] = {PROTOCOL_VERSION, ROLE_SUPERVISOR, 0};
  conn_open(&it->link, fd);
  it->link.role = ROLE_SUPERVISOR;
  conn_put(&it->link, FRAME_HELLO, hello, sizeof hello, NULL, 0);
  conn_put(&it->link, FRAME_RETIRE, NULL, 0, NULL, 0);
  conn_flush(&it->link);
  it->state = LANE_UP;
  it->child = 0;
  note("lane %u: adopted the runner with process id %d", lane, (int)page.runner_pid);
}

void lanes_adopt(struct lanes *l) {
  DIR *dir = opendir(".");
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));) {
    uint32_t lane;
    char name[32];
    if (sscanf(e->d_name, "lane-%u.state", &lane) != 1 || lane >= LANES_MAX) continue;
    page_name(name, sizeof name, lane);
    if (!strcmp(name, e->d_name)) adopt_one(l, lane);
  }
  closedir(dir);
}

void lane_start(struct lanes *l, uint32_t lane) {
  struct lane *it = &l->list[lane];
  int ends[2];
  if (lane >= l->count) l->count = lane + 1;
  it->failure[0] = 0;
  it->served = false;
  pid_t pid = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
    pid = fork();
    if (pid < 0) {
      close(ends[0]);
      close(ends[1]);
    }
  }
  if (pid < 0) {
    snprintf(it->failure, sizeof it->failure, "A runner for lane %u cannot be started: %s.", lane, strerror(errno));
    return;
  }
  if (pid == 0) {
    char number[16];
    snprintf(number, sizeof number, "%u", lane);
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    dup2(l->log_fd, 2);
    if (ends[1] == 3)
      fcntl(3, F_SETFD, 0);
    else
      dup2(ends[1], 3);
    /* Our own file, whatever has been installed in its place meanwhile; everything else is close-on-exec. */
    char *argv[] = {"airavata-runner", "run", ".", number, "3", NULL};
    execv("/proc/self/exe", argv);
    _exit(126);
  }
  close(ends[1]);
  conn_open(&it->link, ends[0]);
  it->link.role = ROLE_SUPERVISOR;
  it->child = pid;
  it->state = LANE_STARTING;
}

void lane_serve(struct lanes *l, uint32_t lane) {
  struct lane *it = &l->list[lane];
  struct frame f;
  bool there = conn_read(&it->link);
  int got;
  while ((got = conn_frame(&it->link, &f)) == 1) {
    if (f.type == FRAME_WELCOME && it->state == LANE_STARTING) {
      it->state = LANE_UP;
      it->served = true;
    }
    if (f.type == FRAME_ERROR && f.size > 4)
      snprintf(it->failure, sizeof it->failure, "%.*s", (int)(f.size - 4), (const char *)f.body + 4);
  }
  if (there && got == 0) return;
  conn_close(&it->link);
  it->state = LANE_FALLEN;
  if (it->child) {
    /* SIGCHLD follows and says how. A runner that closed its connection and lives on would be no use to anyone. */
    if (got < 0) kill(it->child, SIGKILL);
    return;
  }
  end_leftovers(lane);
  it->state = LANE_NONE;
}

bool lanes_child_ended(struct lanes *l, pid_t pid, int status) {
  for (uint32_t i = 0; i < l->count; i++) {
    struct lane *it = &l->list[i];
    if (it->child != pid) continue;
    /* What it said before it died explains more than its status. */
    if (it->link.fd >= 0) lane_serve(l, i);
    if (it->link.fd >= 0) conn_close(&it->link);
    it->child = 0;
    it->state = LANE_NONE;
    if (!it->served && !it->failure[0])
      snprintf(it->failure, sizeof it->failure, "The runner of lane %u ended while it started (wait status %d).", i, status);
    if (WIFSIGNALED(status)) note("lane %u: its runner %d was ended by signal %d", i, (int)pid, WTERMSIG(status));
    l->cleaning = true;
    l->cleaning_since = monotonic_ns();
    return true;
  }
  return false;
}

struct spared {
  const struct lanes *lanes;
  pid_t also;
};

static bool is_spared(pid_t child, void *arg) {
  const struct spared *s = arg;
  if (child == s->also) return true;
  for (uint32_t i = 0; i < s->lanes->count; i++)
    if (s->lanes->list[i].child == child) return true;
  return false;
}

void lanes_clean(struct lanes *l, pid_t also_spare) {
  struct spared spared = {l, also_spare};
  /* Living runners are subreapers themselves, so a child of ours that is no runner was left by a dead one. */
  if (tree_kill_children(false, is_spared, &spared) == 0) {
    l->cleaning = false;
  } else if (monotonic_ns() - l->cleaning_since > CLEAN_PATIENCE_NS) {
    note("processes of a dead runner cannot be ended; its lane is given out all the same");
    l->cleaning = false;
  }
}

void lanes_retire(struct lanes *l) {
  for (uint32_t i = 0; i < l->count; i++)
    if (l->list[i].link.fd >= 0 && conn_put(&l->list[i].link, FRAME_RETIRE, NULL, 0, NULL, 0)) conn_flush(&l->list[i].link);
}

uint32_t lanes_alive(const struct lanes *l) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < l->count; i++) n += l->list[i].state != LANE_NONE;
  return n;
}
