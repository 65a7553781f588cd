/** The egress policy put together: one `fetch` and one `connect` for all addresses that we are told to call. */
import { parseAllowList } from "./allow.ts";
import { type Connect, createConnect, type Resolve } from "./connect.ts";
import { createFetch, type EgressFetch } from "./fetch.ts";

export interface EgressOptions {
  /** What may be called although it is not public; see README.md. */
  allow: readonly string[];
  resolve?: Resolve;
  ca?: string;
}

export interface Egress {
  fetch: EgressFetch;
  connect: Connect;
}

/** Throws `setting_invalid` when an entry of the allow list is none. */
export function createEgress({ allow, ...options }: EgressOptions): Egress {
  const connect = createConnect({ allow: parseAllowList(allow), ...options });
  return { fetch: createFetch(connect), connect };
}
