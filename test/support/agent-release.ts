/**
 * Releases of the agent program for tests: the real program as one bundled script per version, which starts in the time
 * that Node takes, and programs that are broken on purpose.
 */
import { createHash } from "node:crypto";
import { appendFileSync, chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PLATFORM = `linux-${process.arch}`;
export const RUNNER = join(ROOT, "agent", "runner", "bin", `airavata-runner-${PLATFORM}`);
/** Stands where the version goes. */
const PLACE = "0.0.0-version-goes-here";

/** A first line that names Node would end at the first space of its path: a shell starts it. To JavaScript it is a comment. */
export const NODE_SCRIPT_HEAD = `#!/bin/sh\n":" //; exec '${process.execPath}' "$0" "$@"\n`;

let bundled: Promise<string> | undefined;

/**
 * The agent's and client's program of that version as an executable script. With `gate`, an agent does not start before
 * that file is there.
 */
export async function programText(version: string, gate?: string): Promise<string> {
  bundled ??= bundle();
  const text = (await bundled).replaceAll(PLACE, version);
  if (gate === undefined) return NODE_SCRIPT_HEAD + text;
  const wait = `while (process.argv[2] === "agent" && !require("fs").existsSync(${JSON.stringify(gate)})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);`;
  return `${NODE_SCRIPT_HEAD}${wait}\n${text}`;
}

async function bundle(): Promise<string> {
  const made = await build({
    entryPoints: [join(ROOT, "agent", "main.ts")],
    bundle: true,
    write: false,
    platform: "node",
    target: "node24",
    format: "cjs",
    // The runner is found beside the sources, as in a checkout.
    define: {
      AIRAVATA_VERSION: JSON.stringify(PLACE),
      "import.meta.url": JSON.stringify(pathToFileURL(join(ROOT, "agent", "cli", "runner.ts")).href),
    },
    external: ["bufferutil", "utf-8-validate", "msgpackr-extract"],
    logLevel: "error",
  });
  return made.outputFiles[0]?.text ?? "";
}

/** Puts a program where an operator would. */
export async function installProgram(path: string, version: string): Promise<void> {
  writeFileSync(path, await programText(version));
  chmodSync(path, 0o755);
}

/** Publishes `text` as that version, beside other platforms; `sha256` other than the real one is a broken release. */
export function publish(
  directory: string,
  version: string,
  text: string | Uint8Array,
  { sha256, platform = PLATFORM }: { sha256?: string | undefined; platform?: string } = {},
): void {
  const place = join(directory, version);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, `airavata-${platform}`), text);
  const sum = sha256 ?? createHash("sha256").update(text).digest("hex");
  appendFileSync(join(place, "SHA256SUMS"), `${sum}  airavata-${platform}\n`);
}

/** A program that names its version and, started as an agent, does `what`. */
export function brokenProgram(version: string, what: string): string {
  return `#!/bin/sh\n[ "$1" = --version ] && { echo ${version}; exit 0; }\n${what}\n`;
}
