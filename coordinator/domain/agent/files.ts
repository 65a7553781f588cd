/**
 * The port to files that lie at agents: logs and outputs. The socket room implements it over the agents' sessions. All of
 * it is read at the pace of whoever reads.
 */
import type { AgentId } from "../../../shared/model/ids.ts";
import type { AttemptGroup, FileRequest, ListedOutput } from "../../../shared/protocol/messages.ts";

export interface FileChunk {
  data: Uint8Array;
  /** Size of the file as far as it was known when this was read. */
  totalBytes: number;
}

export interface FileRead {
  file: FileRequest;
  offset: number;
  limit: number;
  /** Wait for what is still to be written, until the attempt is over. */
  follow: boolean;
  signal: AbortSignal;
}

export interface AgentFiles {
  /**
   * The first chunk comes even when it is empty, so that size and existence are known before anything is sent on.
   * Throws `agent_offline`, `log_not_found` / `output_not_found` (the agent has no such file), `file_changed`.
   */
  read(agent: AgentId, read: FileRead): AsyncIterable<FileChunk>;
  /** Throws `agent_offline`. `problem` is a sentence about what could not be listed. */
  list(
    agent: AgentId,
    group: AttemptGroup,
    signal: AbortSignal,
  ): Promise<{ outputs: ListedOutput[]; problem: string | undefined }>;
}
