/**
 * Where the programs of real servers lie that no package of the system brings: in the user's cache, outside of the
 * checkout, so that a fresh clone finds them. `npm run test:services` puts them there.
 */
import { homedir } from "node:os";
import { join } from "node:path";

const BASE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "airavata-servers");

/** A program's directory names its version: a new version is another program. */
export const SPICEDB_PROGRAM = join(BASE, "spicedb-1.56.2", "spicedb");
export const OPENBAO_PROGRAM = join(BASE, "openbao-2.7.2", "bao");
