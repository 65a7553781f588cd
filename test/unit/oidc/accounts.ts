/** Accounts in memory, and identities, for tests of logins. */
import type { LoginOrigin, OidcAccount, OidcAccounts, ProvenIdentity } from "../../../coordinator/domain/oidc/ports.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ActorId } from "../../../shared/model/ids.ts";

export const ORIGIN: LoginOrigin = { address: "192.0.2.1", request: "r1" };

export function identity(subject: string): ProvenIdentity {
  return { issuer: "https://idp.example.org", subject, username: "Ada", displayName: "Ada", email: "ada@example.org" };
}

export interface MemoryAccounts extends OidcAccounts<{ actor: ActorId }> {
  made: (ProvenIdentity & { username: string })[];
  disable(subject: string): void;
}

export function memoryAccounts(): MemoryAccounts {
  const made: MemoryAccounts["made"] = [];
  const disabled = new Set<string>();
  const accountAt = (at: number): OidcAccount => {
    return { actor: (at + 10) as ActorId, username: made[at]?.username ?? "", passwordMustChange: false };
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    made,
    disable: (subject) => disabled.add(subject),
    async find(issuer, subject) {
      await turn();
      const at = made.findIndex((account) => account.issuer === issuer && account.subject === subject);
      return at < 0 ? undefined : accountAt(at);
    },
    async create(person) {
      await turn();
      const isTaken = made.some(
        ({ username, issuer, subject }) =>
          username === person.username || (issuer === person.issuer && subject === person.subject),
      );
      return isTaken ? undefined : accountAt(made.push(person) - 1);
    },
    async openSession({ actor, username }) {
      if (disabled.has(made[actor - 10]?.subject ?? "")) throw new AiravataError("account_disabled", username);
      return { actor };
    },
  };
}
