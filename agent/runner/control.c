#define _GNU_SOURCE
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system.h"

static uint32_t u32_at(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

static uint64_t u64_at(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

void control_welcome(struct runner *r, struct conn *c) {
  struct welcome w = {.version = PROTOCOL_VERSION,
                      .pid = getpid(),
                      .start_ticks = r->page->runner_start_ticks,
                      .lane = r->lane,
                      .queue_max = QUEUE_MAX};
  memcpy(w.boot_id, r->page->boot_id, sizeof w.boot_id);
  conn_put(c, FRAME_WELCOME, &w, sizeof w, NULL, 0);
}

void control_accept(struct runner *r) {
  int fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct conn *free_place = &r->guests[0];
  for (int i = GUESTS_MAX - 1; i >= 0; i--)
    if (r->guests[i].fd < 0) free_place = &r->guests[i];
  /* Whoever says nothing makes room for the next. */
  if (free_place->fd >= 0) conn_close(free_place);
  conn_open(free_place, fd);
  if (!socket_peer_is_ours(fd, &free_place->peer))
    conn_refuse(free_place, ERROR_PEER, "This runner serves only processes of its own user.");
}

static void put_held(struct runner *r, enum held_phase phase, const struct run *run) {
  struct held h = {.phase = phase, .key_size = run->head.key_size};
  if (phase == HELD_RUNNING) {
    struct process p;
    struct task *t = &r->task;
    if (!t->start_ticks && !t->main_ended && process_read(t->pid, &p) == 0)
      t->start_ticks = r->page->task_start_ticks = p.start_ticks;
    h.pid = t->pid;
    h.start_ticks = t->start_ticks;
    h.started_wall_ns = t->started_wall_ns;
  }
  conn_put(&r->agent, FRAME_HELD, &h, sizeof h, run->key, run->head.key_size);
}

/* Tells a new agent all that is held: what runs, what waits, and (by the pump, from the file) what has ended. */
static void tell_agent(struct runner *r) {
  r->agent_number++;
  control_welcome(r, &r->agent);
  if (r->task.phase != TASK_NONE) put_held(r, HELD_RUNNING, r->task.run);
  for (uint32_t i = 0; i < r->queue_count; i++) put_held(r, HELD_QUEUED, r->queue[i]);
  if (r->unwritten.size) {
    for (size_t at = 0; at < r->unwritten.size;) {
      uint32_t size = u32_at(r->unwritten.bytes + at + offsetof(struct record, size));
      conn_put(&r->agent, FRAME_RECORD, r->unwritten.bytes + at, size, NULL, 0);
      at += size;
    }
  }
  r->told_through = 0;
  r->behind = true;
  r->ready_sent = false;
}

void control_guest(struct runner *r, struct conn *guest) {
  struct frame f;
  bool there = conn_read(guest);
  int got = conn_frame(guest, &f);
  if (got == 0) {
    if (!there) conn_close(guest);
    return;
  }
  if (got < 0 || f.type != FRAME_HELLO || f.size != 12) {
    conn_refuse(guest, ERROR_FRAME, "The first frame must be a hello of 12 bytes.");
    return;
  }
  if (u32_at(f.body) != PROTOCOL_VERSION) {
    char sentence[160];
    snprintf(sentence, sizeof sentence, "This runner speaks version %u of the control protocol, the peer version %u.", PROTOCOL_VERSION,
             u32_at(f.body));
    conn_refuse(guest, ERROR_VERSION, sentence);
    return;
  }
  uint32_t role = u32_at(f.body + 4);
  if (role != ROLE_AGENT && role != ROLE_SUPERVISOR) {
    conn_refuse(guest, ERROR_FRAME, "The role in the hello must be agent (1) or supervisor (2).");
    return;
  }
  struct conn *place = role == ROLE_AGENT ? &r->agent : &r->boss;
  if (place->fd >= 0 && (role == ROLE_SUPERVISOR || conn_peer_gone(place))) conn_close(place);
  if (place->fd >= 0) {
    char sentence[160];
    snprintf(sentence, sizeof sentence, "Lane %u is in use by the agent with process id %d: stop that agent first.", r->lane,
             (int)place->peer);
    conn_refuse(guest, ERROR_BUSY, sentence);
    return;
  }
  *place = *guest;
  place->role = role;
  conn_open(guest, -1);
  if (role == ROLE_AGENT)
    tell_agent(r);
  else
    control_welcome(r, place);
  /* What it sent right behind the hello is in the buffer already. */
  control_serve(r, place);
}

static bool same_key(const struct run *run, const uint8_t *key, size_t size) {
  return run->head.key_size == size && !memcmp(run->key, key, size);
}

static int find_queued(const struct runner *r, const uint8_t *key, size_t size) {
  for (uint32_t i = 0; i < r->queue_count; i++)
    if (same_key(r->queue[i], key, size)) return (int)i;
  return -1;
}

static bool is_running(const struct runner *r, const uint8_t *key, size_t size) {
  return r->task.phase != TASK_NONE && same_key(r->task.run, key, size);
}

static void drop_queued(struct runner *r, int i) {
  struct run *run = r->queue[i];
  runner_unqueue(r, (uint32_t)i);
  run_free(run);
}

static void answer(struct runner *r, struct conn *c, uint32_t request, enum answer what) {
  uint32_t body[2] = {request, what};
  /* A peer that does not read loses its connection rather than an answer: it asks again on the next one. */
  if (!conn_put(c, FRAME_ANSWER, body, sizeof body, NULL, 0)) conn_close(c);
  r->tell_at = 0;
}

static bool on_run(struct runner *r, const struct frame *f) {
  struct run *run = run_decode(f->body, f->size);
  if (!run) return false;
  const uint8_t *key = (const uint8_t *)run->key;
  if (is_running(r, key, run->head.key_size) || find_queued(r, key, run->head.key_size) >= 0) {
    /* Sent again after a reconnect: it is held already. */
    run_free(run);
    return true;
  }
  if (r->queue_count == QUEUE_MAX || (r->queue_count && r->queue_bytes + run->bytes > QUEUE_MAX_BYTES)) {
    run_free(run);
    return false;
  }
  r->queue_bytes += run->bytes;
  r->queue_from[r->queue_count] = r->agent_number;
  r->queue[r->queue_count++] = run;
  if (r->queue_count > r->queue_high) r->queue_high = r->queue_count;
  return true;
}

static void on_kill(struct runner *r, struct conn *c, const struct frame *f) {
  const uint8_t *key = f->body + 8;
  size_t key_size = f->size - 8;
  int i = find_queued(r, key, key_size);
  if (is_running(r, key, key_size)) {
    answer(r, c, u32_at(f->body), ANSWER_RUNNING);
    task_end(&r->task, CAUSE_KILLED, u32_at(f->body + 4));
  } else if (i >= 0) {
    answer(r, c, u32_at(f->body), ANSWER_REMOVED);
    task_put_unstarted(r->queue[i]->key, r->queue[i]->head.key_size, CAUSE_KILLED, STAGE_NONE, 0, NULL, &r->results, &r->news);
    drop_queued(r, i);
    runner_settle(r);
  } else {
    answer(r, c, u32_at(f->body), ANSWER_UNKNOWN);
  }
}

static void on_recall(struct runner *r, struct conn *c, const struct frame *f) {
  const uint8_t *key = f->body + 4;
  int i = find_queued(r, key, f->size - 4);
  if (i >= 0) drop_queued(r, i);
  answer(r, c, u32_at(f->body), i >= 0                                ? ANSWER_REMOVED
                             : is_running(r, key, f->size - 4) ? ANSWER_RUNNING
                                                                   : ANSWER_UNKNOWN);
}

static void on_ack(struct runner *r, const struct frame *f) {
  for (uint32_t at = 0; at < f->size; at += 8) {
    uint64_t seq = u64_at(f->body + at);
    results_ack(&r->results, seq);
    if (r->unwritten.size) {
      /* Acknowledged although the disk never took it: then it need not be written any more. */
      struct record head;
      memcpy(&head, r->unwritten.bytes, STARTED_BYTES);
      if (head.seq == seq) {
        r->unwritten.size -= head.size;
        memmove(r->unwritten.bytes, r->unwritten.bytes + head.size, r->unwritten.size);
        if (!r->unwritten.size && r->task.phase == TASK_NONE) r->page->phase = PAGE_IDLE;
      }
    }
  }
}

static void on_read(struct runner *r, struct conn *c, const struct frame *f) {
  static uint8_t bytes[READ_MAX_BYTES];
  struct __attribute__((packed)) {
    uint32_t request, known;
    uint64_t offset, total;
  } head = {u32_at(f->body), 0, 0, 0};
  uint64_t offset = u64_at(f->body + 8);
  uint32_t most = u32_at(f->body + 16);
  size_t n = 0;
  if (is_running(r, f->body + 20, f->size - 20)) {
    struct output *o = u32_at(f->body + 4) == 2 ? &r->task.err_out : &r->task.out;
    head.known = 1;
    n = output_read(o, &offset, bytes, most < READ_MAX_BYTES ? most : READ_MAX_BYTES);
    head.total = o->total;
  }
  head.offset = offset;
  if (!conn_put(c, FRAME_DATA, &head, sizeof head, bytes, n)) conn_close(c);
  r->tell_at = 0;
}

static bool key_fits(const struct frame *f, uint32_t before) {
  return f->size > before && f->size - before <= KEY_MAX_BYTES;
}

/* False: not a frame that this peer may send. */
static bool obey(struct runner *r, struct conn *c, const struct frame *f) {
  bool agent = c->role == ROLE_AGENT;
  switch (f->type) {
    case FRAME_RUN:
      return agent && on_run(r, f);
    case FRAME_KILL:
      if (!agent || !key_fits(f, 8)) return false;
      on_kill(r, c, f);
      return true;
    case FRAME_RECALL:
      if (!agent || !key_fits(f, 4)) return false;
      on_recall(r, c, f);
      return true;
    case FRAME_ACK:
      if (!agent || f->size % 8) return false;
      on_ack(r, f);
      return true;
    case FRAME_READ:
      if (!agent || !key_fits(f, 20)) return false;
      on_read(r, c, f);
      return true;
    case FRAME_RETIRE:
      if (agent || f->size) return false;
      r->retiring = true;
      return true;
    case FRAME_WELCOME:
    case FRAME_ERROR:
      /* A supervisor answers nothing; tolerated so that it may one day. */
      return !agent;
    default:
      return false;
  }
}

void control_serve(struct runner *r, struct conn *c) {
  struct frame f;
  bool there = conn_read(c);
  int got;
  while (c->fd >= 0 && (got = conn_frame(c, &f)) != 0) {
    if (got < 0 || !obey(r, c, &f)) {
      char sentence[160];
      snprintf(sentence, sizeof sentence, "The frame of type %u is malformed, too much, or not for this role.", got < 0 ? 0u : f.type);
      note("%s", sentence);
      conn_refuse(c, ERROR_FRAME, sentence);
      return;
    }
  }
  if (!there && c->fd >= 0) conn_close(c);
}
