/**
 * Who used which secret, and what for: gathered for some seconds, equal ones counted together, then written. A crash
 * loses those seconds; a database that is away keeps them waiting, up to a bound.
 */
import type { Logger } from "../../../shared/log/log.ts";
import { CREDENTIAL_USE_FLUSH_MS, CREDENTIAL_USES_WAITING_MAX } from "../../../shared/model/constants.ts";
import type { Use } from "../../store/credential-ties.ts";

export interface UseRecorder {
  add(use: Omit<Use, "times" | "atMs">): void;
  /** Resolves when what was gathered so far is written, or could not be. */
  flush(): Promise<void>;
  /** Writes what is left. */
  close(): Promise<void>;
}

export function createUseRecorder(
  write: (uses: readonly Use[]) => Promise<void>,
  wallMs: () => number,
  log: Logger,
): UseRecorder {
  let waiting = new Map<string, Use>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();
  let lost = 0;

  const keep = (key: string, use: Use): void => {
    const same = waiting.get(key);
    if (same) {
      same.times += use.times;
      same.atMs = Math.max(same.atMs, use.atMs);
    } else if (waiting.size < CREDENTIAL_USES_WAITING_MAX) waiting.set(key, use);
    else lost++;
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.then(async () => {
      if (waiting.size === 0) return;
      const taken = waiting;
      waiting = new Map();
      try {
        await write([...taken.values()]);
        if (lost > 0) log.warn("uses of credentials were not recorded: too many waited for the database", { lost });
        lost = 0;
      } catch (error) {
        log.warn("uses of credentials could not be written; they are kept for the next time", { error });
        for (const [key, use] of taken) keep(key, use);
        plan();
      }
    });
    return flushing;
  };
  const plan = (): void => {
    timer ??= setTimeout(() => void flush(), CREDENTIAL_USE_FLUSH_MS).unref();
  };
  return {
    add: (use) => {
      const { credential, number, actor, purpose, resource } = use;
      keep([credential, number, actor, purpose, resource?.type, resource?.id].join("\n"), {
        ...use,
        times: 1,
        atMs: wallMs(),
      });
      plan();
    },
    flush,
    close: async () => {
      await flush();
      clearTimeout(timer);
    },
  };
}
