/** Secrets that a test plants, and the search for them in whatever form somebody may have written them down. */
import { randomBytes } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Parts shorter than that would be found by chance. */
const NEEDLE_LENGTH_MIN = 10;

/** 26^9 is more than there is text to find it in by chance. */
const FRAGMENT_LENGTH = 9;

export class Canaries {
  readonly #needles = new Map<string, Buffer>();

  /** A text that nobody else writes, remembered with all its forms. */
  text(name: string): string {
    const head = Array.from(randomBytes(FRAGMENT_LENGTH), (byte) => String.fromCharCode(97 + (byte % 26))).join("");
    const text = `${head} canary ${name}/${randomBytes(12).toString("hex")}+é&`;
    this.add(name, Buffer.from(text));
    // What a parser quotes around the place where it stopped.
    this.#needles.set(`${name} (its beginning)`, Buffer.from(head));
    return text;
  }

  /** Bytes that were planted: what is looked for is any form of all of them. */
  add(name: string, secret: Buffer): void {
    const text = secret.toString("utf8");
    const forms: Record<string, string | Buffer> = {
      raw: secret,
      json: JSON.stringify(text).slice(1, -1),
      "json, escaped": JSON.stringify(text)
        .slice(1, -1)
        .replace(/[^\x20-\x7e]/g, (letter) => unicodeEscape(letter)),
      hex: secret.toString("hex"),
      "hex, capitals": secret.toString("hex").toUpperCase(),
      url: encodeURIComponent(text),
      form: new URLSearchParams([["", text]]).toString().slice(1),
      "inspected bytes": [...secret].map((byte) => byte.toString(16).padStart(2, "0")).join(" "),
      "array of numbers": [...secret].join(","),
    };
    // Base64 depends on where in a longer text it begins: three ways, without what its neighbours have part in.
    for (const shift of [0, 1, 2]) {
      const encoded = Buffer.concat([Buffer.alloc(shift), secret]).toString("base64");
      const inner = encoded.slice(shift === 0 ? 0 : 4, -4);
      forms[`base64, shifted by ${shift}`] = inner;
      forms[`base64url, shifted by ${shift}`] = inner.replaceAll("+", "-").replaceAll("/", "_");
    }
    for (const [form, needle] of Object.entries(forms)) {
      const bytes = Buffer.from(needle);
      if (bytes.length >= NEEDLE_LENGTH_MIN) this.#needles.set(`${name} (${form})`, bytes);
    }
  }

  /** Which are in it, each with where it was found. */
  in(where: string, content: string | Buffer): string[] {
    const bytes = Buffer.from(content);
    return [...this.#needles].filter(([, needle]) => bytes.includes(needle)).map(([name]) => `${name} in ${where}`);
  }

  /** In every file below a directory. */
  below(directory: string): string[] {
    return readdirSync(directory, { recursive: true, encoding: "utf8" }).flatMap((name) => {
      const path = join(directory, name);
      try {
        return lstatSync(path).isFile() ? this.in(path, readFileSync(path)) : [];
      } catch (error) {
        // It went while we looked: a log that was renamed, say.
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    });
  }

  /** In arguments and environments of every process that can be read. */
  inProcesses(): string[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) =>
        ["cmdline", "environ"].flatMap((file) => {
          try {
            return this.in(`/proc/${pid}/${file}`, readFileSync(`/proc/${pid}/${file}`));
          } catch {
            // It ended, or is somebody else's.
            return [];
          }
        }),
      );
  }
}

function unicodeEscape(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
