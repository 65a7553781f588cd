/**
 * An OpenID provider that lies as a test wants: metadata, keys, token answers and user-info are what the test says, over a
 * real socket. What is not said is right, so that each lie stands alone.
 */
import { createSign, generateKeyPairSync } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

export interface Lies {
  metadata?: Record<string, unknown>;
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  /** Signed by a key that is not published. */
  otherKey?: boolean;
  /** The token with its signature cut off. */
  unsigned?: boolean;
  /** In place of the right answer of a path; answers itself. */
  answer?: Record<string, (response: ServerResponse) => unknown>;
  token?: Record<string, unknown>;
}

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });

/** `nonce`: of the login that is under way. */
export async function startForger(t: TestContext, clientId: string, nonce: () => string, lies: Lies) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0] ?? "";
    asked.push(path);
    const own = lies.answer?.[path];
    if (own !== undefined) return void own(response);
    const answer = answers()[path];
    if (answer === undefined) response.writeHead(404).end();
    else response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const idToken = (): string => {
    const seconds = Math.floor(Date.now() / 1_000);
    const claims = { iss: issuer, aud: clientId, sub: "s", nonce: nonce(), iat: seconds, exp: seconds + 300 };
    const named = { ...claims, preferred_username: "ada", ...lies.claims };
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "RS256", kid: "k1", ...lies.header })}.${part(named)}`;
    if (lies.unsigned) return `${signed}.`;
    const key = (lies.otherKey ? other : pair).privateKey;
    return `${signed}.${createSign("RSA-SHA256").update(signed).sign(key).toString("base64url")}`;
  };
  const answers = (): Record<string, unknown> => ({
    "/.well-known/openid-configuration": {
      issuer,
      authorization_endpoint: `${issuer}/auth`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      userinfo_endpoint: `${issuer}/me`,
      device_authorization_endpoint: `${issuer}/device`,
      response_types_supported: ["code"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      ...lies.metadata,
    },
    "/jwks": { keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: "k1", alg: "RS256", use: "sig" }] },
    "/token": { access_token: "a", token_type: "Bearer", expires_in: 60, id_token: idToken(), ...lies.token },
    "/me": { sub: "s", preferred_username: "ada" },
    "/device": {
      device_code: "d",
      user_code: "ABCD",
      verification_uri: `${issuer}/enter`,
      expires_in: 600,
      interval: 1,
    },
  });
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { issuer, asked };
}
