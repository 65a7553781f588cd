#define _GNU_SOURCE
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX_BYTES (256 << 10)

static uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t wall_ns(void) { return clock_ns(CLOCK_REALTIME); }
uint64_t monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t boot_ns(void) { return clock_ns(CLOCK_BOOTTIME); }

static ssize_t read_small(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, buffer, size - 1);
  close(fd);
  if (n >= 0) buffer[n] = 0;
  return n;
}

int process_read(pid_t pid, struct process *out) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (read_small(path, text, sizeof text) <= 0) return -1;
  /* The name stands in parentheses and may itself hold any character, so count from the last one. */
  char *p = strrchr(text, ')');
  if (!p || p[1] != ' ') return -1;
  p += 2;
  out->state = *p;
  for (int field = 3; *p; field++) {
    char *end = strchr(p, ' ');
    if (field == 4) out->parent = (pid_t)strtol(p, NULL, 10);
    if (field == 6) out->session = (pid_t)strtol(p, NULL, 10);
    if (field == 22) {
      out->start_ticks = strtoull(p, NULL, 10);
      return 0;
    }
    if (!end) break;
    p = end + 1;
  }
  return -1;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

void boot_id_read(uint8_t id[16]) {
  char text[64];
  memset(id, 0, 16);
  if (read_small("/proc/sys/kernel/random/boot_id", text, sizeof text) <= 0) return;
  int digits = 0;
  for (char *p = text; *p && digits < 32; p++) {
    int v = hex_value(*p);
    if (v < 0) continue;
    id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | v);
    digits++;
  }
}

static int address_of(const char *name, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(name) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, name);
  return 0;
}

int socket_listen(const char *name) {
  struct sockaddr_un address;
  if (address_of(name, &address) < 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  /* Whoever asks for this name holds the flock that goes with it, so what lies there is a dead one's. */
  unlink(name);
  mode_t before = umask(0177);
  int failed = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0;
  int err = errno;
  umask(before);
  if (!failed) return fd;
  close(fd);
  errno = err;
  return -1;
}

int socket_connect(const char *name) {
  struct sockaddr_un address;
  if (address_of(name, &address) < 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int err = errno;
  close(fd);
  errno = err;
  return -1;
}

bool socket_peer_is_ours(int fd, pid_t *pid) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return false;
  *pid = peer.pid;
  return peer.uid == geteuid() || peer.uid == 0;
}

void close_inherited(int from) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, (unsigned)from, ~0u, 0u) == 0) return;
#endif
  /* Linux before 5.9. */
  DIR *dir = opendir("/proc/self/fd");
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));) {
    int fd = atoi(e->d_name);
    if (fd >= from && fd != dirfd(dir)) close(fd);
  }
  closedir(dir);
}

const char *note_role = "runner";
bool note_owns_log = true;

void note(const char *format, ...) {
  char line[512];
  struct stat st;
  if (note_owns_log && fstat(2, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LOG_MAX_BYTES && ftruncate(2, 0) < 0) return;
  time_t now = time(NULL);
  struct tm tm;
  gmtime_r(&now, &tm);
  size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%SZ ", &tm);
  n += (size_t)snprintf(line + n, sizeof line - n, "%s %d: ", note_role, (int)getpid());
  va_list args;
  va_start(args, format);
  int written = vsnprintf(line + n, sizeof line - n - 1, format, args);
  va_end(args);
  n += written < 0 ? 0 : (size_t)written;
  if (n > sizeof line - 2) n = sizeof line - 2;
  line[n++] = '\n';
  if (write(2, line, n) < 0) return;
}
