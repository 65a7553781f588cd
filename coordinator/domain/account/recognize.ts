/**
 * Who holds a token. The process that leads remembers sessions and tokens for a short while, and is told when one ends,
 * because every change of who may do what is made there; any other process asks the database each time.
 */
import type { Scope } from "../../../shared/api/access.ts";
import { KNOWN_LOGINS_MAX } from "../../../shared/model/constants.ts";
import type { ActorId } from "../../../shared/model/ids.ts";
import type { LoginStore } from "../../store/logins.ts";
import type { TokenStore } from "../../store/personal-tokens.ts";
import type { AccessTokens } from "./access-token.ts";
import { PERSONAL_TOKEN_PREFIX, secretHash } from "./secret.ts";

export interface Recognized {
  actor: ActorId;
  via: string;
  /** Null: all that he may himself. Empty, of a session: nothing before he has changed his password. */
  scopes: ReadonlySet<Scope> | null;
}

interface Remembered {
  recognized: Recognized;
  untilMono: number;
}

interface RecognitionSources {
  logins: Pick<LoginStore, "live" | "stillLive">;
  tokens: Pick<TokenStore, "live">;
  accessTokens: AccessTokens;
  /** Whether this process is the one where sessions and tokens end. */
  leads(): boolean;
  /** A personal token was used. */
  used(token: number): void;
  mono?: () => number;
}

/**
 * Asked anew after this. What ends here is forgotten at once; this bounds how long a change lives unseen that a process
 * committed while it was losing leadership.
 */
const REMEMBERED_MS = 30_000;

export class Recognition {
  readonly #sources: RecognitionSources;
  readonly #remembered = new Map<string, Remembered>();
  readonly #listeners = new Set<(isOver: (caller: Pick<Recognized, "actor" | "via">) => boolean) => void>();
  readonly #mono: () => number;
  /** Rises when anything ends: an answer that was asked for before is not remembered. */
  #generation = 0;

  constructor(sources: RecognitionSources) {
    this.#sources = sources;
    this.#mono = sources.mono ?? (() => performance.now());
  }

  /** Undefined: none of ours, run out, revoked, or of a disabled account. */
  async recognize(token: string): Promise<Recognized | undefined> {
    if (token.startsWith(PERSONAL_TOKEN_PREFIX)) return this.#personal(token);
    const claims = await this.#sources.accessTokens.verify(token);
    if (!claims) return undefined;
    const found = await this.#known(`s${claims.session}`, async () => {
      const live = await this.#sources.logins.live(claims.session);
      if (!live) return undefined;
      const { actor, passwordMustChange } = live;
      return { actor, via: `session ${claims.session}`, scopes: passwordMustChange ? new Set<Scope>() : null };
    });
    return found?.actor === claims.actor ? found : undefined;
  }

  /** Sessions of the actor ended; all, or one. */
  forgetActor(actor: ActorId, session: number | null = null): void {
    this.#generation++;
    for (const [key, { recognized }] of this.#remembered) {
      if (recognized.actor === actor && (session === null || key === `s${session}`)) this.#remembered.delete(key);
    }
    const via = `session ${session}`;
    this.#tell((caller) => caller.actor === actor && (session === null || caller.via === via));
  }

  forgetToken(token: number): void {
    this.#generation++;
    for (const [key, { recognized }] of this.#remembered) {
      if (recognized.via === `token ${token}`) this.#remembered.delete(key);
    }
    this.#tell((caller) => caller.via === `token ${token}`);
  }

  /** Told after a session or token ended, or all of an actor's, with who is not known any more. */
  onEnd(listener: (isOver: (caller: Pick<Recognized, "actor" | "via">) => boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Which of these (`Caller.via`) are over: run out, revoked, of a disabled account, or of one whose password must change. */
  async over(vias: Iterable<string>): Promise<ReadonlySet<string>> {
    const known = [...vias].filter((via) => /^(session|token) \d+$/.test(via));
    const numbers = (kind: string): number[] =>
      known.filter((via) => via.startsWith(kind)).map((via) => Number(via.slice(kind.length)));
    const [sessions, tokens] = [numbers("session "), numbers("token ")];
    if (known.length === 0) return new Set();
    const live = await this.#sources.logins.stillLive(sessions, tokens);
    return new Set([
      ...sessions.filter((session) => !live.sessions.has(session)).map((session) => `session ${session}`),
      ...tokens.filter((token) => !live.tokens.has(token)).map((token) => `token ${token}`),
    ]);
  }

  #tell(isOver: (caller: Pick<Recognized, "actor" | "via">) => boolean): void {
    for (const listener of this.#listeners) listener(isOver);
  }

  clear(): void {
    this.#generation++;
    this.#remembered.clear();
  }

  async #personal(token: string): Promise<Recognized | undefined> {
    const hash = secretHash(token);
    const found = await this.#known(`t${hash.toString("hex")}`, async () => {
      const live = await this.#sources.tokens.live(hash);
      return live && { actor: live.actor, via: `token ${live.token}`, scopes: new Set(live.scopes) };
    });
    if (found) this.#sources.used(Number(found.via.slice("token ".length)));
    return found;
  }

  async #known(key: string, load: () => Promise<Recognized | undefined>): Promise<Recognized | undefined> {
    const leads = this.#sources.leads();
    const now = this.#mono();
    const remembered = leads ? this.#remembered.get(key) : undefined;
    if (remembered && remembered.untilMono > now) return remembered.recognized;
    const generation = this.#generation;
    const recognized = await load();
    if (!recognized || !leads || generation !== this.#generation || !this.#sources.leads()) return recognized;
    this.#remembered.delete(key);
    this.#remembered.set(key, { recognized, untilMono: now + REMEMBERED_MS });
    if (this.#remembered.size > KNOWN_LOGINS_MAX) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    return recognized;
  }
}
