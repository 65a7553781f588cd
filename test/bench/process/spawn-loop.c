/* A C posix_spawn loop: starts PROGRAM so often, so many at once, and waits for each; nothing else. */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
  if (argc < 4) {
    fputs("usage: spawn-loop COUNT AT_ONCE PROGRAM [ARGUMENT…]\n", stderr);
    return 3;
  }
  long count = atol(argv[1]), most = atol(argv[2]), started = 0, ended = 0;
  while (ended < count) {
    while (started < count && started - ended < most) {
      pid_t pid;
      int err = posix_spawn(&pid, argv[3], NULL, NULL, argv + 3, environ);
      if (err) {
        fprintf(stderr, "spawn-loop: %s: %s\n", argv[3], strerror(err));
        return 1;
      }
      started++;
    }
    int status;
    if (wait(&status) < 0) {
      if (errno == EINTR) continue;
      perror("spawn-loop: wait");
      return 1;
    }
    if (status) {
      fprintf(stderr, "spawn-loop: %s ended with status %d\n", argv[3], status);
      return 1;
    }
    ended++;
  }
  return 0;
}
