/**
 * The environment of tasks, built from nothing: what a login would have, what the operator passes on, what the task
 * itself brings. Nothing of the agent's own environment gets through unnamed: its tokens and paths are not the task's.
 */
import { userInfo } from "node:os";

/** A variable of the environment and its text, `NAME=value`. */
export interface Variable {
  name: string;
  text: string;
}

/** What login shells begin with. */
const PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The variables that every task starts with. `passEnv` names variables of `own`, the agent's environment, which are
 * passed on where they are set, also over the defaults.
 */
export function baseEnvironment(passEnv: readonly string[], own: Record<string, string | undefined>): Variable[] {
  const user = accountOf(own);
  const base: Record<string, string> = {
    PATH: PATH_DEFAULT,
    HOME: user.home,
    USER: user.name,
    LOGNAME: user.name,
    SHELL: user.shell,
    LANG: "C.UTF-8",
    TMPDIR: "/tmp",
  };
  for (const name of passEnv) {
    const value = own[name];
    if (value !== undefined) base[name] = value;
  }
  return Object.entries(base).map(([name, value]) => ({ name, text: `${name}=${value}` }));
}

/** Gpus by the variable that CUDA reads; a task that asked for none sees none. */
export function deviceVariables(devices: readonly number[]): Variable[] {
  return [{ name: "CUDA_VISIBLE_DEVICES", text: `CUDA_VISIBLE_DEVICES=${devices.join(",")}` }];
}

/** The account we run as; a numeric user of a container has no entry anywhere. */
function accountOf(own: Record<string, string | undefined>): { name: string; home: string; shell: string } {
  try {
    const { username, homedir, shell } = userInfo();
    return { name: username, home: homedir, shell: shell ?? "/bin/sh" };
  } catch {
    return { name: own.USER ?? String(process.getuid?.() ?? 0), home: own.HOME ?? "/", shell: "/bin/sh" };
  }
}
