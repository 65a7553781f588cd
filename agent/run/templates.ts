/**
 * What an attempt's directory belongs to, kept beside it: the template with its names and output globs, written before the
 * first task of it starts. A later process finds there what it needs to collect adopted attempts, and requests for logs
 * and outputs of long-ended ones find their paths.
 */
import { constants } from "node:fs";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { leasedTemplate } from "../../shared/protocol/check/template.ts";
import type { LeasedTemplate } from "../../shared/protocol/messages.ts";
import { ATTEMPTS } from "../link/publish.ts";

/** Kept in memory: at 2 to 70 KB each, 20 MB in all when they are large. */
const CACHED_MAX = 256;
interface Saving {
  script: Promise<string>;
  /** As soon as it is there. */
  saved: string | undefined;
}

/** Names become parts of paths: nothing that leads anywhere else. */
const SAFE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

export class Templates {
  readonly #outputDir: string;
  /** Newest last. */
  readonly #cached = new Map<string, LeasedTemplate>();
  readonly #saving = new Map<string, Saving>();

  constructor(outputDir: string) {
    this.#outputDir = outputDir;
  }

  /** The template as it was saved, or undefined. `template` is its ordinal. */
  async find(experiment: number, template: number): Promise<LeasedTemplate | undefined> {
    const key = `${experiment}.${template}`;
    const cached = this.#cached.get(key);
    if (cached !== undefined) return cached;
    try {
      const leased: unknown = JSON.parse(await readFile(this.#path(experiment, template), "utf8"));
      leasedTemplate(leased);
      this.#remember(key, leased as LeasedTemplate);
      return leased as LeasedTemplate;
    } catch {
      return undefined;
    }
  }

  /**
   * Saves it once, with its script if it has one. Resolves with the path of the script (which may not exist). Rejects
   * with the error of the file system, or a RangeError for a name that cannot be a directory.
   */
  save(experiment: number, leased: LeasedTemplate): Promise<string> {
    const key = `${experiment}.${leased.definition.ordinal}`;
    const known = this.#saving.get(key);
    if (known !== undefined) return known.script;
    const script = this.#save(experiment, leased);
    const saving: Saving = { script, saved: undefined };
    this.#saving.set(key, saving);
    script.then(
      (path) => {
        saving.saved = path;
      },
      // The next attempt tries again: a full disk may have been emptied.
      () => this.#saving.delete(key),
    );
    if (this.#saving.size > CACHED_MAX) this.#saving.delete(this.#saving.keys().next().value as string);
    return script;
  }

  /** Path of the script of one that was saved and not lost since. */
  saved(experiment: number, { definition }: LeasedTemplate): string | undefined {
    return this.#saving.get(`${experiment}.${definition.ordinal}`)?.saved;
  }

  /** Its directory is gone, somebody removed it: the next attempt makes it again. */
  lost(experiment: number, template: number): void {
    this.#saving.delete(`${experiment}.${template}`);
  }

  async #save(experiment: number, leased: LeasedTemplate): Promise<string> {
    const { definition, templateNames } = leased;
    for (const name of [definition.name, ...templateNames]) {
      if (!SAFE_NAME.test(name)) throw new RangeError(`the template name ${JSON.stringify(name)} is no directory name`);
    }
    const folder = join(this.#outputDir, ATTEMPTS, String(experiment));
    await mkdir(join(folder, definition.name), { recursive: true });
    await writeWhole(this.#path(experiment, definition.ordinal), JSON.stringify(leased), 0o600);
    const script = join(folder, definition.name, ".script");
    if (definition.command.kind === "script") await writeWhole(script, definition.command.text, 0o700);
    this.#remember(`${experiment}.${definition.ordinal}`, leased);
    return script;
  }

  #remember(key: string, leased: LeasedTemplate): void {
    this.#cached.set(key, leased);
    if (this.#cached.size > CACHED_MAX) this.#cached.delete(this.#cached.keys().next().value as string);
  }

  #path(experiment: number, template: number): string {
    return join(this.#outputDir, ATTEMPTS, String(experiment), `.template-${template}.json`);
  }
}

/** A reader, and a process that comes after we die, sees the whole file or none. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const beside = `${path}.${process.pid}.new`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const file = await open(beside, flags, mode);
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
  await rename(beside, path);
}
