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
#include <sys/vfs.h>
#include <unistd.h>

#include "system.h"

/* Two clock ticks of a kernel at 100 Hz: file systems stamp changes with the time of the latest tick. */
#define TICKS_NS (20 * 1000000ull)

/* What `…/INDEX/ATTEMPT` is in, held open, because most tasks of a lane are in the same. */
static char root[PATH_MAX];
static int root_fd = -1;
/* One for the next task, below the root; "": none. */
static char kept_index[NAME_MAX + 1], kept_attempt[NAME_MAX + 1];

/* The folder that is in use, when it could be said from its time of change alone that nothing happened in it. */
static struct timespec stamp;
static ino_t stamp_inode;
static uint64_t stamp_seen_ns; /* monotonic: when we first saw that stamp */
static bool stamp_tells;

struct name {
  char root[PATH_MAX], index[NAME_MAX + 1], attempt[NAME_MAX + 1];
};

static bool name_of(const char *path, struct name *n) {
  const char *last = strrchr(path, '/'), *middle = last;
  while (middle && middle > path && middle[-1] != '/') middle--;
  size_t root_size = middle ? (size_t)(middle - path) : 0;
  if (root_size < 2 || root_size > PATH_MAX || !last[1] || strlen(last + 1) > NAME_MAX || last == middle || last - middle > NAME_MAX) {
    errno = EINVAL;
    return false;
  }
  memcpy(n->root, path, root_size - 1);
  n->root[root_size - 1] = 0;
  memcpy(n->index, middle, (size_t)(last - middle));
  n->index[last - middle] = 0;
  strcpy(n->attempt, last + 1);
  return true;
}

struct entry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

/* How many entries a folder has, counted up to three; -1 when it cannot be read. */
static int entries(int at, const char *name) {
  /* Dots and two more fill 96 bytes unless their names are long: one answer tells enough. */
  uint64_t buffer[128];
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  int count = n < 0 ? -1 : 0;
  for (long offset = 0; offset < n && count < 3;) {
    const struct entry *e = (const struct entry *)((const char *)buffer + offset);
    if (strcmp(e->name, ".") && strcmp(e->name, "..")) count++;
    offset += e->size;
  }
  close(fd);
  return count;
}

/* Only what is empty goes. */
static void remove_both(const char *index, const char *attempt) {
  char path[2 * NAME_MAX + 3];
  snprintf(path, sizeof path, "%s/%s", index, attempt);
  if (unlinkat(root_fd, path, AT_REMOVEDIR) == 0) unlinkat(root_fd, index, AT_REMOVEDIR);
}

/* Gives the kept folder the new name: the one it is in is moved, and then its own name set right. */
static bool reuse(int to, const struct name *n) {
  if (!*kept_index) return false;
  /* Moving the one it is in must not move another attempt along, which may have come into it meanwhile. */
  if (entries(root_fd, kept_index) != 1) {
    folder_drop();
    return false;
  }
  /* Onto a folder that another attempt is in this fails, and the kept one stays for a later task. */
  if (renameat(root_fd, kept_index, to, n->index) < 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) *kept_index = 0;
    return false;
  }
  *kept_index = 0;
  if (!strcmp(kept_attempt, n->attempt)) return true;
  char from[2 * NAME_MAX + 3], moved[2 * NAME_MAX + 3];
  snprintf(from, sizeof from, "%s/%s", n->index, kept_attempt);
  snprintf(moved, sizeof moved, "%s/%s", n->index, n->attempt);
  return renameat(to, from, to, moved) == 0;
}

static bool make(int at, const struct name *n) {
  char path[2 * NAME_MAX + 3], aside[sizeof path + 40];
  snprintf(path, sizeof path, "%s/%s", n->index, n->attempt);
  if (mkdirat(at, n->index, 0777) < 0 && errno != EEXIST) return false;
  if (mkdirat(at, path, 0777) == 0) return true;
  if (errno != EEXIST) return false;
  snprintf(aside, sizeof aside, "%s.former-%llu", path, (unsigned long long)wall_ns());
  return renameat(at, path, at, aside) == 0 && mkdirat(at, path, 0777) == 0;
}

/* Whether the file systems of our own kernel that stamp changes to the tick are what this is on; others may count in
 * seconds, or by another machine's clock. */
static bool stamps_are_fine(int fd) {
  struct statfs fs;
  if (fstatfs(fd, &fs) < 0) return false;
  return fs.f_type == 0xef53 /* ext4 */ || fs.f_type == 0x58465342 /* xfs */ || fs.f_type == 0x01021994 /* tmpfs */;
}

/* A stamp tells that nothing has changed since if it was there two ticks before, and has a fraction of a second. */
static void look(int fd) {
  static dev_t known;
  static bool fine;
  struct stat st;
  uint64_t now = monotonic_ns();
  stamp_tells = false;
  if (fstat(fd, &st) < 0) return;
  if (st.st_dev != known || !known) {
    known = st.st_dev;
    fine = stamps_are_fine(fd);
  }
  if (st.st_ino != stamp_inode || st.st_ctim.tv_sec != stamp.tv_sec || st.st_ctim.tv_nsec != stamp.tv_nsec) {
    stamp_inode = st.st_ino;
    stamp = st.st_ctim;
    stamp_seen_ns = now;
  }
  stamp_tells = fine && stamp.tv_nsec && now - stamp_seen_ns > TICKS_NS;
}

int folder_make(const char *path) {
  struct name n;
  if (!name_of(path, &n)) return -1;
  for (int tries = 0;; tries++) {
    int at = root_fd;
    bool fresh = at < 0 || strcmp(root, n.root);
    if (fresh && (at = open(n.root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) return -1;
    bool made = reuse(at, &n) || make(at, &n);
    int err = errno;
    if (fresh) {
      /* What is kept is below the old root. */
      folder_drop();
      if (root_fd >= 0) close(root_fd);
      root_fd = at;
      strcpy(root, n.root);
    }
    if (made) break;
    /* The root may have been removed and made anew since we opened it. */
    errno = err;
    if (fresh || err != ENOENT || tries) return -1;
    folder_drop();
    close(root_fd);
    root_fd = -1;
  }
  char below[2 * NAME_MAX + 3];
  snprintf(below, sizeof below, "%s/%s", n.index, n.attempt);
  int folder = openat(root_fd, below, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder >= 0) look(folder);
  return folder;
}

/* Looks: is it that folder still, with its rights, and nothing in it? */
static bool left_empty(const char *path, int folder) {
  struct stat st, now;
  mode_t mask = umask(022);
  umask(mask);
  if (lstat(path, &st) < 0 || fstat(folder, &now) < 0 || st.st_ino != now.st_ino || st.st_dev != now.st_dev) return false;
  return (st.st_mode & 07777) == (0777 & ~mask) && st.st_uid == geteuid() && entries(AT_FDCWD, path) == 0;
}

bool folder_keep(const char *path, int folder) {
  struct stat st;
  struct name n;
  if (!name_of(path, &n) || strcmp(n.root, root)) return false;
  bool same = stamp_tells && fstat(folder, &st) == 0 && st.st_ino == stamp_inode && st.st_ctim.tv_sec == stamp.tv_sec &&
              st.st_ctim.tv_nsec == stamp.tv_nsec;
  if (!same && !left_empty(path, folder)) return false;
  if (*kept_index) {
    remove_both(n.index, n.attempt);
    return true;
  }
  strcpy(kept_index, n.index);
  strcpy(kept_attempt, n.attempt);
  return true;
}

void folder_drop(void) {
  if (*kept_index) remove_both(kept_index, kept_attempt);
  *kept_index = 0;
}
