/** Secrets of every type as the programs of the world write them: taken, refused, and what is told of them. */
import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { inspectSecret, isExpired } from "../../../coordinator/domain/credential/inspect.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { CredentialType } from "../../../shared/model/credential.ts";
import { CERTIFICATE_KEY, CERTIFICATE_PEM, LOCKED_KEY, OPENSSH_KEYS } from "./keys.ts";

function refuses(type: CredentialType, secret: string | Buffer, sentence: RegExp): void {
  assert.throws(
    () => inspectSecret(type, Buffer.from(secret)),
    (error) => {
      assert.ok(error instanceof AiravataError, String(error));
      assert.equal(error.code, "credential_invalid");
      assert.match(error.message, sentence);
      assert.equal(error.cause, undefined);
      return true;
    },
  );
}

for (const [name, { secret, fingerprint, bits, type, publicKey }] of Object.entries(OPENSSH_KEYS)) {
  test(`a key of ssh-keygen: ${name}`, () => {
    const expected = { key_type: type, bits, fingerprint, public_key: publicKey };
    assert.deepEqual(inspectSecret("SSH_KEY", Buffer.from(secret)), expected);
    assert.deepEqual(inspectSecret("SSH_KEY", Buffer.from(`\n${secret.replaceAll("\n", "\r\n")}\n`)), expected);
  });

  test(`a key of ssh-keygen that was changed anywhere is refused or is the same key: ${name}`, () => {
    const [head = "", ...lines] = secret.trim().split("\n");
    const tail = lines.pop();
    const bytes = Buffer.from(lines.join(""), "base64");
    // Every seventh: the long keys have thousands.
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0x40;
      try {
        const facts = inspectSecret("SSH_KEY", Buffer.from(`${head}\n${changed.toString("base64")}\n${tail}\n`));
        // Its comment and the names of ciphers it has no use for may be anything.
        assert.equal(facts.fingerprint, fingerprint, `byte ${at}`);
      } catch (error) {
        assert.equal((error as AiravataError).code, "credential_invalid", `byte ${at}: ${error}`);
      }
    }
    for (let length = 0; length < bytes.length; length += 31) {
      refuses("SSH_KEY", `${head}\n${bytes.subarray(0, length).toString("base64")}\n${tail}\n`, /SSH key/);
    }
  });
}

test("keys in PEM, as openssl and Node write them", () => {
  const pairs = [
    generateKeyPairSync("rsa", { modulusLength: 2048 }),
    generateKeyPairSync("ec", { namedCurve: "P-384" }),
    generateKeyPairSync("ed25519"),
  ];
  const types = pairs.map(({ privateKey }) => {
    return inspectSecret("SSH_KEY", Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }))).key_type;
  });
  assert.deepEqual(types, ["ssh-rsa", "ecdsa-sha2-nistp384", "ssh-ed25519"]);
  const [rsa, ec] = pairs;
  inspectSecret("SSH_KEY", Buffer.from(rsa!.privateKey.export({ type: "pkcs1", format: "pem" })));
  inspectSecret("SSH_KEY", Buffer.from(ec!.privateKey.export({ type: "sec1", format: "pem" })));
});

test("what is no usable private key is refused with what to do", () => {
  refuses("SSH_KEY", OPENSSH_KEYS.ed25519.publicKey, /public SSH key: give the private one/);
  refuses("SSH_KEY", LOCKED_KEY, /passphrase .* ssh-keygen -p/);
  const { privateKey } = generateKeyPairSync("ed25519");
  const cipher = { cipher: "aes-256-cbc", passphrase: "x" };
  refuses("SSH_KEY", privateKey.export({ type: "pkcs8", format: "pem", ...cipher }), /passphrase/);
  refuses("SSH_KEY", "hunter2", /no private SSH key/);
  refuses("SSH_KEY", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", /cannot be read/);
  const short = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  refuses("SSH_KEY", short.export({ type: "pkcs8", format: "pem" }), /1024 bits/);
  const odd = generateKeyPairSync("x25519").privateKey;
  refuses("SSH_KEY", odd.export({ type: "pkcs8", format: "pem" }), /SSH does not take/);
});

test("a certificate: whose, until when, and that its key fits", () => {
  const facts = inspectSecret("CERTIFICATE", Buffer.from(CERTIFICATE_PEM + CERTIFICATE_KEY));
  assert.equal(facts.subject, "O=Tests, CN=node.example");
  assert.equal(facts.has_private_key, true);
  assert.match(facts.fingerprint ?? "", /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.ok(!isExpired(facts, Date.now()));
  assert.ok(isExpired(facts, Date.parse("2200-01-01")));
  const der = inspectSecret("CERTIFICATE", new X509Certificate(CERTIFICATE_PEM).raw);
  assert.deepEqual([der.fingerprint, der.has_private_key], [facts.fingerprint, false]);
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
  refuses("CERTIFICATE", `${CERTIFICATE_PEM}${other}`, /does not belong to the first certificate/);
  refuses("CERTIFICATE", CERTIFICATE_KEY, /no certificate/);
  refuses("CERTIFICATE", "hunter2", /no certificate/);
});

test("passwords, keys and tokens are any bytes up to 64 KiB, and nothing is told of them", () => {
  for (const type of ["PASSWORD", "API_KEY", "TOKEN"] as const) {
    for (const secret of [Buffer.from([0, 255, 10, 13]), Buffer.alloc(64 * 1024, 1)]) {
      assert.deepEqual(inspectSecret(type, secret), {});
    }
    refuses(type, "", /empty/);
    refuses(type, Buffer.alloc(64 * 1024 + 1), /65537 bytes/);
  }
});

test("a JSON Web Token tells when it ends; what only looks like one tells nothing", () => {
  const payload = Buffer.from(JSON.stringify({ exp: 1_800_000_000, sub: "someone" })).toString("base64url");
  const facts = inspectSecret("TOKEN", Buffer.from(`eyJhbGciOiJIUzI1NiJ9.${payload}.c2ln`));
  assert.deepEqual(facts, { expires_at: "2027-01-15T08:00:00.000Z" });
  assert.deepEqual(inspectSecret("TOKEN", Buffer.from("aaa.bbb.ccc")), {});
  const huge = Buffer.from(JSON.stringify({ exp: 1e300 })).toString("base64url");
  assert.deepEqual(inspectSecret("TOKEN", Buffer.from(`aa.${huge}.cc`)), {});
});
