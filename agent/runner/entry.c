/* The agent as a child of the supervisor, when that is the entry of a container or a batch script: started, started
 * again when it dies, sent the signals that were meant for it. Exit 0 means it is done; so does any exit after a signal
 * that asked it to end. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor.h"
#include "system.h"

/* 0.25 s × 2^n, at most 30 s; an agent that has lived a minute starts from the beginning. */
#define FIRST_DELAY_NS 250000000ull
#define MOST_DELAY_NS 30000000000ull
#define GOOD_LIFE_NS 60000000000ull

void entry_start(struct entry *e) {
  e->restart_at = 0;
  e->started_ns = monotonic_ns();
  pid_t pid = fork();
  if (pid == 0) {
    sigset_t none;
    /* A group of its own, so that Ctrl-C reaches it once: through us. */
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(e->argv[0], e->argv);
    note("cannot start the agent %s: %s", e->argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
  }
  if (pid > 0)
    e->pid = pid;
  else
    e->restart_at = monotonic_ns() + FIRST_DELAY_NS;
}

void entry_signal(struct entry *e, int sig) {
  e->ending = true;
  if (e->pid)
    kill(e->pid, sig);
  else
    e->ended = true;
}

bool entry_child_ended(struct entry *e, pid_t pid, int status) {
  if (!e->pid || pid != e->pid) return false;
  e->pid = 0;
  e->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (e->ending || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
    e->ended = true;
    return true;
  }
  uint64_t now = monotonic_ns(), delay = FIRST_DELAY_NS;
  if (now - e->started_ns > GOOD_LIFE_NS) e->failures = 0;
  for (uint32_t i = 0; i < e->failures && delay < MOST_DELAY_NS; i++) delay *= 2;
  if (delay > MOST_DELAY_NS) delay = MOST_DELAY_NS;
  e->failures++;
  e->restart_at = now + delay;
  note("the agent ended with %d; it is started again in %llu ms", e->exit_code, (unsigned long long)(delay / 1000000));
  return true;
}
