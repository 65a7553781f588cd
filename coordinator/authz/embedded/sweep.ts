/**
 * The engine's library makes a socket for its streams below the temporary directory and removes it when it is disposed of.
 * A process that is killed leaves the file behind; the next engine removes it.
 */
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";

const NAME = /^spicedb-streaming-\d+-\d+\.sock$/;
/** One that is being made refuses, too, until it listens. */
const AGE_MS_MIN = 60_000;

/** Removes what lies beside `socket` and nobody listens on. Whose process it was tells nothing: containers share directories. */
export async function sweepSockets(socket: string): Promise<void> {
  const directory = dirname(socket);
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (NAME.test(name) && path !== socket && isOld(path) && (await refuses(path))) rmSync(path, { force: true });
  }
}

/** Ours, and not of this moment. */
function isOld(path: string): boolean {
  const status = lstatSync(path, { throwIfNoEntry: false });
  return status?.isSocket() === true && status.uid === process.getuid?.() && status.mtimeMs < Date.now() - AGE_MS_MIN;
}

function refuses(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = connect(path);
    const answer = (isRefused: boolean): void => {
      asked.destroy();
      resolve(isRefused);
    };
    asked.once("connect", () => answer(false));
    asked.once("error", (error: NodeJS.ErrnoException) => answer(error.code === "ECONNREFUSED"));
  });
}
