/** Puts credentials together: the vault of the settings, what the database knows of secrets, and who may what with them. */
import { randomBytes } from "node:crypto";
import { AiravataError } from "../shared/error/error.ts";
import type { Logger } from "../shared/log/log.ts";
import type { CredentialType } from "../shared/model/credential.ts";
import type { ActorId } from "../shared/model/ids.ts";
import { systemClock } from "../shared/time/clock.ts";
import type { Reconciler } from "./background/reconcilers.ts";
import { createSecretReconciler } from "./background/secrets.ts";
import type { ResourceRef } from "./domain/credential/binding.ts";
import type { CredentialSources } from "./domain/credential/credentials.ts";
import { createSecretKeeper } from "./domain/credential/keeper.ts";
import { createUseRecorder } from "./domain/credential/uses.ts";
import { useBound } from "./domain/credential/using.ts";
import { type Vault, VaultState } from "./domain/credential/vault.ts";
import type { GrantSources } from "./domain/share/share.ts";
import type { Store } from "./store/store.ts";

/** Gives the secret that a resource is bound to, to whatever speaks with that resource; see `domain/credential/using.ts`. */
export type UseBound = <T>(
  resource: ResourceRef,
  type: CredentialType,
  use: { actor: ActorId; purpose: string },
  work: (secret: Buffer) => Promise<T>,
) => Promise<T>;

export interface Credentials {
  sources: CredentialSources;
  reconciler: Reconciler;
  useBound: UseBound;
  /** Says in the log where secrets are kept, and whether that can be used. Never throws. */
  tell(): Promise<void>;
  /** Writes what is left to write and wipes what is in memory. */
  close(): Promise<void>;
}

export function createCredentials(store: Store, vault: Vault, grants: GrantSources, log: Logger): Credentials {
  const sources: CredentialSources = {
    credentials: store.credentials,
    ties: store.credentialTies,
    secrets: store.secrets,
    keeper: createSecretKeeper(vault, store.secrets, systemClock.mono),
    uses: createUseRecorder(store.credentialTies.addUses, systemClock.wall, log),
    resources: store.resources,
    grants,
    access: grants.access,
    wallMs: systemClock.wall,
    random: () => randomBytes(8).toString("hex"),
    log,
  };
  return {
    sources,
    reconciler: createSecretReconciler(sources),
    useBound: (resource, type, use, work) => useBound(sources, resource, type, use, work),
    tell: () => tellVault(sources),
    close: async () => {
      await sources.uses.close();
      sources.keeper.close();
    },
  };
}

/** Credentials are refused while the vault is away or another one; everything else works. */
async function tellVault({ keeper, log }: CredentialSources): Promise<void> {
  try {
    const { state, sentence } = await keeper.status();
    if (state === VaultState.READY) log.info("the vault is ready", { detail: sentence });
    else log.warn("credentials cannot be used now; everything else works", { state, detail: sentence });
  } catch (error) {
    // A database that went away, or this process that is leaving.
    if (!(error instanceof AiravataError)) log.debug("the vault was not looked at", { error });
  }
}
