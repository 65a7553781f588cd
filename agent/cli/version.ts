/** The program's version: what the build put in, or what package.json of this checkout says. */
import { readFileSync } from "node:fs";

/** Replaced by the build; in a checkout it is not there. */
declare const AIRAVATA_VERSION: string | undefined;

export const PROGRAM_VERSION: string = typeof AIRAVATA_VERSION === "string" ? AIRAVATA_VERSION : checkoutVersion();

function checkoutVersion(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}
