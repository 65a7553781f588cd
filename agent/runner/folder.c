#define _GNU_SOURCE
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system.h"

/* One for the next task, or "". */
static char kept[PATH_MAX];

/* The folder that `path` is in. */
static bool parent_of(const char *path, char parent[PATH_MAX]) {
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) : 0;
  if (!n || n >= PATH_MAX || !slash[1]) {
    errno = EINVAL;
    return false;
  }
  memcpy(parent, path, n);
  parent[n] = 0;
  return true;
}

/* Only what is empty goes. */
static void remove_both(const char *path) {
  char parent[PATH_MAX];
  if (rmdir(path) == 0 && parent_of(path, parent)) rmdir(parent);
}

/* Gives the kept folder the new name: the one it is in is moved, and then its own name set right. */
static bool reuse(const char *path, const char *parent) {
  char from[PATH_MAX], moved[PATH_MAX];
  if (!*kept || !parent_of(kept, from)) return false;
  int n = snprintf(moved, sizeof moved, "%s%s", parent, strrchr(kept, '/'));
  if (n < 0 || (size_t)n >= sizeof moved) return false;
  /* Onto a folder that another attempt is in this fails, and the kept one stays for a later task. */
  if (rename(from, parent) < 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) *kept = 0;
    return false;
  }
  *kept = 0;
  return !strcmp(moved, path) || rename(moved, path) == 0;
}

int folder_make(const char *path) {
  char parent[PATH_MAX], aside[PATH_MAX];
  if (!parent_of(path, parent)) return -1;
  if (reuse(path, parent)) return 0;
  if (mkdir(parent, 0777) < 0 && errno != EEXIST) return -1;
  if (mkdir(path, 0777) == 0) return 0;
  if (errno != EEXIST) return -1;
  int n = snprintf(aside, sizeof aside, "%s.former-%llu", path, (unsigned long long)wall_ns());
  if (n < 0 || (size_t)n >= sizeof aside) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return rename(path, aside) < 0 ? -1 : mkdir(path, 0777);
}

struct entry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

/* How many entries it has, counted up to three; -1 when it cannot be read. */
static int entries(int fd) {
  /* Dots and two more fill 96 bytes unless their names are long: one answer tells enough. */
  uint64_t buffer[128];
  long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  int count = n < 0 ? -1 : 0;
  for (long at = 0; at < n && count < 3;) {
    const struct entry *e = (const struct entry *)((const char *)buffer + at);
    if (strcmp(e->name, ".") && strcmp(e->name, "..")) count++;
    at += e->size;
  }
  return count;
}

static int entries_of(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  int count = entries(fd);
  close(fd);
  return count;
}

bool folder_keep(const char *path) {
  struct stat st;
  char parent[PATH_MAX];
  mode_t mask = umask(022);
  umask(mask);
  if (lstat(path, &st) < 0 || (st.st_mode & 07777) != (0777 & ~mask) || st.st_uid != geteuid()) return false;
  if (entries_of(path) != 0 || !parent_of(path, parent)) return false;
  /* Moving the one it is in must not move another attempt along. */
  if (*kept || entries_of(parent) != 1 || strlen(path) >= sizeof kept) {
    remove_both(path);
    return true;
  }
  strcpy(kept, path);
  return true;
}

void folder_drop(void) {
  if (*kept) remove_both(kept);
  *kept = 0;
}
