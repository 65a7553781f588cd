#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system.h"

/* A tree beyond this is ended by KILL in generations; the polite signal reaches this many. */
#define POLITE_MAX 65536

static bool is_number(const char *name) { return name[0] >= '1' && name[0] <= '9'; }

/* One `children` file: numbers with spaces between, possibly longer than a buffer. False: this kernel has none. */
static bool read_children(pid_t pid, pid_t thread, void (*visit)(pid_t, void *), void *arg) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)thread);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  pid_t number = 0;
  for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;)
    for (ssize_t i = 0; i < n; i++) {
      if (text[i] >= '0' && text[i] <= '9') {
        number = number * 10 + (text[i] - '0');
      } else {
        if (number) visit(number, arg);
        number = 0;
      }
    }
  if (number) visit(number, arg);
  close(fd);
  return true;
}

static void each_process(void (*visit)(pid_t, struct process *, void *), void *arg) {
  DIR *dir = opendir("/proc");
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));) {
    struct process p;
    pid_t pid = is_number(e->d_name) ? (pid_t)atoi(e->d_name) : 0;
    if (pid && process_read(pid, &p) == 0) visit(pid, &p, arg);
  }
  closedir(dir);
}

struct by_parent {
  pid_t parent;
  void (*visit)(pid_t, void *);
  void *arg;
};

static void visit_if_child(pid_t pid, struct process *p, void *arg) {
  struct by_parent *b = arg;
  if (p->parent == b->parent) b->visit(pid, b->arg);
}

void tree_each_child(pid_t pid, void (*visit)(pid_t, void *), void *arg) {
  /* This process has one thread, which is the usual case and one file. */
  if (pid == getpid() && read_children(pid, pid, visit, arg)) return;
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *dir = opendir(path);
  if (!dir) return;
  bool supported = true;
  for (struct dirent *e; (e = readdir(dir));)
    if (is_number(e->d_name) && !read_children(pid, (pid_t)atoi(e->d_name), visit, arg)) {
      /* Either the thread has just ended or the kernel was built without CONFIG_PROC_CHILDREN. */
      snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
      supported = access(path, F_OK) == 0;
      if (!supported) break;
    }
  closedir(dir);
  if (!supported) each_process(visit_if_child, &(struct by_parent){pid, visit, arg});
}

struct pids {
  struct {
    pid_t pid, parent;
  } *list;
  int count, cap;
  pid_t parent;
};

static void pids_add(pid_t pid, void *arg) {
  struct pids *p = arg;
  if (p->count == p->cap) {
    int cap = p->cap ? p->cap * 2 : 64;
    if (cap > POLITE_MAX) return;
    void *list = realloc(p->list, (size_t)cap * sizeof *p->list);
    if (!list) return;
    p->list = list;
    p->cap = cap;
  }
  p->list[p->count].pid = pid;
  p->list[p->count++].parent = p->parent;
}

/* Grandchildren are reaped by others, so their numbers may pass to strangers at any time: hold the process by a
 * descriptor first, then ask whether it still is who we meant, then signal what we hold. */
static void signal_held(pid_t pid, pid_t parent, int sig) {
#ifdef SYS_pidfd_open
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (fd >= 0) {
    struct process p;
    /* Its parent may have died meanwhile; then it is our child, or that of a subreaper within the tree. */
    if (process_read(pid, &p) == 0 && (p.parent == parent || p.parent == getpid())) {
      syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
      syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
    }
    close(fd);
    return;
  }
  if (errno != ENOSYS && errno != EPERM) return;
#endif
  struct process p;
  if (process_read(pid, &p) < 0 || (p.parent != parent && p.parent != getpid())) return;
  kill(pid, sig);
  kill(pid, SIGCONT);
}

int tree_signal(pid_t root, int sig) {
  struct pids found = {0};
  found.parent = root;
  tree_each_child(root, pids_add, &found);
  for (int i = 0; i < found.count; i++) {
    found.parent = found.list[i].pid;
    tree_each_child(found.list[i].pid, pids_add, &found);
  }
  for (int i = 0; i < found.count; i++) {
    if (found.list[i].parent == root && root == getpid()) {
      kill(found.list[i].pid, sig);
      kill(found.list[i].pid, SIGCONT);
    } else {
      signal_held(found.list[i].pid, found.list[i].parent, sig);
    }
  }
  free(found.list);
  return found.count;
}

struct killing {
  bool groups;
  bool (*spare)(pid_t, void *);
  void *arg;
  int found;
};

static void kill_child(pid_t child, void *arg) {
  struct killing *k = arg;
  if (k->spare && k->spare(child, k->arg)) return;
  k->found++;
  if (k->groups) {
    /* A signal to a group is atomic against fork within it, which is what stops a fork bomb. The group cannot be ours:
     * a task starts in a process session of its own, and groups do not cross sessions. */
    pid_t group = getpgid(child);
    if (group > 1 && group != getpgrp()) kill(-group, SIGKILL);
  }
  kill(child, SIGKILL);
}

int tree_kill_children(bool groups, bool (*spare)(pid_t, void *), void *arg) {
  struct killing k = {groups, spare, arg, 0};
  tree_each_child(getpid(), kill_child, &k);
  return k.found;
}

struct session_scan {
  pid_t session;
  int alive;
};

static void kill_member(pid_t pid, struct process *p, void *arg) {
  struct session_scan *s = arg;
  if (p->session != s->session || p->state == 'Z' || p->state == 'X' || pid == getpid()) return;
  s->alive++;
  tree_signal(pid, SIGKILL);
  kill(pid, SIGKILL);
}

int tree_kill_session(pid_t session) {
  for (int pass = 0;; pass++) {
    struct session_scan s = {session, 0};
    each_process(kill_member, &s);
    if (!s.alive || pass == 200) return s.alive;
    poll(NULL, 0, 10);
  }
}
