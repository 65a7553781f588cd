/**
 * What the API promises holds at a coordinator that does not lead: files and ranges, events and cursors, agents' sockets,
 * refusals, pages. The same tests as at the one that leads, each through a second coordinator in front of it.
 */
import { throughReplicas } from "../../support/coordinator.ts";

throughReplicas();
await import("../api/files.test.ts");
await import("../api/events.test.ts");
await import("../api/sockets.test.ts");
await import("../api/refusal.test.ts");
