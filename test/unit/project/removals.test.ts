/** What is stopped of people who may not submit any more, with the database and the dispatcher played. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DecisionRequest, UnfinishedExperiment } from "../../../coordinator/dispatch/contract.ts";
import { stopWorkOfRemoved } from "../../../coordinator/domain/project/removals.ts";
import type { StoredProject } from "../../../coordinator/store/projects.ts";
import type { Submitter } from "../../../coordinator/store/removals.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ActorId, ExperimentId, ProjectId } from "../../../shared/model/ids.ts";

const ALICE = 101 as ActorId;
const BOB = 102 as ActorId;
const ADMIN = 1 as ActorId;
const PHYSICS = 7 as ProjectId;
const CHEMISTRY = 8 as ProjectId;

/** Two projects with unfinished work of three people. Nobody is removed, nothing is stopped by policy. */
function world() {
  const state = {
    policies: new Map<ProjectId, StoredProject["onRemoval"]>([
      [PHYSICS, "keep"],
      [CHEMISTRY, "keep"],
    ]),
    /** `project actor` of those who may submit. */
    may: new Set([`${PHYSICS} ${ALICE}`, `${PHYSICS} ${BOB}`, `${CHEMISTRY} ${ALICE}`]),
    disabled: new Set<ActorId>(),
    nowMs: 100,
    noted: new Map<string, Submitter & { sinceMs: number }>(),
    decided: [] as string[],
    reasons: [] as string[],
    audited: [] as string[],
    meanwhile: undefined as (() => void) | undefined,
    refuse: undefined as string | undefined,
    work: [
      experiment(1, PHYSICS, ALICE),
      experiment(2, PHYSICS, ALICE, "PAUSED"),
      experiment(3, PHYSICS, BOB),
      experiment(4, CHEMISTRY, ALICE),
      experiment(5, PHYSICS, ADMIN),
    ],
  };
  const key = ({ project, actor }: Submitter): string => `${project} ${actor}`;
  const projects = () =>
    [...state.policies].map(([project, onRemoval]) => ({ project, name: `p${project}`, onRemoval }));
  const run = (signal = new AbortController().signal): Promise<void> =>
    stopWorkOfRemoved(
      {
        dispatcher: {
          unfinished: (wanted) => state.work.filter(({ project }) => wanted.has(project)),
          decide: async ({ kind, experiment, actor, reason }: DecisionRequest) => {
            assert.equal(actor, 0, "a decision of the system");
            if (state.refuse) throw new AiravataError(state.refuse as "internal", "no");
            state.decided.push(`${kind} ${experiment}`);
            state.reasons.push(reason);
            state.meanwhile?.();
            return { affected: 1 };
          },
        },
        clock: { wall: () => state.nowMs },
        projects: { list: async () => projects() as StoredProject[] },
        access: {
          allows: async (actor, { id }, permission) => permission === "submit" && state.may.has(`${id} ${actor}`),
        },
        removals: {
          noted: async () => [...state.noted.values()],
          disabled: async (actors) => new Set(actors.filter((actor) => state.disabled.has(actor))),
          names: async () => ({ actor: "alice", by: "bob" }),
          note: async (submitter, stopped) => {
            state.noted.set(key(submitter), submitter);
            state.audited.push(stopped.join());
          },
          forget: async (submitter) => void state.noted.delete(key(submitter)),
        },
      },
      signal,
    );
  return { state, run };
}

function experiment(id: number, project: ProjectId, actor: ActorId, state = "EXECUTING"): UnfinishedExperiment {
  return { experiment: id as ExperimentId, project, actor, state: state as "EXECUTING", submittedAtMs: 10 + id };
}

test("whoever may still submit keeps his work, and so does everybody of a project that keeps it", async () => {
  const { state, run } = world();
  state.may.clear();
  await run();
  assert.deepEqual([state.decided, state.noted.size], [[], 0]);
  state.policies.set(PHYSICS, "cancel");
  state.may.add(`${PHYSICS} ${ALICE}`).add(`${PHYSICS} ${BOB}`);
  await run();
  assert.deepEqual([state.decided, state.noted.size], [[], 0]);
});

test("who lost it has his experiments of that project paused or canceled, and nobody else's", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "pause");
  state.may.delete(`${PHYSICS} ${ALICE}`);
  await run();
  assert.deepEqual(state.decided, ["pause 1"], "one that is paused is left alone");
  assert.deepEqual(state.reasons, ["paused because alice may not submit to project p7 any more; bob took that away"]);
  assert.deepEqual(state.audited, ["1"]);
  state.policies.set(CHEMISTRY, "cancel");
  state.may.delete(`${CHEMISTRY} ${ALICE}`);
  await run();
  assert.deepEqual(state.decided, ["pause 1", "cancel 4"]);
});

test("a disabled account has lost it, whatever the relationships say", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "cancel");
  state.disabled.add(BOB);
  await run();
  assert.deepEqual(state.decided, ["cancel 3"]);
});

test("it is done once: who resumes such an experiment has the last word", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "pause");
  state.may.delete(`${PHYSICS} ${ALICE}`);
  await run();
  await run();
  assert.deepEqual(state.decided, ["pause 1"]);
  // A submit that raced with the removal is later than the note.
  state.work.push({ ...experiment(9, PHYSICS, ALICE), submittedAtMs: 200 });
  state.nowMs = 300;
  await run();
  await run();
  assert.deepEqual(state.decided, ["pause 1", "pause 9"]);
});

test("what is submitted while the others are stopped is stopped as well", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "pause");
  state.may.delete(`${PHYSICS} ${ALICE}`);
  state.meanwhile = () => {
    state.meanwhile = undefined;
    state.work.push({ ...experiment(9, PHYSICS, ALICE), submittedAtMs: 150 });
    state.nowMs = 200;
  };
  await run();
  await run();
  await run();
  assert.deepEqual(state.decided, ["pause 1", "pause 9"]);
});

test("who gets it back is forgotten, and stopped again when he loses it again", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "pause");
  state.may.delete(`${PHYSICS} ${ALICE}`);
  await run();
  state.may.add(`${PHYSICS} ${ALICE}`);
  await run();
  assert.equal(state.noted.size, 0);
  state.may.delete(`${PHYSICS} ${ALICE}`);
  await run();
  assert.deepEqual(state.decided, ["pause 1", "pause 1"]);
});

test("an experiment that ended meanwhile is no failure; anything else is, and is tried again", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "cancel");
  state.may.delete(`${PHYSICS} ${BOB}`);
  state.refuse = "not_leading";
  await assert.rejects(run(), { code: "not_leading" });
  assert.equal(state.noted.size, 0, "not noted as done");
  state.refuse = "experiment_state_conflict";
  await run();
  assert.deepEqual([state.noted.size, state.audited], [1, [""]]);
});

test("nothing more is begun once leadership ended", async () => {
  const { state, run } = world();
  state.policies.set(PHYSICS, "cancel");
  state.may.clear();
  await run(AbortSignal.abort());
  assert.deepEqual(state.decided, []);
});
