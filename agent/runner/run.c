#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The next NUL-ended string of the frame, or NULL when it does not end within it. */
static char *next_string(uint8_t **at, const uint8_t *end) {
  uint8_t *nul = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
  if (!nul) return NULL;
  char *s = (char *)*at;
  *at = nul + 1;
  return s;
}

struct run *run_decode(const uint8_t *body, uint32_t size) {
  struct run_head head;
  if (size < sizeof head) return NULL;
  memcpy(&head, body, sizeof head);
  if (!head.key_size || head.key_size > KEY_MAX_BYTES || head.limit_count > LIMITS_MAX || !head.argc || head.flags & ~RUN_MAKE_FOLDER) return NULL;
  if (head.argc > STRINGS_MAX || head.envc > STRINGS_MAX || head.argc + head.envc > STRINGS_MAX) return NULL;
  /* Every string takes a byte at least: a count that the frame cannot hold is refused before memory is asked for. */
  if ((uint64_t)sizeof head + head.key_size + head.limit_count * sizeof(struct run_limit) + 4 + head.argc + head.envc > size)
    return NULL;
  size_t pointers = ((size_t)head.argc + head.envc + 2) * sizeof(char *);
  size_t offset = (sizeof(struct run) + size + sizeof(char *) - 1) & ~(sizeof(char *) - 1);
  struct run *run = malloc(offset + pointers);
  if (!run) return NULL;
  memcpy(run->frame, body, size);
  run->head = head;
  run->bytes = size;
  uint8_t *at = run->frame + sizeof head, *end = run->frame + size;
  run->key = (char *)at;
  at += head.key_size;
  run->limits = at;
  at += head.limit_count * sizeof(struct run_limit);
  run->argv = (char **)((uint8_t *)run + offset);
  run->envp = run->argv + head.argc + 1;
  bool good = (run->cwd = next_string(&at, end)) && (run->out_path = next_string(&at, end)) &&
              (run->err_path = next_string(&at, end)) && (run->cgroup = next_string(&at, end));
  for (uint32_t i = 0; good && i < head.argc; i++) good = (run->argv[i] = next_string(&at, end));
  for (uint32_t i = 0; good && i < head.envc; i++) good = (run->envp[i] = next_string(&at, end));
  if (!good || at != end || memchr(run->key, 0, head.key_size)) {
    free(run);
    return NULL;
  }
  run->argv[head.argc] = run->envp[head.envc] = NULL;
  return run;
}

void run_free(struct run *run) { free(run); }

/* The child of vfork shares our memory, so this is how it tells what failed. */
static volatile struct {
  int stage, err;
} failed;

static const char *path_of(char *const *envp) {
  for (; *envp; envp++)
    if (!strncmp(*envp, "PATH=", 5)) return *envp + 5;
  return NULL;
}

/* execve, searching the PATH of the given environment when the name has no slash. An EACCES on the way is the answer
 * if nothing better comes, as shells do it. */
static void exec_found(const struct run *run) {
  const char *name = run->argv[0], *path = path_of(run->envp);
  if (strchr(name, '/') || !*name) {
    execve(name, run->argv, run->envp);
    return;
  }
  int err = ENOENT;
  char candidate[PATH_MAX];
  size_t name_size = strlen(name) + 1;
  for (const char *p = path; p;) {
    const char *colon = strchr(p, ':');
    size_t n = colon ? (size_t)(colon - p) : strlen(p);
    /* An empty element would mean the current folder: a task's folder is no place to find programs by accident. */
    if (n && n + 1 + name_size <= sizeof candidate) {
      memcpy(candidate, p, n);
      candidate[n] = '/';
      memcpy(candidate + n + 1, name, name_size);
      execve(candidate, run->argv, run->envp);
      if (errno == EACCES)
        err = EACCES;
      else if (errno != ENOENT && errno != ENOTDIR)
        return;
    }
    p = colon ? colon + 1 : NULL;
  }
  errno = err;
}

#define TRY(STAGE, CALL)          \
  if ((CALL) < 0) {               \
    failed.err = errno;           \
    failed.stage = STAGE;         \
    _exit(127);                   \
  }

__attribute__((noinline, noreturn)) static void child(const struct run *run, int folder, int null_fd, int out_fd, int err_fd,
                                                       volatile int32_t *page_pid) {
  pid_t self = setsid();
  TRY(STAGE_SETSID, self);
  *page_pid = self;
  if (*run->cgroup) {
    /* Before anything else of the task exists, so that all of it is inside. */
    int fd = open(run->cgroup, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    TRY(STAGE_CGROUP, fd);
    TRY(STAGE_CGROUP, write(fd, "0", 1));
    close(fd);
  }
  TRY(STAGE_CHDIR, folder >= 0 ? fchdir(folder) : chdir(run->cwd));
  TRY(STAGE_STDIO, dup2(null_fd, 0));
  TRY(STAGE_STDIO, dup2(out_fd, 1));
  TRY(STAGE_STDIO, dup2(err_fd, 2));
  for (uint32_t i = 0; i < run->head.limit_count; i++) {
    struct run_limit l;
    memcpy(&l, run->limits + i * sizeof l, sizeof l);
    struct rlimit limit = {l.soft, l.hard};
    TRY(STAGE_RLIMIT, setrlimit((int)l.resource, &limit));
  }
  /* We block every signal and handle none, so there are no dispositions to reset: only the mask. */
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  exec_found(run);
  failed.err = errno;
  failed.stage = STAGE_EXEC;
  _exit(127);
}

struct spawned run_spawn(const struct run *run, int folder, int null_fd, int out_fd, int err_fd, volatile int32_t *page_pid) {
  if (run->cwd[0] != '/') return (struct spawned){0, STAGE_CHDIR, EINVAL};
  failed.stage = failed.err = 0;
  pid_t pid = vfork();
  if (pid == 0) child(run, folder, null_fd, out_fd, err_fd, page_pid);
  if (pid < 0) return (struct spawned){0, STAGE_FORK, errno};
  if (!failed.stage) return (struct spawned){pid, STAGE_NONE, 0};
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return (struct spawned){0, (enum stage)failed.stage, failed.err};
}
