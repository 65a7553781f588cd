/**
 * A coordinator in a process of its own, as `both` starts one; with `open` as its first word who may do what is not asked:
 * everybody known may do everything. That is what asking is measured against.
 */
import { join } from "node:path";
import type { Authorization } from "../../../coordinator/authorization.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { signingKeys } from "../../../coordinator/domain/account/signing-key.ts";
import { readCoordinatorSettings } from "../../../coordinator/settings.ts";
import { openVault } from "../../../coordinator/vault/open.ts";
import { silentLogger } from "../../../shared/log/log.ts";

const OPEN: Authorization = {
  access: {
    allows: async () => true,
    allowsExperiment: async () => true,
    visible: async () => null,
    visibleExperiments: async () => null,
    settle: async () => {},
    onChange: () => () => {},
  },
  reconcilers: [],
  led: () => {},
  close: async () => {},
};

const { settings } = readCoordinatorSettings({ flags: { port: "0" }, env: process.env, readFile: () => "" });
const vault = await openVault(settings, join(settings.dataDir as string, "vault"), silentLogger);
const coordinator = await startCoordinator({
  settings,
  vault,
  signingKeys: signingKeys(settings)!,
  firstPassword: false,
  databaseUrl: settings.databaseUrl as string,
  token: settings.operatorToken as string,
  version: "0.0.0-bench",
  log: silentLogger,
  ...(process.argv[2] === "open" ? { authorization: OPEN } : {}),
});
await coordinator.leading;
process.stdout.write(`${coordinator.url}\n`);
process.once("SIGTERM", () => void coordinator.stop().then(() => process.exit(0)));
