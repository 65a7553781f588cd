/**
 * The readable way to results: `<experiment>/<template>/<index>` below the output directory is a link to the attempt that
 * counts. It is made after the end was acknowledged, and only moves forward: an older attempt never replaces a newer one.
 */
import { mkdir, readlink, rename, symlink, unlink } from "node:fs/promises";
import { join } from "node:path";

/** Name of the directory that holds every attempt's own one. */
export const ATTEMPTS = ".attempts";

export interface PublishedAttempt {
  experiment: number;
  /** Name of the template. */
  template: string;
  index: number;
  attempt: number;
}

/** An attempt's directory relative to the output directory. */
export function attemptPath({ experiment, template, index, attempt }: PublishedAttempt): string {
  return `${ATTEMPTS}/${experiment}/${template}/${index}/${attempt}`;
}

/** Links the attempt. Whatever is no link of ours at that place stays as it is; then the answer is false. */
export async function publish(outputDir: string, attempt: PublishedAttempt): Promise<boolean> {
  const folder = join(outputDir, String(attempt.experiment), attempt.template);
  const link = join(folder, String(attempt.index));
  const target = `../../${attemptPath(attempt)}`;
  for (let tries = 0; tries < 2; tries++) {
    try {
      await symlink(target, link);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" && tries === 0) await mkdir(folder, { recursive: true });
      else if (code === "EEXIST") return replace(link, target, attempt);
      else throw error;
    }
  }
  return false;
}

async function replace(link: string, target: string, { attempt }: PublishedAttempt): Promise<boolean> {
  let current: string;
  try {
    current = await readlink(link);
  } catch {
    return false;
  }
  const linked = Number(/\/(\d+)$/.exec(current)?.[1] ?? Number.NaN);
  if (!current.startsWith(`../../${ATTEMPTS}/`) || !(linked < attempt)) return current === target;
  // Rename puts the new link in place of the old one at once: a reader never finds nothing.
  const beside = `${link}.${attempt}.new`;
  await unlink(beside).catch(() => {});
  await symlink(target, beside);
  await rename(beside, link);
  return true;
}
