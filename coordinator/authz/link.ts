/**
 * What the adapter asks of a way to a SpiceDB. There are two: a server (`server.ts`) and the embedded engine
 * (`embedded/embedded.ts`).
 */
import type { v1 } from "@authzed/authzed-node";
import type { Logger } from "../../shared/log/log.ts";

export type SpicedbClient = v1.ZedClientInterface;

export interface Link {
  /** As it stands in sentences: "SpiceDB at localhost:50051". */
  readonly where: string;
  /** Rejects with an AiravataError when there is nothing to ask. */
  client(): Promise<SpicedbClient>;
  /** This client's calls run into their deadline: it may hold a connection that is dead without knowing it. */
  distrust(client: SpicedbClient): void;
  close(): Promise<void>;
}

export interface EngineOptions {
  log: Logger;
  /**
   * The engine has lost its schema, and with it everything: the embedded one died and an empty one takes its place (said
   * before that one can be asked), or a server that keeps its store in memory was started anew. It is to be prepared and
   * loaded again.
   */
  onForgotten(): void;
}
