/* A run as the agent asked for it, decoded from its frame and checked, and its start: vfork, and in the child process
 * session, cgroup, limits, folder, descriptors, execve of exactly that argv and environment. No shell, nothing
 * inherited. */
#ifndef RUN_H
#define RUN_H

#include <sys/types.h>

#include "protocol.h"

struct run {
  struct run_head head;
  const char *key; /* not NUL-ended */
  const uint8_t *limits;
  const char *cwd, *out_path, *err_path, *cgroup;
  char **argv, **envp;
  uint32_t bytes; /* of its frame */
  uint8_t frame[];
};

/* NULL when the frame is malformed (or there is no memory). Free it with run_free(). */
struct run *run_decode(const uint8_t *body, uint32_t size);
void run_free(struct run *run);

struct spawned {
  pid_t pid; /* 0 when it failed */
  enum stage stage;
  int err;
};
/* It starts in `folder`, or where that is -1 in run->cwd. Writes the pid into `page_pid` before the program can run, so that it is on record even if we die this instant. */
struct spawned run_spawn(const struct run *run, int folder, int null_fd, int out_fd, int err_fd, volatile int32_t *page_pid);

#endif
