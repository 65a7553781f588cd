/* The numbers of the control protocol, the results file and the lane page. PROTOCOL.md says the same in words, and
 * agent/run/supervisor/frames.ts mirrors it for the agent. Everything is little endian, as are both machines we build
 * for. Layouts never change under the same version: a new layout is a new version. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames and records are written as they lie in memory");

#define PROGRAM_VERSION "1.0.0"
#define PROTOCOL_VERSION 1u

/* Linux lets an execve carry 2 MiB of arguments and environment under the usual 8 MiB stack (a quarter of it); twice
 * that leaves room for everything else in the frame. */
#define FRAME_MAX_BYTES (4u << 20)
#define FRAME_HEAD_BYTES 8u
/* Before a peer has said hello it may send that, and nothing longer. */
#define HELLO_MAX_BYTES 64u
/* One pointer costs execve nine bytes at least (pointer and NUL), so 2 MiB hold fewer than 233,017 strings. */
#define STRINGS_MAX 262144u
#define KEY_MAX_BYTES 200u
#define LIMITS_MAX 32u
#define LANES_MAX 1024u
/* Runs that wait behind the one that runs. One or two is what agents use; sixteen bounds what a broken one can hold. */
#define QUEUE_MAX 16u
#define QUEUE_MAX_BYTES (8u << 20)

#define INLINE_MAX_BYTES 4096u
/* Half head, half tail; below this the sentence between them would not fit. */
#define OUTPUT_MIN_BYTES 4096u
#define READ_MAX_BYTES 65536u

/* Results: compacted beyond the first, no further task is started beyond the second (16 k records of about 250 bytes
 * are 4 MiB; with inline output in each 32 MiB is reached first). */
#define RESULTS_COMPACT_BYTES (1u << 20)
#define RESULTS_MAX_BYTES (32u << 20)
#define UNACKED_MAX 16384u
#define RECORD_MAX_BYTES 16384u

enum role { ROLE_NONE = 0, ROLE_AGENT = 1, ROLE_SUPERVISOR = 2 };

enum frame_type {
  FRAME_HELLO = 1,   /* u32 version, u32 role, u32 lanes */
  FRAME_WELCOME = 2, /* struct welcome, then (supervisor only) u32 lane, u32 flags per lane that holds something */
  FRAME_ERROR = 3,   /* u32 code, sentence; the sender closes */

  FRAME_OPEN_LANE = 16, /* agent to supervisor: u32 lane */
  FRAME_LANE = 17,      /* supervisor to agent: u32 lane, i32 runner pid or 0, sentence when 0 */
  FRAME_STOP = 18,      /* agent to supervisor: end when nothing runs any more */

  FRAME_RUN = 32,    /* struct run_head, key, limits, strings */
  FRAME_KILL = 33,   /* u32 request, u32 grace_ms, key */
  FRAME_RECALL = 34, /* u32 request, key */
  FRAME_ACK = 35,    /* u64 seq, any number of them */
  FRAME_READ = 36,   /* u32 request, u32 stream (1, 2), u64 offset, u32 most bytes, key */
  FRAME_RETIRE = 37, /* supervisor to runner: end when idle */

  FRAME_RECORD = 48, /* one record as in the results file */
  FRAME_HELD = 49,   /* struct held, key */
  FRAME_READY = 50,  /* everything that was held has been told */
  FRAME_ANSWER = 51, /* u32 request, u32 answer */
  FRAME_DATA = 52,   /* u32 request, u32 known, u64 offset, u64 total, bytes */
};

enum error_code { ERROR_FRAME = 1, ERROR_VERSION = 2, ERROR_BUSY = 3, ERROR_PEER = 4, ERROR_FULL = 5, ERROR_START = 6 };

/* Answers to kill and recall. */
enum answer { ANSWER_UNKNOWN = 0, ANSWER_RUNNING = 1, ANSWER_REMOVED = 2 };

struct welcome {
  uint32_t version;
  int32_t pid;
  uint64_t start_ticks; /* field 22 of /proc/PID/stat */
  uint8_t boot_id[16];
  uint32_t lane; /* runner: its lane; supervisor: how many lane entries follow */
  uint32_t queue_max;
};
_Static_assert(sizeof(struct welcome) == 40, "welcome");

enum lane_flag { LANE_ALIVE = 1, LANE_HOLDS = 2 };

/* The runner makes the task's folder and the one it is in, and takes an empty one for the next task. */
enum run_flag { RUN_MAKE_FOLDER = 1 };

struct run_head {
  uint64_t wall_ms;      /* 0: no limit */
  uint64_t output_limit; /* bytes kept of each stream */
  uint32_t grace_ms;     /* between TERM and KILL when the runner itself ends the task (time, disk) */
  uint32_t inline_limit; /* bytes of each stream that travel in the record and need no file */
  uint32_t argc, envc;
  uint16_t key_size, limit_count;
  uint32_t flags; /* enum run_flag; every other bit is refused */
};
_Static_assert(sizeof(struct run_head) == 40, "run_head");

/* As in the frame: packed, 20 bytes. */
struct __attribute__((packed)) run_limit {
  uint32_t resource; /* RLIMIT_* of Linux */
  uint64_t soft, hard;
};

enum held_phase { HELD_QUEUED = 1, HELD_RUNNING = 2 };

struct held {
  uint32_t phase;
  int32_t pid;
  uint64_t start_ticks, started_wall_ns;
  uint32_t key_size, reserved;
};
_Static_assert(sizeof(struct held) == 32, "held");

enum record_kind { RECORD_STARTED = 1, RECORD_ENDED = 2 };
enum cause {
  CAUSE_EXIT = 1,
  CAUSE_SIGNAL = 2,
  CAUSE_TIMEOUT = 3,
  CAUSE_KILLED = 4,
  CAUSE_SPAWN = 5,
  CAUSE_DISK = 6,
  CAUSE_LOST = 7, /* its runner died; written by the next runner of the lane, after the tree was ended */
};
enum stage {
  STAGE_NONE = 0,
  STAGE_SETSID = 1,
  STAGE_CGROUP = 2,
  STAGE_RLIMIT = 3,
  STAGE_CHDIR = 4,
  STAGE_STDIO = 5,
  STAGE_EXEC = 6,
  STAGE_FORK = 7,
  STAGE_PIPE = 8,
  STAGE_OUTPUT = 9, /* the folder or file of an output, or writing it */
  STAGE_RECORD = 10,
  STAGE_FOLDER = 11, /* making the task's folder */
};
enum record_flag {
  FLAG_OUT_CUT = 1,
  FLAG_ERR_CUT = 2,
  FLAG_OUT_FILE = 4,
  FLAG_ERR_FILE = 8,
  FLAG_CORE = 16,
  FLAG_LEFT_BEHIND = 32, /* a process could not be ended in time; the supervisor keeps trying */
  FLAG_UNRECORDED = 64,  /* reported without being in the results file, which could not be written */
  FLAG_FOLDER_EMPTY = 128, /* the task left nothing in the folder that was made for it; it is there no longer */
  FLAG_STORAGE = 256, /* struct storage stands behind the inline error output */
};

#define RECORD_MAGIC 0x31525241u /* "ARR1" */
/* The first byte of a record that was acknowledged before one ahead of it: written over in the file, outside of what
 * the checksum covers. */
#define RECORD_ACKED_BYTE 'a'
#define RECORD_VERSION 1u

struct record {
  uint32_t magic;
  uint32_t size; /* of all of it, a multiple of 8 */
  uint32_t crc;  /* CRC-32C of what follows this field */
  uint8_t kind, version;
  uint16_t key_size;
  uint64_t seq; /* per lane, rising, never given twice */
  uint64_t started_wall_ns;
  int32_t pid;
  uint16_t flags;
  uint8_t cause, stage;
  uint64_t start_ticks;
  /* a started record ends here; its key follows */
  uint64_t ended_wall_ns, duration_ns;
  int32_t exit_code; /* -1: did not exit by itself */
  int32_t signal;    /* 0: none */
  int32_t err;
  uint32_t left_behind;
  uint64_t user_us, system_us, max_rss_bytes;
  uint64_t out_bytes, err_bytes; /* written by the task, kept or not */
  uint32_t out_inline, err_inline;
  /* key, inline output, inline error output, with FLAG_STORAGE a struct storage, zeros to a multiple of 8 */
};

/* Not aligned. What a task did not touch is not told; who does not know the flag reads the record as before. */
struct storage {
  uint64_t blocks_read, blocks_written; /* of 512 bytes */
};
#define STARTED_BYTES offsetof(struct record, ended_wall_ns)
_Static_assert(offsetof(struct record, ended_wall_ns) == 48, "started record");
_Static_assert(sizeof(struct record) == 128, "ended record");
_Static_assert(sizeof(struct record) + KEY_MAX_BYTES + 2 * INLINE_MAX_BYTES + sizeof(struct storage) + 8 <= RECORD_MAX_BYTES, "a record fits");

#define PAGE_MAGIC 0x31505241u /* "ARP1" */
enum page_phase { PAGE_IDLE = 0, PAGE_STARTING = 1, PAGE_RUNNING = 2 };

/* lane-N.state, mapped by its runner, which also holds its flock: what must survive the runner costs no system call. */
struct page {
  uint32_t magic, version;
  uint32_t lane;
  int32_t runner_pid;
  uint64_t runner_start_ticks;
  uint8_t boot_id[16];
  uint64_t next_seq;
  uint64_t acked_through; /* every end up to here is acknowledged */
  uint64_t last_end_seq;
  volatile uint32_t phase;
  volatile int32_t task_pid;
  uint64_t task_seq; /* an end of this task has a higher seq */
  uint64_t task_start_ticks;
  uint64_t task_started_wall_ns, task_started_boot_ns;
  uint32_t key_size, reserved;
  char key[KEY_MAX_BYTES];
};
#define PAGE_BYTES 4096u
_Static_assert(sizeof(struct page) <= PAGE_BYTES, "page");

#endif
