/** A new key of the vault, by somebody's hand. */
import type { AuditLog } from "../../store/audit-log.ts";
import type { By } from "../access/by.ts";
import type { SecretKeeper } from "./keeper.ts";

/**
 * Number of the new key. The vault is no part of the database: it is told before it is done, so that it is never done
 * untold. Throws what the vault refuses.
 */
export async function rotateVaultKey(
  { keeper, audit }: { keeper: Pick<SecretKeeper, "rotateKey">; audit: Pick<AuditLog, "append"> },
  by: By,
): Promise<number> {
  await audit.append([{ by, action: "vault.rotate_key", resource: { type: "platform", id: "main" } }]);
  return keeper.rotateKey();
}
