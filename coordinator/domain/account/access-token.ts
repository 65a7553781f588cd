/**
 * Access tokens: signed, short-lived, naming the person and his session. Algorithm, issuer, audience and type are pinned;
 * the key is found by its id, so that a new key may sign while tokens of the one before are still good.
 */
import { createHash, randomUUID } from "node:crypto";
import { errors, jwtVerify, SignJWT } from "jose";
import type { ActorId } from "../../../shared/model/ids.ts";

export interface SigningKeys {
  current: string;
  /** Verify, and sign nothing. */
  previous: readonly string[];
}

interface AccessClaims {
  actor: ActorId;
  session: number;
}

export interface AccessTokens {
  sign(claims: AccessClaims): Promise<string>;
  /** Undefined: not ours, altered, or run out. */
  verify(token: string): Promise<AccessClaims | undefined>;
}

const ALGORITHM = "HS256";
const TYPE = "at+jwt";
const ISSUER = "airavata-scheduler";
const AUDIENCE = "airavata-scheduler-api";
/** Tokens whose signature was checked once and is not checked again: 200 bytes each. A check takes some 60 µs. */
const VERIFIED_MAX = 10_000;
/** Coordinators on one database may differ so much. */
const CLOCK_TOLERANCE_SECONDS = 5;

export function createAccessTokens(
  keys: SigningKeys,
  ttlMs: number,
  wallMs: () => number = () => Date.now(),
): AccessTokens {
  const bytes = (key: string): Uint8Array => new TextEncoder().encode(key);
  const known = new Map([keys.current, ...keys.previous].map((key) => [keyId(key), bytes(key)]));
  const current = bytes(keys.current);
  const kid = keyId(keys.current);
  /** By their hash: the tokens themselves are nowhere in memory. */
  const verified = new Map<string, { claims: AccessClaims; untilMs: number }>();
  return {
    sign: ({ actor, session }) => {
      const issuedAt = Math.floor(wallMs() / 1000);
      return new SignJWT({ sid: String(session) })
        .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid })
        .setSubject(String(actor))
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + Math.ceil(ttlMs / 1000))
        .setJti(randomUUID())
        .sign(current);
    },
    verify: async (token) => {
      const hash = createHash("sha256").update(token).digest("base64");
      const before = verified.get(hash);
      // The signature was good before; only the time goes on.
      if (before && wallMs() < before.untilMs) return before.claims;
      try {
        const { payload } = await jwtVerify(
          token,
          ({ kid: named }) => {
            const key = known.get(named ?? "");
            if (key === undefined) throw new errors.JWSInvalid("no key of that id");
            return key;
          },
          {
            algorithms: [ALGORITHM],
            typ: TYPE,
            issuer: ISSUER,
            audience: AUDIENCE,
            requiredClaims: ["sub", "sid", "exp", "iat", "jti"],
            clockTolerance: CLOCK_TOLERANCE_SECONDS,
            currentDate: new Date(wallMs()),
          },
        );
        const [actor, session] = [numberOf(payload.sub), numberOf(payload.sid)];
        if (actor === undefined || session === undefined) return undefined;
        const claims = { actor: actor as ActorId, session };
        if (verified.size >= VERIFIED_MAX) verified.delete(verified.keys().next().value as string);
        verified.set(hash, { claims, untilMs: Number(payload.exp) * 1000 });
        return claims;
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined;
        throw error;
      }
    },
  };
}

/** Names a key without telling anything about it. */
function keyId(key: string): string {
  return createHash("sha256").update(`airavata key id ${key}`).digest("base64url").slice(0, 16);
}

function numberOf(claim: unknown): number | undefined {
  return typeof claim === "string" && /^\d{1,15}$/.test(claim) ? Number(claim) : undefined;
}
