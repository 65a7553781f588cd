/**
 * Every route of the coordinator, once. The server registers exactly this table, the OpenAPI document is rendered from
 * it, and tests walk it; a route that is not here does not exist.
 */
import { accountRoutes } from "./routes/accounts.ts";
import { agentRoutes } from "./routes/agents.ts";
import { auditRoutes } from "./routes/audit.ts";
import { credentialRoutes } from "./routes/credentials.ts";
import { experimentRoutes } from "./routes/experiments.ts";
import { groupRoutes } from "./routes/groups.ts";
import { oidcRoutes } from "./routes/oidc.ts";
import { projectRoutes } from "./routes/projects.ts";
import { releaseRoutes } from "./routes/releases.ts";
import { resourceRoutes } from "./routes/resources.ts";
import type { Route } from "./routes/route.ts";
import { serviceRoutes } from "./routes/service.ts";
import { taskRoutes } from "./routes/tasks.ts";

export { type Answer, API_PREFIX, type Route } from "./routes/route.ts";

export const routes = {
  ...experimentRoutes,
  ...taskRoutes,
  ...projectRoutes,
  ...groupRoutes,
  ...resourceRoutes,
  ...agentRoutes,
  ...releaseRoutes,
  ...auditRoutes,
  ...credentialRoutes,
  ...accountRoutes,
  ...serviceRoutes,
  ...oidcRoutes,
} as const satisfies Record<string, Route>;

export type RouteId = keyof typeof routes;
