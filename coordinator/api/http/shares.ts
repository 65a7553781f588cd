/** The routes by which single experiments are shared: decode, one domain call, encode. */
import type { RouteId } from "../../../shared/api/routes.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { type SharedExperimentSources, shareExperiment } from "../../domain/share/experiments.ts";
import { listShares } from "../../domain/share/share.ts";
import { byOf } from "./access.ts";
import { encodeShares, granteeName } from "./grants.ts";
import { type Handlers, ok } from "./register.ts";

type ShareRoutes = Extract<RouteId, "listExperimentShares" | "shareExperiment" | "unshareExperiment">;

export function shareHandlers(sources: SharedExperimentSources): Handlers<ShareRoutes> {
  return {
    listExperimentShares: async ({ params }) => {
      return ok(encodeShares(await listShares(sources, { type: "experiment", id: String(params.experiment) })));
    },
    shareExperiment: async ({ params, body, caller }) => {
      const id = params.experiment as ExperimentId;
      return ok(encodeShares(await shareExperiment(sources, id, granteeName(body), body.access, byOf(caller))));
    },
    unshareExperiment: async ({ params, query, caller }) => {
      const id = params.experiment as ExperimentId;
      return ok(encodeShares(await shareExperiment(sources, id, granteeName(query), null, byOf(caller))));
    },
  };
}
