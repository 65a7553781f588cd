#define _GNU_SOURCE
#include "task.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "system.h"
#include "tree.h"

#define MS 1000000ull
/* A task that ends sooner is told by its end alone; nobody watches so closely. */
#define STARTED_DELAY_NS (5 * MS)
/* What SIGKILL does not end in this time hangs in the kernel or is not ours to kill: the lane goes on without it. */
#define GIVE_UP_NS (10000 * MS)
/* How often we look again while KILL does its work; usually SIGCHLD wakes us first. */
#define AGAIN_NS (5 * MS)
/* Longer times are cut to this so that no sum of times can overflow. */
#define TEN_YEARS_MS (10ull * 366 * 86400 * 1000)

static void put(struct news *news, const struct record *head, size_t head_size, const void *key, const void *out, const void *err,
                const struct storage *storage) {
  uint8_t *p = news->bytes + news->size;
  size_t n = head_size;
  memcpy(p, head, head_size);
  memcpy(p + n, key, head->key_size);
  n += head->key_size;
  if (head->kind == RECORD_ENDED) {
    memcpy(p + n, out, head->out_inline);
    n += head->out_inline;
    memcpy(p + n, err, head->err_inline);
    n += head->err_inline;
    if (head->flags & FLAG_STORAGE) {
      memcpy(p + n, storage, sizeof *storage);
      n += sizeof *storage;
    }
  }
  news->size += record_seal(p, n);
}

void task_put_started(struct task *t, struct results *results, struct news *news) {
  struct process p;
  t->started_due = 0;
  /* Once waited for, its number may be somebody else's. */
  if (!t->main_ended && !t->start_ticks && process_read(t->pid, &p) == 0)
    t->start_ticks = results->page->task_start_ticks = p.start_ticks;
  struct record r = {.kind = RECORD_STARTED,
                     .key_size = t->run->head.key_size,
                     .seq = t->seq,
                     .started_wall_ns = t->started_wall_ns,
                     .pid = t->pid,
                     .start_ticks = t->start_ticks};
  put(news, &r, STARTED_BYTES, t->run->key, NULL, NULL, NULL);
}

static uint16_t output_flags(const struct output *o, uint16_t cut, uint16_t file) {
  return (uint16_t)((output_cut(o) ? cut : 0) | (o->file >= 0 ? file : 0));
}

static uint32_t inline_bytes(const struct output *o) {
  if (o->file >= 0) return 0;
  return o->total < o->inline_limit ? (uint32_t)o->total : o->inline_limit;
}

static void put_ended(struct task *t, struct results *results, struct news *news) {
  bool exited = t->main_ended && WIFEXITED(t->status), signaled = t->main_ended && WIFSIGNALED(t->status);
  struct record r = {.kind = RECORD_ENDED,
                     .key_size = t->run->head.key_size,
                     .seq = results->page->next_seq++,
                     .started_wall_ns = t->started_wall_ns,
                     .pid = t->pid,
                     .start_ticks = t->start_ticks,
                     .ended_wall_ns = t->ended_wall_ns,
                     .duration_ns = t->ended_ns - t->started_ns,
                     .exit_code = exited ? WEXITSTATUS(t->status) : -1,
                     .signal = signaled ? WTERMSIG(t->status) : 0,
                     .stage = (uint8_t)t->stage,
                     .err = t->err,
                     .left_behind = t->left_behind,
                     .user_us = t->user_us,
                     .system_us = t->system_us,
                     .max_rss_bytes = t->max_rss_bytes,
                     .out_bytes = t->out.total,
                     .err_bytes = t->err_out.total,
                     .out_inline = inline_bytes(&t->out),
                     .err_inline = inline_bytes(&t->err_out)};
  r.cause = (uint8_t)(t->cause ? t->cause : signaled ? CAUSE_SIGNAL : CAUSE_EXIT);
  r.flags = output_flags(&t->out, FLAG_OUT_CUT, FLAG_OUT_FILE) | output_flags(&t->err_out, FLAG_ERR_CUT, FLAG_ERR_FILE);
  if (signaled && WCOREDUMP(t->status)) r.flags |= FLAG_CORE;
  if (t->left_behind) r.flags |= FLAG_LEFT_BEHIND;
  if (t->folder_empty) r.flags |= FLAG_FOLDER_EMPTY;
  struct storage storage = {t->blocks_read, t->blocks_written};
  if (storage.blocks_read || storage.blocks_written) r.flags |= FLAG_STORAGE;
  put(news, &r, sizeof r, t->run->key, t->out.head, t->err_out.head, &storage);
}

static void close_folder(struct task *t) {
  if (t->folder >= 0) close(t->folder);
  t->folder = -1;
}

/* Everything about the task is known: its record, and nothing of it is kept. */
static void finish(struct task *t, struct results *results, struct news *news) {
  output_finish(&t->err_out);
  output_finish(&t->out);
  if (!t->cause && (t->out.err || t->err_out.err)) task_disk(t, STAGE_OUTPUT, t->out.err ? t->out.err : t->err_out.err);
  t->started_due = 0;
  /* What could not be ended may still write there. */
  if (t->run->head.flags & RUN_MAKE_FOLDER && !t->left_behind) t->folder_empty = folder_keep(t->run->cwd, t->folder);
  close_folder(t);
  put_ended(t, results, news);
  run_free(t->run);
  t->run = NULL;
  t->phase = TASK_NONE;
}

void task_disk(struct task *t, enum stage stage, int err) {
  t->cause = CAUSE_DISK;
  t->stage = stage;
  t->err = err;
}

/* Is that file directly in that folder? */
static bool is_in(const char *path, const char *folder) {
  size_t n = strlen(folder);
  return !strncmp(path, folder, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

static enum stage open_outputs(struct task *t) {
  const struct run *run = t->run;
  t->out.read_end = t->out.write_end = t->out.folder = t->out.file = -1;
  t->err_out.read_end = t->err_out.write_end = t->err_out.folder = t->err_out.file = -1;
  if (run->head.flags & RUN_MAKE_FOLDER && (t->folder = folder_make(run->cwd)) < 0) return STAGE_FOLDER;
  int shared = t->folder >= 0 && is_in(run->out_path, run->cwd) ? t->folder : -1;
  enum stage failed = output_open(&t->out, run->out_path, run->head.output_limit, run->head.inline_limit, shared);
  if (failed) return failed;
  shared = t->folder >= 0 && is_in(run->err_path, run->cwd) ? t->folder : -1;
  return output_open(&t->err_out, run->err_path, run->head.output_limit, run->head.inline_limit, shared);
}

void task_start(struct task *t, struct run *run, struct results *results, int null_fd, struct news *news) {
  struct page *page = results->page;
  /* Not a memset: the inline buffers are 8 KiB that need no clearing. */
  t->run = run;
  t->pid = 0;
  t->main_ended = t->folder_empty = false;
  t->folder = -1;
  t->status = 0;
  t->cause = 0;
  t->stage = STAGE_NONE;
  t->err = 0;
  t->start_ticks = t->time_limit_at = t->kill_at = t->give_up_at = t->started_due = 0;
  t->user_us = t->system_us = t->max_rss_bytes = 0;
  t->blocks_read = t->blocks_written = 0;
  t->left_behind = 0;
  t->out.total = t->err_out.total = 0;
  t->out.err = t->err_out.err = 0;
  t->seq = page->next_seq++;
  page->phase = PAGE_IDLE;
  page->task_pid = 0;
  page->task_seq = t->seq;
  page->task_start_ticks = 0;
  page->key_size = run->head.key_size;
  memcpy(page->key, run->key, run->head.key_size);
  t->started_wall_ns = page->task_started_wall_ns = wall_ns();
  page->task_started_boot_ns = boot_ns();
  t->started_ns = monotonic_ns();
  /* From here on our death means that the task may have run. */
  page->phase = PAGE_STARTING;

  struct spawned s = {0, open_outputs(t), 0};
  if (s.stage)
    s.err = errno;
  else if (!results_reserve(results))
    s = (struct spawned){0, STAGE_RECORD, errno};
  else
    s = run_spawn(run, t->folder, null_fd, t->out.write_end, t->err_out.write_end, &page->task_pid);
  if (!s.pid) {
    output_close(&t->out);
    output_close(&t->err_out);
    t->out.file = t->err_out.file = -1;
    t->cause = s.stage == STAGE_RECORD ? CAUSE_DISK : CAUSE_SPAWN;
    t->stage = s.stage;
    t->err = s.err;
    t->ended_wall_ns = wall_ns();
    t->ended_ns = monotonic_ns();
    if (run->head.flags & RUN_MAKE_FOLDER && s.stage != STAGE_FOLDER) t->folder_empty = folder_keep(run->cwd, t->folder);
    close_folder(t);
    put_ended(t, results, news);
    run_free(run);
    t->run = NULL;
    t->phase = TASK_NONE;
    return;
  }
  t->pid = s.pid;
  page->phase = PAGE_RUNNING;
  t->phase = TASK_RUNNING;
  t->started_due = t->started_ns + STARTED_DELAY_NS;
  if (run->head.wall_ms) {
    uint64_t ms = run->head.wall_ms < TEN_YEARS_MS ? run->head.wall_ms : TEN_YEARS_MS;
    t->time_limit_at = t->started_ns + ms * MS;
  }
}

static void kill_now(struct task *t) {
  if (t->phase != TASK_KILLING) {
    t->phase = TASK_KILLING;
    t->give_up_at = monotonic_ns() + GIVE_UP_NS;
  }
  tree_kill_children(true, NULL, NULL);
  t->kill_at = monotonic_ns() + AGAIN_NS;
}

void task_end(struct task *t, enum cause cause, uint32_t grace_ms) {
  if (t->phase == TASK_NONE || t->phase == TASK_KILLING) return;
  if (!t->cause) t->cause = cause;
  uint64_t kill_at = monotonic_ns() + grace_ms * MS;
  if (!grace_ms) {
    kill_now(t);
  } else if (t->phase == TASK_RUNNING) {
    t->phase = TASK_TERMINATING;
    t->kill_at = kill_at;
    t->time_limit_at = 0;
    tree_signal(getpid(), SIGTERM);
  } else if (kill_at < t->kill_at) {
    t->kill_at = kill_at;
  }
}

static void account(struct task *t, const struct rusage *u) {
  uint64_t rss = (uint64_t)u->ru_maxrss * 1024;
  t->user_us += (uint64_t)u->ru_utime.tv_sec * 1000000u + (uint64_t)u->ru_utime.tv_usec;
  t->system_us += (uint64_t)u->ru_stime.tv_sec * 1000000u + (uint64_t)u->ru_stime.tv_usec;
  if (rss > t->max_rss_bytes) t->max_rss_bytes = rss;
  t->blocks_read += (uint64_t)u->ru_inblock;
  t->blocks_written += (uint64_t)u->ru_oublock;
}

/* True when we have no child left. */
static bool reap(struct task *t) {
  int status;
  struct rusage usage;
  for (;;) {
    pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid == 0) return false;
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return true;
    account(t, &usage);
    if (pid == t->pid) {
      t->main_ended = true;
      t->status = status;
      t->ended_wall_ns = wall_ns();
      t->ended_ns = monotonic_ns();
    }
  }
}

static void count_one(pid_t child, void *arg) {
  (void)child;
  ++*(uint32_t *)arg;
}

bool task_step(struct task *t, struct results *results, struct news *news, bool children_died) {
  uint64_t now = 0;
  if (children_died && reap(t)) {
    finish(t, results, news);
    return true;
  }
  if (t->phase == TASK_RUNNING && t->main_ended) {
    /* The task is done; what it left in the background does not outlive it. */
    kill_now(t);
    if (reap(t)) {
      finish(t, results, news);
      return true;
    }
  }
  if (t->phase == TASK_KILLING && children_died) kill_now(t);
  if (t->time_limit_at || t->kill_at) now = monotonic_ns();
  if (t->phase == TASK_RUNNING && t->time_limit_at && now >= t->time_limit_at) task_end(t, CAUSE_TIMEOUT, t->run->head.grace_ms);
  if (t->phase == TASK_TERMINATING && now >= t->kill_at) kill_now(t);
  if (t->phase == TASK_KILLING && now >= t->kill_at) {
    kill_now(t);
    bool gone = reap(t);
    if (!gone && now >= t->give_up_at) {
      tree_each_child(getpid(), count_one, &t->left_behind);
      gone = true;
      if (!t->main_ended) {
        t->ended_wall_ns = wall_ns();
        t->ended_ns = now;
      }
      note("%u processes of task %.*s could not be ended", t->left_behind, (int)t->run->head.key_size, t->run->key);
    }
    if (gone) {
      finish(t, results, news);
      return true;
    }
  }
  return false;
}

uint64_t task_deadline(const struct task *t) {
  if (t->phase == TASK_NONE) return 0;
  uint64_t at = t->phase == TASK_RUNNING ? t->time_limit_at : t->kill_at;
  if (t->started_due && (!at || t->started_due < at)) at = t->started_due;
  return at;
}

void task_put_unstarted(const char *key, uint32_t key_size, enum cause cause, enum stage stage, int err,
                        const struct page *lost, struct results *results, struct news *news) {
  struct record r = {.kind = RECORD_ENDED,
                     .key_size = (uint16_t)key_size,
                     .seq = results->page->next_seq++,
                     .cause = (uint8_t)cause,
                     .stage = (uint8_t)stage,
                     .err = err,
                     .ended_wall_ns = wall_ns(),
                     .exit_code = -1};
  if (lost) {
    r.started_wall_ns = lost->task_started_wall_ns;
    r.pid = lost->task_pid;
    r.start_ticks = lost->task_start_ticks;
  }
  put(news, &r, sizeof r, key, "", "", NULL);
}
