/**
 * Seeds that once found a fault, kept for ever and run first. A change of the world changes what a seed means, so each
 * names the world it was found in, and the fault has a unit test of its own that does not depend on chance.
 */
export interface KeptSeed {
  seed: number;
  /** `WORLD_VERSION` at that time. */
  world: number;
  /** What it found, and where that is tested by itself. */
  found: string;
}

export const KEPT_SEEDS: readonly KeptSeed[] = [
  {
    seed: 143,
    world: 2,
    found:
      "an agent that died right after it met a restored coordinator told the new history of attempts of the old one (test/unit/agent/session.test.ts)",
  },
  {
    seed: 206,
    world: 2,
    found:
      "a task leased again under the number of an attempt that was still being ended never ran (test/unit/agent/session.test.ts)",
  },
  {
    seed: 436,
    world: 2,
    found:
      "a task that waited in a lane when its agent was restarted was taken back and then run by nobody (test/unit/agent/leases.test.ts)",
  },
  {
    seed: 571,
    world: 2,
    found:
      "what waited in lanes started by itself under an agent that trusted nothing yet (test/unit/agent/leases.test.ts)",
  },
  {
    seed: 948,
    world: 2,
    found:
      "each reconnect gave an agent as many leases ahead again as it had asked for (test/unit/dispatch/session.test.ts)",
  },
  {
    seed: 1651,
    world: 2,
    found:
      "a second machine with a copied identity disowned what the first one had finished (test/unit/dispatch/session.test.ts)",
  },
  {
    seed: 16943,
    world: 4,
    found:
      "an answer that had waited in the socket while the machine slept restored trust in leases that were given away (test/unit/agent/session.test.ts)",
  },
  {
    seed: 956,
    world: 4,
    found:
      "an outbox that could not be written held its agent for ever when its ends were acknowledged meanwhile (test/unit/agent/outbox.test.ts)",
  },
  {
    seed: 128514,
    world: 4,
    found:
      "a second machine with a copied identity took over what the first one had, as a coordinator woke that had not listened (test/unit/dispatch/session.test.ts)",
  },
];
