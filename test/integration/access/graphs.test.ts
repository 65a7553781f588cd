/**
 * Random graphs of people, nested groups, roles and shares, made and unmade through the API: what it then lists and allows
 * to each of them is exactly what an independent model of the rules says.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ApiError, type Client } from "../../../shared/api/client.ts";
import { Random } from "../../simulation/engine/random.ts";
import { startTestCoordinator, type TestCoordinatorOptions } from "../../support/coordinator.ts";
import { until } from "../../support/fault-process.ts";
import { startSpicedb } from "../../support/servers/spicedb.ts";
import { needs } from "../../support/services.ts";
import { Model, ROOT } from "./model.ts";
import { bring, type Graph, makeWorld, nextGraph, type World } from "./world.ts";

/** About each graph: the lists of so many people, and single questions. All people's about one of so many. */
const LISTS_OF = 1;
const QUESTIONS = 5;
const ALL_LISTS_EVERY = 25;

test("500 random graphs: every answer is that of the model", (t) => compareGraphs(t, 500, {}));

test("25 random graphs with SpiceDB's server", { skip: needs("spicedb") }, async (t) => {
  const server = await startSpicedb({ store: "memory" });
  const settings = { spicedbEndpoint: server.endpoint, spicedbToken: server.key, spicedbInsecure: true };
  await compareGraphs(t, 25, { authorization: settings }, () => server.stop());
});

async function compareGraphs(
  t: TestContext,
  graphs: number,
  options: TestCoordinatorOptions,
  after?: () => unknown,
): Promise<void> {
  const at = await startTestCoordinator(t, options);
  if (after) at.defer(after);
  // Whoever leads loads the engine first.
  await until("authorization answers", async () => (await code(at.client.call("listGroups", {}))) === "done");
  const world = await makeWorld(at);
  const seed = Date.now() % 1_000_000_000;
  const random = new Random(seed);
  t.diagnostic(`seed ${seed}`);
  let graph: Graph = new Map();
  let changes = 0;
  let answers = 0;
  for (let i = 0; i < graphs; i++) {
    const next = nextGraph(world, graph, random);
    changes += await bring(world, graph, next, random);
    graph = next;
    const edges = [...graph.values()];
    const where = () => `seed ${seed}, graph ${i}: ${edges.map((e) => `${e.who} ${e.relation} of ${e.on}`).join(", ")}`;
    const everybody = [ROOT, ...world.users];
    const people =
      i % ALL_LISTS_EVERY === 0 ? everybody : Array.from({ length: LISTS_OF }, () => random.pick(everybody));
    answers += await compare(world, new Model(edges), people, random, where);
  }
  t.diagnostic(`${changes} changes, ${answers} answers`);
}

async function compare(
  world: World,
  model: Model,
  people: string[],
  random: Random,
  where: () => string,
): Promise<number> {
  const asked: Promise<void>[] = [];
  const ask = (what: string, answer: Promise<unknown>, expected: unknown): void => {
    asked.push(answer.then((given) => assert.deepEqual(given, expected, `${what}; ${where()}`)));
  };
  for (const user of people) {
    const client = world.clients.get(user) as Client;
    for (const [what, names, expected] of listsOf(world, model, user, client)) ask(`${user}: ${what}`, names, expected);
  }
  for (let i = 0; i < QUESTIONS; i++) {
    const user = random.pick([ROOT, ...world.users]);
    const [what, answer, expected] = random.pick(questionsOf(world, model, user))(world.clients.get(user) as Client);
    ask(`${user}: ${what}`, code(answer), expected);
  }
  await Promise.all(asked);
  return asked.length;
}

type List = [what: string, names: Promise<string[]>, expected: string[]];

function listsOf(world: World, model: Model, user: string, client: Client): List[] {
  const namesOf = async (page: Promise<{ items: { name: string }[] }>) =>
    (await page).items.map(({ name }) => name).sort();
  const seen = <T extends { name: string }>(all: T[], sees: (one: T) => boolean) =>
    all
      .filter(sees)
      .map(({ name }) => name)
      .sort();
  const query = { limit: 100 };
  return [
    [
      "groups",
      namesOf(client.call("listGroups", { query })),
      world.groups.filter((group) => model.group(user, group).view),
    ],
    [
      "projects",
      namesOf(client.call("listProjects", {})),
      [...(user === ROOT ? ["default"] : []), ...world.projects.filter((project) => model.rank(user, project) >= 1)],
    ],
    [
      "experiments",
      client.call("listExperiments", { query }).then(({ items }) => items.map(({ id }) => `e${id}`).sort()),
      seen(world.experiments, (one) => model.experiment(user, one).view),
    ],
    [
      "compute resources",
      namesOf(client.call("listComputeResources", { query })),
      seen(world.compute, (one) => model.resource(user, one).view),
    ],
    [
      "storage resources",
      namesOf(client.call("listStorageResources", { query })),
      seen(world.storage, (one) => model.resource(user, one).view),
    ],
    [
      "credentials",
      namesOf(client.call("listCredentials", { query })),
      seen(world.credentials, (one) => model.credential(user, one).view),
    ],
  ];
}

type Question = (client: Client) => [what: string, answer: Promise<unknown>, code: string];

/** Of what is allowed nothing comes: each asks for something that is refused, or already so, once it is allowed. */
function questionsOf(world: World, model: Model, user: string): Question[] {
  const nobody = { user: "nobody-of-that-name" };
  const expect = (sees: boolean, may: boolean, absent: string, done: string): string =>
    sees ? (may ? done : "forbidden") : absent;
  const questions: Question[] = [];
  for (const group of world.groups) {
    const { view, manage } = model.group(user, group);
    const params = { group };
    questions.push(
      (client) => [`show ${group}`, client.call("getGroup", { params }), expect(view, true, "group_not_found", "done")],
      (client) => [
        `manage ${group}`,
        client.call("addGroupMember", { params, body: nobody }),
        expect(view, manage, "group_not_found", "user_not_found"),
      ],
    );
  }
  for (const project of world.projects) {
    const rank = model.rank(user, project);
    const params = { project };
    questions.push(
      (client) => [
        `show ${project}`,
        client.call("getProject", { params }),
        expect(rank >= 1, true, "project_not_found", "done"),
      ],
      (client) => [
        `manage ${project}`,
        client.call("setProjectMember", { params, body: { ...nobody, role: "viewer" } }),
        expect(rank >= 1, rank >= 4, "project_not_found", "user_not_found"),
      ],
      (client) => [
        `operate ${project}`,
        client.call("createComputeResource", { body: { name: "x", kind: "slurm", project } }),
        expect(rank >= 1, rank >= 3, "project_not_found", "request_invalid"),
      ],
    );
  }
  for (const experiment of world.experiments) {
    const { view, operate, share } = model.experiment(user, experiment);
    const params = { experiment: experiment.id };
    questions.push(
      (client) => [
        `show ${experiment.name}`,
        client.call("getExperiment", { params }),
        expect(view, true, "experiment_not_found", "done"),
      ],
      (client) => [
        `resume ${experiment.name}`,
        client.call("resumeExperiment", { params }),
        expect(view, operate, "experiment_not_found", "experiment_state_conflict"),
      ],
      (client) => [
        `share ${experiment.name}`,
        client.call("shareExperiment", { params, body: nobody }),
        expect(view, share, "experiment_not_found", "user_not_found"),
      ],
    );
  }
  for (const credential of world.credentials) {
    const { view, write, manage } = model.credential(user, credential);
    const { name } = credential;
    const params = { credential: credential.id };
    questions.push(
      (client) => [
        `show ${name}`,
        client.call("getCredential", { params }),
        expect(view, true, "credential_not_found", "done"),
      ],
      (client) => [
        `change ${name}`,
        client.call("changeCredential", { params, body: { version: 1_000_000 } }),
        expect(view, write, "credential_not_found", "credential_changed"),
      ],
      (client) => [
        `share ${name}`,
        client.call("shareCredential", { params, body: nobody }),
        expect(view, manage, "credential_not_found", "user_not_found"),
      ],
    );
  }
  for (const [all, get, change, give] of [
    [world.compute, "getComputeResource", "changeComputeResource", "shareComputeResource"],
    [world.storage, "getStorageResource", "changeStorageResource", "shareStorageResource"],
  ] as const) {
    for (const resource of all) {
      const { view, write, manage } = model.resource(user, resource);
      const params = { resource: resource.name };
      questions.push(
        (client) => [
          `show ${resource.name}`,
          client.call(get, { params }),
          expect(view, true, "resource_not_found", "done"),
        ],
        (client) => [
          `change ${resource.name}`,
          client.call(change, { params, body: { version: 1_000_000 } }),
          expect(view, write, "resource_not_found", "resource_changed"),
        ],
        (client) => [
          `share ${resource.name}`,
          client.call(give, { params, body: nobody }),
          expect(view, manage, "resource_not_found", "user_not_found"),
        ],
      );
    }
  }
  return questions;
}

async function code(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
    return "done";
  } catch (error) {
    if (error instanceof ApiError) return error.code;
    throw error;
  }
}
