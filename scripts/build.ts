/**
 * `npm run build`: the single executable with agent and client. The bundle, the runners and their checksums go as a blob
 * into a stripped Node; the result needs glibc 2.28 or newer and nothing else. An architecture whose Node is not
 * installed is left out with a sentence.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const DIST = join(ROOT, "dist");
const WORK = join(DIST, "work");
/** The marker in Node's binary that says whether a blob was injected; fixed by Node. */
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
const RUNNERS = join(ROOT, "agent", "runner", "bin");

const TARGETS = [
  { arch: "x64", file: "airavata" },
  { arch: "arm64", file: "airavata-linux-arm64" },
] as const;

await main();

async function main(): Promise<void> {
  rmSync(WORK, { recursive: true, force: true });
  mkdirSync(WORK, { recursive: true });
  const bundle = await bundleProgram();
  let made = 0;
  for (const { arch, file } of TARGETS) if (await makeExecutable(arch, join(DIST, file), bundle)) made += 1;
  rmSync(WORK, { recursive: true, force: true });
  if (made === 0) fail("No executable was made.");
}

/** One CommonJS file: what a single executable of Node 24 can run. */
async function bundleProgram(): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  const outfile = join(WORK, "airavata.cjs");
  await build({
    entryPoints: [join(ROOT, "agent", "main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    legalComments: "none",
    // Half as much for V8 to hold, and no comment left whose signs would make it hold two bytes for each; names stay.
    minifyWhitespace: true,
    minifySyntax: true,
    define: { AIRAVATA_VERSION: JSON.stringify(version), "import.meta.url": "undefined" },
    // Native speed-ups of ws and msgpackr, each loaded in a try: a single file has none.
    external: ["bufferutil", "utf-8-validate", "msgpackr-extract"],
    logLevel: "warning",
    // Paths of this machine must not be in the result.
    absWorkingDir: ROOT,
  });
  return outfile;
}

/** False when this architecture was left out. */
async function makeExecutable(arch: string, output: string, bundle: string): Promise<boolean> {
  const node = join(ROOT, "node_modules", `node-linux-${arch}`, "bin", "node");
  const runner = join(RUNNERS, `airavata-runner-linux-${arch}`);
  if (!existsSync(node)) {
    say(
      `linux-${arch}: left out, npm installs only this machine's Node; "npm ci --os=linux --cpu=${arch} --force" in a copy of the tree brings the other one.`,
    );
    return false;
  }
  if (!existsSync(runner)) {
    say(`linux-${arch}: left out, there is no runner ${runner.slice(ROOT.length + 1)}.`);
    return false;
  }
  const partial = `${output}.part`;
  copyFileSync(node, partial);
  chmodSync(partial, 0o755);
  // Before injecting: stripping afterwards would take the blob for rubbish.
  strip(partial, arch);
  const blob = makeBlob(arch, bundle, runner);
  const { inject } = createRequire(import.meta.url)("postject") as {
    inject(file: string, resource: string, data: Buffer, options: { sentinelFuse: string }): Promise<void>;
  };
  await quietly(() => inject(partial, "NODE_SEA_BLOB", readFileSync(blob), { sentinelFuse: FUSE }));
  renameSync(partial, output);
  const size = readFileSync(output);
  const sum = createHash("sha256").update(size).digest("hex");
  writeFileSync(`${output}.sha256`, `${sum}  ${output.slice(DIST.length + 1)}\n`);
  say(`linux-${arch}: ${output.slice(ROOT.length + 1)}, ${(size.length / 1e6).toFixed(0)} MB, sha256 ${sum}`);
  return true;
}

/** Removes symbols: 109 MB instead of 127. Any strip that knows the architecture will do; without one the file is larger. */
function strip(file: string, arch: string): void {
  const triple = arch === "x64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
  const names = arch === process.arch ? ["strip", `${triple}-strip`, "llvm-strip"] : [`${triple}-strip`, "llvm-strip"];
  for (const name of names) {
    const result = spawnSync(name, [file], { stdio: "pipe" });
    if (result.status === 0) return;
  }
  say(
    `linux-${arch}: not stripped and 18 MB larger, no ${names.join(" or ")} was found; the Debian package is binutils${arch === process.arch ? "" : `-${triple}`}.`,
  );
}

/**
 * The blob: bundle and runner. One Node makes it for every architecture, but V8's code, which saves an agent 2 MiB and
 * 20 ms, it can make for its own only; without it V8 compiles.
 */
function makeBlob(arch: string, bundle: string, runner: string): string {
  const bytes = readFileSync(runner);
  const sum = createHash("sha256").update(bytes).digest("hex");
  const stated = readFileSync(join(RUNNERS, "SHA256SUMS"), "utf8");
  if (!stated.includes(`${sum}  ${basename(runner)}`))
    fail(`The runner ${runner} is not the one that SHA256SUMS names.`);
  const sumFile = join(WORK, `runner-${arch}.sha256`);
  writeFileSync(sumFile, sum);
  const output = join(WORK, `blob-${arch}`);
  const config = join(WORK, `sea-${arch}.json`);
  const options = {
    // Relative to where Node runs below: the blob keeps this path.
    main: basename(bundle),
    output,
    disableExperimentalSEAWarning: true,
    useCodeCache: arch === process.arch,
    useSnapshot: false,
    // NODE_OPTIONS and SIGUSR1 must open no debugger in a program that holds a site's keys.
    execArgv: ["--disable-sigusr1"],
    execArgvExtension: "none",
    assets: { runner, "runner.sha256": sumFile },
  };
  writeFileSync(config, JSON.stringify(options));
  const result = spawnSync(process.execPath, ["--experimental-sea-config", config], {
    stdio: "pipe",
    encoding: "utf8",
    cwd: WORK,
  });
  if (result.status !== 0) fail(`Node could not make the blob: ${result.stderr.trim()}`);
  return output;
}

/** postject talks a lot, through the console and through LIEF's own standard error. */
async function quietly(work: () => Promise<void>): Promise<void> {
  const { log, warn, error } = console;
  console.log = console.warn = console.error = () => {};
  try {
    await work();
  } finally {
    Object.assign(console, { log, warn, error });
  }
}

function say(sentence: string): void {
  process.stdout.write(`${sentence}\n`);
}

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
