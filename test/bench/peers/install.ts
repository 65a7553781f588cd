/**
 * Other systems in their exact versions, in a cache outside the checkout: made once by the registries' own clients, found
 * by the next run. What cannot be had here comes back as a sentence instead.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "airavata-bench");
/** Ray alone is 70 MB. */
const INSTALL_LIMIT_MS = 10 * 60_000;

const PYTHON = ["ray==2.60.0", "dask==2026.8.0", "distributed==2026.8.0", "parsl==2026.10.26"];
const NODE = ["bullmq@6.7.0", "ioredis@5.11.1"];

/** A program or directory, or why there is none. */
export type Found = { path: string } | { missing: string };

/** The interpreter of an environment with the Python peers. */
export function pythonPeers(): Promise<Found> {
  return cached("python", PYTHON, "bin/python", async (directory) => {
    await run("python3", ["-m", "venv", directory], { timeout: INSTALL_LIMIT_MS });
    const pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", ...PYTHON];
    await run(join(directory, "bin/python"), pip, { timeout: INSTALL_LIMIT_MS });
  });
}

/** The directory whose node_modules holds the peers of Node. */
export function nodePeers(): Promise<Found> {
  return cached("node", NODE, "node_modules", async (directory) => {
    mkdirSync(directory, { recursive: true });
    const words = ["install", "--prefix", directory, "--ignore-scripts", "--no-audit", "--no-fund", ...NODE];
    await run("npm", words, { timeout: INSTALL_LIMIT_MS });
  });
}

export function redisServer(): Found {
  const path = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].find((candidate) => existsSync(candidate));
  return path === undefined
    ? { missing: "no redis-server is installed (Debian: apt-get install redis-server)" }
    : { path };
}

/** An environment names its own path inside, so it is made where it stays; a mark says that it is whole. */
async function cached(
  kind: string,
  packages: string[],
  inside: string,
  make: (directory: string) => Promise<void>,
): Promise<Found> {
  const name = [kind, ...packages].join("-").replace(/[^A-Za-z0-9.]+/g, "-");
  const directory = join(CACHE, name);
  const path = inside === "node_modules" ? directory : join(directory, inside);
  const whole = join(directory, ".whole");
  if (existsSync(whole)) return { path };
  try {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(CACHE, { recursive: true });
    await make(directory);
    mkdirSync(`${whole}.new`);
    renameSync(`${whole}.new`, whole);
    return { path };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    const said = (error as { stderr?: string }).stderr || (error as Error).message;
    return {
      missing: `${packages.join(" ")} could not be installed: ${said.trim().split("\n").at(-1)?.slice(0, 120)}`,
    };
  }
}
