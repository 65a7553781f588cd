/** The fields of SSH's own formats (RFC 4251): read without trusting a length, and written. */

/** Thrown for whatever is not well-formed; holds nothing of what was read. */
export class MalformedSsh extends Error {
  override name = "MalformedSsh";
}

export class SshReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  /** A length and so many bytes; not a copy. */
  string(): Buffer {
    return this.take(this.uint32());
  }

  text(): string {
    return this.string().toString("latin1");
  }

  /** A whole number without its leading zeros. */
  mpint(): Buffer {
    const bytes = this.string();
    let from = 0;
    while (from < bytes.length && bytes[from] === 0) from++;
    return bytes.subarray(from);
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new MalformedSsh("it ends too early");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }
}

export function sshString(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A positive number: a leading zero where its first bit would mean a sign. */
export function sshMpint(bytes: Buffer): Buffer {
  let from = 0;
  while (from < bytes.length && bytes[from] === 0) from++;
  const plain = bytes.subarray(from);
  return sshString((plain[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), plain]) : plain);
}
