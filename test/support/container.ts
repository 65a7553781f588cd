/** A program as the first process of a container of runc: the machine's own /usr, a process table and mounts of its own. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { NODE_SCRIPT_HEAD } from "./agent-release.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const CAPABILITIES = ["CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER"];

export class Container {
  readonly #directory: string;
  readonly #name: string;

  /** Everything of it lies in `directory`; its name is unique on the machine. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#name = `airavata-test-${process.pid}`;
    mkdirSync(join(directory, "rootfs"), { recursive: true });
    for (const name of ["bin", "lib", "lib64", "sbin"]) symlinkSync(`usr/${name}`, join(directory, "rootfs", name));
  }

  /** An executable that runs `program` in the container, with its own arguments and environment, and is replaced by runc. */
  launcher(program: string): string {
    const bind = (path: string, mode: "ro" | "rw") => ({
      destination: path,
      type: "bind",
      source: path,
      options: ["rbind", mode],
    });
    const places = new Set(["/usr", "/etc", ROOT, dirname(process.execPath)]);
    const config = {
      ociVersion: "1.0.2",
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: [program],
        env: [],
        cwd: "/",
        noNewPrivileges: true,
        capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      },
      root: { path: "rootfs" },
      hostname: "container",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
        bind(tmpdir(), "rw"),
        ...[...places].map((path) => bind(path, "ro")),
      ],
      linux: { namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })) },
    };
    const path = join(this.#directory, "launch");
    writeFileSync(
      path,
      `${NODE_SCRIPT_HEAD}const config = ${JSON.stringify(config)};
config.process.args.push(...process.argv.slice(2));
config.process.env = Object.entries(process.env).map(([name, value]) => name + "=" + value);
require("fs").writeFileSync(${JSON.stringify(join(this.#directory, "config.json"))}, JSON.stringify(config));
process.execve("/usr/sbin/runc", ${JSON.stringify(["runc", ...this.#words("run"), "--bundle", this.#directory, this.#name])}, process.env);
`,
    );
    chmodSync(path, 0o755);
    return path;
  }

  /** Ends all that is in it. */
  remove(): void {
    spawnSync("/usr/sbin/runc", [...this.#words("delete"), "--force", this.#name], { stdio: "ignore" });
  }

  #words(command: string): string[] {
    return ["--root", join(this.#directory, "runc"), command];
  }
}
