/**
 * How often somebody may ask: per user, per address before anybody is known, and the agents' own doors apart, so that a
 * fleet that comes back and a person who types are not in each other's way. Kept in memory, per coordinator.
 */
import type { IncomingMessage } from "node:http";
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import { NETWORKS_PER_SITE, networkOf, siteOf } from "../../domain/network.ts";
import { TokenBuckets } from "./buckets.ts";
import type { ClientOrigin } from "./client.ts";

export interface RateLimits {
  /** A request came in from there; nobody is known yet. Throws `too_many_requests`. */
  arrived(request: IncomingMessage, origin: ClientOrigin): void;
  /** It was admitted as this actor's. Throws `too_many_requests`. */
  admitted(request: IncomingMessage, origin: ClientOrigin, actor: ActorId): void;
}

/** People behind one address (an institute's NAT) who may all do as much as one alone. */
const USERS_PER_ADDRESS = 5;
/** Ten thousand agents behind one address that come back twice within a minute, which their back-off does not exceed. */
const AGENT_REQUESTS_PER_MINUTE = 20_000;
/** Session, enrolment, download. */
const AGENT_PREFIX = `${API_PREFIX}/agent/`;

const NO_LIMITS: RateLimits = { arrived() {}, admitted() {} };

export function createRateLimits(options: { enabled: boolean; perMinute: number; mono?: () => number }): RateLimits {
  if (!options.enabled) return NO_LIMITS;
  const { perMinute, mono } = options;
  const users = new TokenBuckets(perMinute, mono);
  const bucketsFor = (perNetwork: number) => ({
    perNetwork,
    networks: new TokenBuckets(perNetwork, mono),
    sites: new TokenBuckets(perNetwork * NETWORKS_PER_SITE, mono),
  });
  const addresses = bucketsFor(perMinute * USERS_PER_ADDRESS);
  const agents = bucketsFor(AGENT_REQUESTS_PER_MINUTE);
  const take = (buckets: TokenBuckets, key: string, whose: string, bound: number): void => {
    const seconds = buckets.take(key);
    if (seconds === 0) return;
    throw new AiravataError(
      "too_many_requests",
      `${whose} sent more than ${bound} requests a minute, which is the bound here: wait ${seconds} s`,
      { data: { retry_after_seconds: seconds } },
    );
  };
  const takePlace = (from: ReturnType<typeof bucketsFor>, { address }: ClientOrigin, who: string): void => {
    const { perNetwork, networks, sites } = from;
    const network = networkOf(address);
    take(networks, network, `${who}the address ${network}`, perNetwork);
    const site = siteOf(address);
    if (site !== undefined) take(sites, site, `${who}the network ${site}`, perNetwork * NETWORKS_PER_SITE);
  };
  return {
    arrived(request, origin) {
      if (isAgents(request)) {
        // Who is on this machine can do worse to it than to ask.
        if (origin.isLocal) return;
        takePlace(agents, origin, "agents at ");
      }
      // Of this machine it is not known yet whether its operator asks, who is not counted.
      else if (!origin.isLocal) takePlace(addresses, origin, "");
    },
    admitted(request, origin, actor) {
      if (isAgents(request) || (origin.isLocal && actor === OPERATOR_ACTOR)) return;
      if (origin.isLocal) takePlace(addresses, origin, "");
      if (actor !== SYSTEM_ACTOR) take(users, String(actor), "you", perMinute);
    },
  };
}

function isAgents({ url = "" }: IncomingMessage): boolean {
  return url.startsWith(AGENT_PREFIX);
}
