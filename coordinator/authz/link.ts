/**
 * What the adapter asks of a way to a SpiceDB. There are two: a server (`server.ts`) and the embedded engine
 * (`embedded/embedded.ts`).
 */
import type { v1 } from "@authzed/authzed-node";

export type SpicedbClient = v1.ZedClientInterface;

export interface Link {
  /** As it stands in sentences: "SpiceDB at localhost:50051". */
  readonly where: string;
  /** Whether what is behind it forgets everything with this process. */
  readonly memory: boolean;
  /** Rejects with an AiravataError when there is nothing to ask. */
  client(): Promise<SpicedbClient>;
  /** This client's calls run into their deadline: it may hold a connection that is dead without knowing it. */
  distrust(client: SpicedbClient): void;
  close(): Promise<void>;
}
