/** The routes of agent programs: their download, and rollouts. Decode, one domain call, encode. */
import type { Rollout, RolloutDetail } from "../../../shared/api/release.ts";
import type { RouteId } from "../../../shared/api/routes.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { readReleaseFile } from "../../domain/release/directory.ts";
import {
  beginRollout,
  findRollout,
  listRollouts,
  type RolloutRecord,
  type RolloutSources,
  setUpdatePolicy,
  stopRollout,
} from "../../domain/release/rollouts.ts";
import { timestamp, timestampOrNull } from "../encode.ts";
import { byOf } from "./access.ts";
import { type Handlers, ok } from "./register.ts";

type ReleaseRoutes = Extract<
  RouteId,
  | "downloadAgent"
  | "downloadAgentSum"
  | "listReleases"
  | "beginRollout"
  | "listRollouts"
  | "getRollout"
  | "stopRollout"
  | "setUpdatePolicy"
>;

export function releaseHandlers(sources: RolloutSources, changed: () => void): Handlers<ReleaseRoutes> {
  const { releases } = sources;
  return {
    downloadAgent: async ({ params, query }) => {
      const file = await releases.file(query.version, params.platform);
      return {
        filename: `airavata-${file.platform}`,
        headers: { "airavata-version": file.version },
        file: { sizeBytes: file.sizeBytes, read: (from, to) => readReleaseFile(file, from, to) },
      };
    },

    downloadAgentSum: async ({ params, query }) => {
      const { sha256, platform } = await releases.file(query.version, params.platform);
      return { contentType: "text/plain; charset=utf-8", text: `${sha256}  airavata-${platform}\n` };
    },

    listReleases: async ({ query }) => {
      const all = await releases.list();
      // The cursor is the last version of the page before.
      const from = query.cursor === undefined ? 0 : all.findIndex(({ version }) => version === query.cursor) + 1;
      const items = all.slice(from, from + query.limit).map(({ version, files }) => ({
        version,
        files: files.map(({ platform, sha256, sizeBytes }) => ({ platform, sha256, size_bytes: sizeBytes })),
      }));
      const more = from + items.length < all.length;
      return ok({ items, next_cursor: more ? (items.at(-1)?.version ?? null) : null });
    },

    beginRollout: async ({ body, caller }) => {
      const agents = (body.agents as AgentId[] | undefined) ?? null;
      const rollout = await beginRollout(sources, { version: body.version, agents, by: byOf(caller) });
      changed();
      return { status: 201, body: encodeDetail(rollout) };
    },

    listRollouts: async ({ query }) => {
      const { items, nextCursor } = await listRollouts(sources, { limit: query.limit, cursor: query.cursor });
      return ok({ items: items.map(encodeRollout), next_cursor: nextCursor });
    },

    getRollout: async ({ params }) => ok(encodeDetail(await findRollout(sources, params.rollout))),

    stopRollout: async ({ params, body, caller }) => {
      return ok(
        encodeDetail(await stopRollout(sources, params.rollout, body.reason ?? "stopped by request", byOf(caller))),
      );
    },

    setUpdatePolicy: async ({ params, body, caller }) => {
      const { pinned_version: pinnedVersion, updates_refused: refused } = body;
      await setUpdatePolicy(sources, { agent: params.agent as AgentId, pinnedVersion, refused }, byOf(caller));
      changed();
      return ok(body);
    },
  };
}

function encodeRollout(record: Omit<RolloutRecord, "targets">): Rollout {
  return {
    id: record.rollout,
    version: record.version,
    state: record.state,
    reason: record.reason,
    created_at: timestamp(record.createdAtMs),
    ended_at: timestampOrNull(record.endedAtMs),
  };
}

function encodeDetail(record: RolloutRecord): RolloutDetail {
  return {
    ...encodeRollout(record),
    agents: record.targets.map(({ agent, name, state, message, changedAtMs }) => ({
      agent,
      name,
      state,
      message,
      changed_at: timestamp(changedAtMs),
    })),
  };
}
