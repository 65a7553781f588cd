/**
 * What a coordinator states about a request that it forwards: who asks, from where, under which id. Sealed for one
 * dispatcher in one term and for this method and URL; each statement is good once. The body is not sealed: between
 * coordinators lies the operator's own network, as between them and a proxy that ends TLS.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { SCOPES, type Scope } from "../../../shared/api/access.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";

export interface Statement {
  actor: ActorId;
  /** By what he was known to who forwards it. */
  via: string;
  /** What his token is limited to; null: nothing. */
  scopes: readonly Scope[] | null;
  /** The client's address, for the log. */
  client: string;
  /** Id of the request, a UUID. */
  request: string;
}

/** How the holder of the operator's token is known. */
export const OPERATOR_VIA = "operator_token";

/** What a statement is good for. */
export interface Sealed {
  method: string;
  url: string;
}

/** Takes statements apart in front of the dispatcher. */
export interface StatementReader {
  /** Throws `not_leading` when this process does not lead the term that is meant, `forward_refused` when it is not genuine. */
  read(text: string, sealed: Sealed): Promise<Statement>;
}

/** Writes statements of one coordinator; numbers rise over all of its terms and dispatchers. */
export class StatementWriter {
  readonly #sender: string;
  #last = 0;

  constructor(sender: string) {
    this.#sender = sender;
  }

  write(leader: { term: number; secret: Buffer }, statement: Statement, sealed: Sealed): string {
    const { actor, client, request, via, scopes } = statement;
    const address = CLIENT.test(client) ? client : "unknown";
    // The operator and nobody are stated as programs of before accounts do and understand; of others they know nothing.
    const plain = (actor === OPERATOR_ACTOR && via === OPERATOR_VIA && scopes === null) || actor === SYSTEM_ACTOR;
    const more = plain ? "" : ` ${via.replaceAll(" ", ":")} ${scopes === null ? "*" : scopes.join(",") || "-"}`;
    const said = `${plain ? 1 : 2} ${leader.term} ${this.#sender} ${++this.#last} ${actor} ${request} ${address}${more}`;
    return `${said} ${sealOf(leader.secret, said, sealed).toString("base64url")}`;
  }
}

interface ReaderOptions {
  /** The term that this process leads; undefined while it leads none. */
  term(): number | undefined;
  /** The secret under which a coordinator speaks to this process in a term; undefined when nobody knows that coordinator. */
  secretFrom(sender: string, term: number): Promise<Buffer | undefined>;
}

const CLIENT = /^[0-9A-Za-z.:%_-]{1,64}$/;
const STATEMENT =
  /^([12] (\d{1,15}) ([0-9a-f]{32}) (\d{1,15}) (\d{1,15}) ([0-9a-f-]{36}) ([0-9A-Za-z.:%_-]{1,64})(?: ([a-z_:0-9]{1,60}) ([a-z,*-]{1,100}))?) ([A-Za-z0-9_-]{43})$/;

export function createStatementReader({ term, secretFrom }: ReaderOptions): StatementReader {
  let readTerm: number | undefined;
  /** Numbers that each sender has used in the present term. */
  const used = new Map<string, UsedNumbers>();
  return {
    async read(text, sealed) {
      const match = STATEMENT.exec(text);
      if (!match) throw refused("its statement has another form than this version's");
      const [, said = "", meant, sender = "", number, actor, request = "", client = "", via, scopes, seal = ""] = match;
      const leads = checkTerm(term(), Number(meant));
      const secret = await secretFrom(sender, leads);
      checkTerm(term(), leads);
      if (secret === undefined) throw refused("no coordinator of that name has announced itself");
      const expected = sealOf(secret, said, sealed);
      if (!timingSafeEqual(expected, Buffer.from(seal, "base64url"))) throw refused("its seal is not genuine");
      if (readTerm !== leads) used.clear();
      readTerm = leads;
      const numbers = used.get(sender) ?? new UsedNumbers();
      used.set(sender, numbers);
      if (!numbers.use(Number(number))) throw refused("its statement was used before");
      return {
        actor: Number(actor) as ActorId,
        via: via?.replaceAll(":", " ") ?? (Number(actor) === SYSTEM_ACTOR ? "nobody" : OPERATOR_VIA),
        scopes: scopesOf(scopes),
        client,
        request,
      };
    },
  };
}

/** Absent or `*`: no limit. What this program does not know limits as well: it opens nothing. */
function scopesOf(text: string | undefined): Scope[] | null {
  if (text === undefined || text === "*") return null;
  return SCOPES.filter((scope) => text.split(",").includes(scope));
}

/** One hop: whoever does not lead (any more) sends nothing on that was sent on already. */
function checkTerm(leads: number | undefined, meant: number): number {
  if (leads === meant) return leads;
  const text = leads === undefined ? "it does not lead" : `it leads term ${leads}`;
  throw new AiravataError("not_leading", `the request was forwarded to the dispatcher of term ${meant}, and ${text}`);
}

function sealOf(secret: Buffer, said: string, { method, url }: Sealed): Buffer {
  // Neither part of the statement nor a method has a line end, so nothing can be moved between the parts.
  return createHmac("sha256", secret).update(`${said}\n${method}\n${url}`).digest();
}

function refused(why: string): AiravataError {
  return new AiravataError("forward_refused", `this request says that a coordinator forwarded it, and ${why}`);
}

/** Requests may overtake each other by this many: as many as one coordinator has under way at most, eight times. 128 KiB. */
const OVERTAKEN_MAX = 16_384;

/** Which numbers a sender has used. Exported for tests. */
export class UsedNumbers {
  readonly #ring = new Float64Array(OVERTAKEN_MAX);

  /** False when the number was used, or is older than what is remembered. */
  use(number: number): boolean {
    const at = number % OVERTAKEN_MAX;
    if (number <= (this.#ring[at] ?? 0)) return false;
    this.#ring[at] = number;
    return true;
  }
}
