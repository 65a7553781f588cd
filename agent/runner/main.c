/* airavata-runner: one program, three roles. `supervise` is started by the agent (or is the entry that starts the agent),
 * `run` by the supervisor, and an agent becomes `keep` when it hands over to a new program. See README.md and PROTOCOL.md. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keep.h"
#include "protocol.h"
#include "runner.h"
#include "supervisor.h"

#define EXIT_USAGE 3
/* Without an agent for this long, and with nothing running, the supervisor and its runners leave. */
#define IDLE_EXIT_SECONDS 600

static int usage(void) {
  fputs("usage: airavata-runner supervise STATE_DIR [--idle-exit SECONDS] [--agent ARGV...]\n"
        "       airavata-runner run STATE_DIR LANE SUPERVISOR_FD   (started by the supervisor)\n"
        "       airavata-runner keep PLAN                          (an agent that is updated becomes this)\n"
        "       airavata-runner --version\n",
        stderr);
  return EXIT_USAGE;
}

static int number(const char *text, unsigned long most, uint32_t *out) {
  char *end;
  errno = 0;
  unsigned long v = strtoul(text, &end, 10);
  if (errno || end == text || *end || v > most || *text == '-') return -1;
  *out = (uint32_t)v;
  return 0;
}

static int supervise(int argc, char **argv) {
  struct supervise_options o = {argv[2], IDLE_EXIT_SECONDS, NULL};
  for (int i = 3; i < argc; i++) {
    if (!strcmp(argv[i], "--agent") && i + 1 < argc) {
      o.agent_argv = argv + i + 1;
      break;
    }
    if (strcmp(argv[i], "--idle-exit") || i + 1 == argc || number(argv[++i], 1000000, &o.idle_exit_seconds)) return usage();
  }
  return supervisor_main(&o);
}

static int run(char **argv) {
  uint32_t lane, fd;
  if (number(argv[3], LANES_MAX - 1, &lane) || number(argv[4], 1 << 20, &fd)) return usage();
  if (chdir(argv[2]) < 0) {
    fprintf(stderr, "airavata-runner: %s: %s\n", argv[2], strerror(errno));
    return 1;
  }
  return runner_main(lane, (int)fd);
}

int main(int argc, char **argv) {
  int fd_spare;
  /* Whoever started us may have closed these; no socket or file of ours may take their place. */
  while ((fd_spare = open("/dev/null", O_RDWR)) >= 0 && fd_spare <= 2) {
  }
  if (fd_spare > 2) close(fd_spare);
  if (argc == 2 && !strcmp(argv[1], "--version")) {
    printf("airavata-runner %s protocol %u\n", PROGRAM_VERSION, PROTOCOL_VERSION);
    return 0;
  }
  if (argc >= 3 && !strcmp(argv[1], "supervise")) return supervise(argc, argv);
  if (argc == 5 && !strcmp(argv[1], "run")) return run(argv);
  if (argc == 3 && !strcmp(argv[1], "keep")) return keep_main(argv[2]);
  return usage();
}
