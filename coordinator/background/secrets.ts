/**
 * Destroys in the vault what no credential holds: secrets that were replaced or whose credential was deleted, and those
 * whose writer died before the database knew of them. While the vault is away they wait; the rows say what is to go.
 */
import { type CredentialSources, destroyLeftovers } from "../domain/credential/leftovers.ts";
import type { Reconciler } from "./reconcilers.ts";

/** Mostly two short queries; what is deleted by request is destroyed then and there. */
const PERIOD_MS = 30_000;

export function createSecretReconciler(sources: CredentialSources): Reconciler {
  return {
    name: "destroying unheld secrets",
    periodMs: PERIOD_MS,
    run: (signal) => destroyLeftovers(sources, signal),
  };
}
