/** What the vault holds and no credential does any more. */
import {
  CREDENTIAL_USES_KEPT,
  DESTROYED_SECRET_KEPT_MS,
  SECRET_WRITE_MS_MAX,
} from "../../../shared/model/constants.ts";
import type { CredentialSources } from "./credentials.ts";

export type { CredentialSources };

/** One run; a vault that is slow holds nobody else up. */
const AT_ONCE = 100;

/** Idempotent; may be cut off anywhere. True when there is more to do at once. Throws what the vault refuses. */
export async function destroyLeftovers(
  { secrets, keeper, ties, log }: CredentialSources,
  signal: AbortSignal,
): Promise<boolean> {
  const leftovers = await secrets.toDestroy(SECRET_WRITE_MS_MAX, AT_ONCE);
  for (const { path } of leftovers) {
    if (signal.aborted) return false;
    await keeper.destroy(path);
    await secrets.destroyed(path);
    log.info("a secret that nothing holds was destroyed in the vault", { path });
  }
  await ties.trimUses(CREDENTIAL_USES_KEPT);
  await secrets.trim(DESTROYED_SECRET_KEPT_MS);
  return leftovers.length === AT_ONCE;
}
