/** The program: its version (what the build put in, or what package.json of this checkout says), and how it was started. */
import { readFileSync } from "node:fs";
import { isSea } from "node:sea";

/** Replaced by the build; in a checkout it is not there. */
declare const AIRAVATA_VERSION: string | undefined;

const IS_BUILT = typeof AIRAVATA_VERSION === "string";

export const PROGRAM_VERSION: string = IS_BUILT ? (AIRAVATA_VERSION as string) : checkoutVersion();

/** The one file that this program is: the executable, or the bundle as a script; undefined in a checkout. */
export const PROGRAM_FILE: string | undefined = IS_BUILT ? (isSea() ? process.execPath : process.argv[1]) : undefined;

/** What the program was started with. */
export const PROGRAM_WORDS: readonly string[] = process.argv.slice(2);

function checkoutVersion(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}
