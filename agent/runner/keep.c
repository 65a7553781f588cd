/* The keeper: what an agent becomes (by execve, so with its process id) when it hands over to a new program. It starts
 * that one as its child and listens to what it says of itself; one that ends, falls silent or says that it failed is
 * replaced by the former program, which is told why. Tasks are none of its business: they live under the supervisor.
 * Afterwards it passes signals on and ends with the agent's status; for the next update the agent ends with
 * EXIT_UPDATE, and the plan is read again. If it dies, the agent is killed with it: whoever started us starts anew. */
#define _GNU_SOURCE
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system.h"

/* A healthy agent that ends with this asks for the program that the plan names now. */
#define EXIT_UPDATE 85
/* 128 KiB of a command line, twice a path, and numbers. */
#define PLAN_BYTES_MAX 160000
#define WORDS_MAX 1024
#define SENTENCE_MAX 400

struct plan {
  char text[PLAN_BYTES_MAX];
  char *candidate, *former;
  uint64_t silence_ns, trial_ns;
  char *argv[WORDS_MAX]; /* the first one is the program's place */
};

struct keeper {
  struct plan plan;
  pid_t pid;
  int signal_fd, status_fd;
  bool trial, ending;
  uint64_t silent_at, over_at;
  char said[SENTENCE_MAX];
  size_t said_size;
};

/* Words that end with a zero byte: candidate, former program, seconds of silence, seconds in all, arguments. */
static bool plan_read(struct plan *p, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t size = fd < 0 ? -1 : read(fd, p->text, sizeof p->text);
  if (fd >= 0) close(fd);
  if (size <= 0 || size == sizeof p->text || p->text[size - 1] != 0) return false;
  char *words[4 + WORDS_MAX];
  size_t n = 0;
  for (char *at = p->text; at < p->text + size; at += strlen(at) + 1) {
    if (n == sizeof words / sizeof words[0] - 1) return false;
    words[n++] = at;
  }
  if (n < 4) return false;
  p->candidate = words[0];
  p->former = words[1];
  p->silence_ns = strtoull(words[2], NULL, 10) * 1000000000ull;
  p->trial_ns = strtoull(words[3], NULL, 10) * 1000000000ull;
  for (size_t i = 4; i < n; i++) p->argv[i - 3] = words[i];
  p->argv[n - 3] = NULL;
  return p->silence_ns > 0 && p->trial_ns > 0;
}

static void start(struct keeper *k, char *program, const char *failure) {
  int pipe_fds[2] = {-1, -1};
  if (k->status_fd >= 0) close(k->status_fd);
  k->status_fd = -1;
  k->said_size = 0;
  if (pipe2(pipe_fds, O_CLOEXEC) == 0) k->status_fd = pipe_fds[0];
  pid_t self = getpid();
  k->plan.argv[0] = program;
  k->pid = fork();
  if (k->pid == 0) {
    char where[64];
    sigset_t none;
    /* A group of its own, so that Ctrl-C reaches it once: through us. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self) _exit(1);
    snprintf(where, sizeof where, "%d:%d", (int)self, pipe_fds[1]);
    setenv("AIRAVATA_KEEPER", where, 1);
    if (failure)
      setenv("AIRAVATA_UPDATE_FAILED", failure, 1);
    else
      unsetenv("AIRAVATA_UPDATE_FAILED");
    if (pipe_fds[1] >= 0) fcntl(pipe_fds[1], F_SETFD, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(program, k->plan.argv);
    note("cannot start the agent %s: %s", program, strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
  }
  if (pipe_fds[1] >= 0) close(pipe_fds[1]);
  k->trial = !failure;
  k->silent_at = monotonic_ns() + k->plan.silence_ns;
  k->over_at = monotonic_ns() + k->plan.trial_ns;
}

/* The candidate is gone or is made to go; the former program takes its place and is told the sentence. */
static void roll_back(struct keeper *k, const char *sentence) {
  char told[SENTENCE_MAX];
  int status;
  snprintf(told, sizeof told, "%s", sentence);
  if (k->pid > 0) {
    /* Its group too: what it started and did not detach. Supervisor, runners and tasks have sessions of their own. */
    kill(-k->pid, SIGKILL);
    kill(k->pid, SIGKILL);
    while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  note("the former agent is started again: %s", told);
  start(k, k->plan.former, told);
}

static void on_line(struct keeper *k, char *line) {
  if (!k->trial) return;
  k->silent_at = monotonic_ns() + k->plan.silence_ns;
  if (!strcmp(line, "healthy"))
    k->trial = false;
  else if (!strncmp(line, "failed ", 7))
    roll_back(k, line + 7);
}

static void on_status(struct keeper *k) {
  int fd = k->status_fd;
  ssize_t got = read(fd, k->said + k->said_size, sizeof k->said - 1 - k->said_size);
  if (got <= 0) {
    close(fd);
    k->status_fd = -1;
    return;
  }
  k->said_size += (size_t)got;
  for (char *end; k->status_fd == fd && (end = memchr(k->said, '\n', k->said_size));) {
    char line[SENTENCE_MAX];
    size_t size = (size_t)(end - k->said);
    memcpy(line, k->said, size);
    line[size] = 0;
    k->said_size -= size + 1;
    memmove(k->said, end + 1, k->said_size);
    on_line(k, line);
  }
  /* A line that long is none of ours. */
  if (k->said_size == sizeof k->said - 1) k->said_size = 0;
}

static int code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The agent has ended: -1 when another one runs in its place, else our own exit status. */
static int on_agent_ended(struct keeper *k, int status, const char *plan) {
  k->pid = 0;
  if (k->ending) return code_of(status);
  /* What it said last says why. */
  if (k->trial && k->status_fd >= 0) {
    struct pollfd p = {k->status_fd, POLLIN, 0};
    while (k->trial && k->pid == 0 && k->status_fd >= 0 && poll(&p, 1, 0) > 0) on_status(k);
    if (k->pid > 0) return -1;
  }
  if (k->trial) {
    char sentence[SENTENCE_MAX];
    if (WIFEXITED(status))
      snprintf(sentence, sizeof sentence, "the new program ended with exit code %d before it was healthy", WEXITSTATUS(status));
    else
      snprintf(sentence, sizeof sentence, "the new program was ended by signal %d before it was healthy", WTERMSIG(status));
    roll_back(k, sentence);
    return -1;
  }
  if (code_of(status) != EXIT_UPDATE || !plan_read(&k->plan, plan)) return code_of(status);
  start(k, k->plan.candidate, NULL);
  return -1;
}

/* -1: go on. */
static int on_signals(struct keeper *k, const char *plan) {
  struct signalfd_siginfo info;
  int status, code = -1;
  while (read(k->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    k->ending |= info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGHUP;
    if (k->pid > 0) kill(k->pid, (int)info.ssi_signo);
  }
  /* As process 1 of a container we inherit whatever lost its parent; and the supervisor was the agent's child. */
  for (pid_t pid; code < 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    if (pid == k->pid) code = on_agent_ended(k, status, plan);
  return code;
}

static void on_time(struct keeper *k) {
  char sentence[SENTENCE_MAX];
  uint64_t now = monotonic_ns();
  if (!k->trial || k->ending) return;
  if (now >= k->over_at)
    snprintf(sentence, sizeof sentence, "the new program had no session with the coordinator within %llu s",
             (unsigned long long)(k->plan.trial_ns / 1000000000ull));
  else if (now >= k->silent_at)
    snprintf(sentence, sizeof sentence, "the new program said nothing of itself for %llu s",
             (unsigned long long)(k->plan.silence_ns / 1000000000ull));
  else
    return;
  roll_back(k, sentence);
}

static int wait_ms(const struct keeper *k) {
  if (!k->trial || k->ending) return -1;
  uint64_t now = monotonic_ns(), at = k->silent_at < k->over_at ? k->silent_at : k->over_at;
  return at <= now ? 0 : at - now > 60000000000ull ? 60000 : (int)((at - now + 999999) / 1000000);
}

int keep_main(const char *plan) {
  static struct keeper keeper;
  struct keeper *k = &keeper;
  static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};
  sigset_t ours;
  note_role = "keeper";
  note_owns_log = false;
  close_inherited(3);
  k->status_fd = -1;
  if (!plan_read(&k->plan, plan)) {
    fprintf(stderr, "airavata-runner: %s is no plan of an update\n", plan);
    return 3;
  }
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL);
  sigemptyset(&ours);
  for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) sigaddset(&ours, passed[i]);
  sigprocmask(SIG_SETMASK, &ours, NULL);
  if ((k->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) return 1;
  start(k, k->plan.candidate, NULL);
  for (;;) {
    struct pollfd p[2] = {{k->signal_fd, POLLIN, 0}, {k->status_fd, POLLIN, 0}};
    if (k->pid < 0) {
      note("no process can be made: %s", strerror(errno));
      return 1;
    }
    if (poll(p, 2, wait_ms(k)) < 0 && errno != EINTR) return 1;
    if (p[1].revents) on_status(k);
    if (p[0].revents) {
      int code = on_signals(k, plan);
      if (code >= 0) return code;
    }
    on_time(k);
  }
}
