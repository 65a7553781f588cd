/**
 * The releases of agent programs that this coordinator can give out: a directory per version, made by the operator, with
 * `airavata-<os>-<arch>` files and `SHA256SUMS`, which is written last. Read anew each time: publishing is copying, and
 * a version without its sums is not there yet. Checksums are the publisher's word; each agent holds its file against them.
 */
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { AiravataError } from "../../../shared/error/error.ts";
import { compareVersions, PLATFORM_PATTERN, RELEASE_BYTES_MAX, VERSION_PATTERN } from "../../../shared/model/update.ts";

export interface ReleaseFile {
  version: string;
  platform: string;
  sha256: string;
  sizeBytes: number;
  path: string;
}

export interface Release {
  version: string;
  /** One per platform. */
  files: ReleaseFile[];
}

export interface ReleaseDirectory {
  /** Newest version first. */
  list(): Promise<Release[]>;
  /** That version, or the newest one. Throws `release_not_found`. */
  find(version: string | undefined): Promise<Release>;
  /** Its file for a platform. Throws `release_not_found`. */
  file(version: string | undefined, platform: string): Promise<ReleaseFile>;
}

const SUMS_LINE = /^([0-9a-f]{64}) [ *]airavata-(\S+)$/;

/** `directory` undefined: there are no releases. */
export function openReleaseDirectory(directory: string | undefined): ReleaseDirectory {
  const list = async (): Promise<Release[]> => {
    if (directory === undefined) return [];
    const names = await readdir(directory).catch(() => []);
    const found = await Promise.all(
      names.filter((name) => VERSION_PATTERN.test(name)).map((version) => readRelease(directory, version)),
    );
    return found
      .filter(({ files }) => files.length > 0)
      .sort((a, b) => compareVersions(b.version, a.version) || (a.version < b.version ? 1 : -1));
  };
  const find = async (version: string | undefined): Promise<Release> => {
    if (directory === undefined) {
      throw new AiravataError(
        "release_not_found",
        "this coordinator has no releases: give it --agent-releases (AIRAVATA_AGENT_RELEASES), a directory with them",
      );
    }
    const all = await list();
    const release = version === undefined ? all[0] : all.find((one) => one.version === version);
    if (release !== undefined) return release;
    const there = all.map((one) => one.version).join(", ");
    throw new AiravataError(
      "release_not_found",
      `no ${version === undefined ? "release" : `version ${version}`} was published here; there ${there === "" ? "is none" : `is ${there}`}`,
    );
  };
  return {
    list,
    find,
    file: async (version, platform) => {
      const release = await find(version);
      const file = release.files.find((one) => one.platform === platform);
      if (file !== undefined) return file;
      const there = release.files.map((one) => one.platform).join(", ");
      const text = `version ${release.version} was published for ${there}, not for ${platform}`;
      throw new AiravataError("release_not_found", text);
    },
  };
}

/** Bytes [from, to) of a release's file. */
export function readReleaseFile({ path }: ReleaseFile, from: number, to: number): AsyncIterable<Uint8Array> {
  return createReadStream(path, { start: from, end: to - 1 });
}

async function readRelease(directory: string, version: string): Promise<Release> {
  const files: ReleaseFile[] = [];
  const sums = await readFile(join(directory, version, "SHA256SUMS"), "utf8").catch(() => "");
  for (const line of sums.split("\n")) {
    const [, sha256, platform] = SUMS_LINE.exec(line) ?? [];
    if (sha256 === undefined || platform === undefined || !PLATFORM_PATTERN.test(platform)) continue;
    const path = join(directory, version, `airavata-${platform}`);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() && found.size > 0 && found.size <= RELEASE_BYTES_MAX) {
      files.push({ version, platform, sha256, sizeBytes: found.size, path });
    }
  }
  return { version, files };
}
