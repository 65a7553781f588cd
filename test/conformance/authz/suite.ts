/**
 * What every authorization engine promises, asked of each in turn. A test works on ids of its own, so that engines whose
 * store is shared by a file's tests answer as those that have one for each.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { AuthorizationEngine } from "../../../coordinator/domain/access/ports.ts";
import { held, object, question, remove, SCHEMA, touch } from "../../support/authorization.ts";

export interface SuiteOptions {
  /** On a store that tests may change. */
  open(t: TestContext): Promise<AuthorizationEngine>;
  /** Another one on the same store. One that has just prepared a schema asks a server for its present only. */
  other(engine: AuthorizationEngine): AuthorizationEngine;
  skip?: false | string;
}

export function authorizationSuite(name: string, { open, other, skip = false }: SuiteOptions): void {
  const promise = (what: string, body: (engine: AuthorizationEngine, id: string) => Promise<void>): void => {
    test(`${name}: ${what}`, { skip }, async (t) => {
      const engine = await open(t);
      await other(engine).prepare(SCHEMA);
      await body(engine, randomBytes(6).toString("hex"));
    });
  };
  const ask = async (engine: AuthorizationEngine, revision: string, ...texts: string[]): Promise<boolean[]> =>
    engine.check(texts.map(question), revision);

  promise("what was written is answered, and nothing else", async (engine, p) => {
    const revision = await engine.apply(touch(`project:${p}#owner@user:1`, `project:${p}#viewer@user:2`));
    assert.deepEqual(
      await ask(
        engine,
        revision,
        `project:${p}#manage@user:1`,
        `project:${p}#view@user:1`,
        `project:${p}#manage@user:2`,
        `project:${p}#view@user:2`,
        `project:${p}#view@user:3`,
        `project:${p}x#view@user:1`,
      ),
      [true, true, false, true, false, false],
    );
  });

  promise("members of nested groups have what their groups have, until a link between is cut", async (engine, p) => {
    const chain = [`group:${p}c#member@user:1`, `group:${p}b#member@group:${p}c#member`];
    const revision = await engine.apply(
      touch(...chain, `group:${p}a#member@group:${p}b#member`, `project:${p}#viewer@group:${p}a#member`),
    );
    assert.deepEqual(await ask(engine, revision, `project:${p}#view@user:1`, `project:${p}#manage@user:1`), [
      true,
      false,
    ]);
    const cut = await engine.apply(remove(`group:${p}a#member@group:${p}b#member`));
    assert.deepEqual(await ask(engine, cut, `project:${p}#view@user:1`), [false]);
  });

  promise("groups that are each other's members are no trouble", async (engine, p) => {
    const revision = await engine.apply(
      touch(
        `group:${p}a#member@group:${p}b#member`,
        `group:${p}b#member@user:1`,
        `project:${p}#viewer@group:${p}a#member`,
      ),
    );
    assert.deepEqual(await ask(engine, revision, `project:${p}#view@user:1`, `project:${p}#view@user:2`), [
      true,
      false,
    ]);
  });

  promise("the same changes again change nothing", async (engine, p) => {
    const changes = [...touch(`project:${p}#owner@user:1`), ...remove(`project:${p}#viewer@user:2`)];
    await engine.apply(changes);
    await engine.apply(changes);
    assert.deepEqual(await held(engine, p), [`project:${p}#owner@user:1`]);
  });

  promise("changes of one relationship count in their order", async (engine, p) => {
    const one = `project:${p}#viewer@user:1`;
    const other = `project:${p}#viewer@user:2`;
    await engine.apply([...touch(one), ...remove(one), ...remove(other), ...touch(other)]);
    assert.deepEqual(await held(engine, p), [other]);
  });

  promise("a change that is refused takes the others of its call with it", async (engine, p) => {
    const refused = touch(`project:${p}#viewer@user:1`, `project:${p}#nobody@user:1`);
    await assert.rejects(engine.apply(refused), { code: "authorization_unavailable", message: /nobody/ });
    assert.deepEqual(await held(engine, p), []);
  });

  promise("an id that SpiceDB does not take is our own fault", async (engine, p) => {
    await assert.rejects(engine.apply(touch(`project:${p} x#viewer@user:1`)), {
      code: "internal",
      message: /object_id/,
    });
  });

  promise("more changes than a call takes are applied in order all the same", async (engine, p) => {
    const one = `project:${p}#viewer@user:0`;
    const many = Array.from({ length: 1_500 }, (_, i) => `project:${p}#viewer@user:${i + 1}`);
    // The first and the last change of the same relationship stand in different calls.
    await engine.apply([...touch(one), ...touch(...many), ...remove(one)]);
    assert.deepEqual(await held(engine, p), [...many].sort());
  });

  promise("a question with the revision of a deletion is never answered as before it", async (engine, p) => {
    // What was asked a moment ago lies in caches of the engine, which may answer from the past when not told a revision.
    for (let round = 0; round < 20; round++) {
      const given = await engine.apply(touch(`group:${p}#member@user:${p}`, `project:${p}#viewer@group:${p}#member`));
      assert.deepEqual(await ask(engine, given, `project:${p}#view@user:${p}`), [true]);
      const taken = await engine.apply(remove(`group:${p}#member@user:${p}`));
      assert.deepEqual(await ask(engine, taken, `project:${p}#view@user:${p}`), [false], `round ${round}`);
      assert.deepEqual(await engine.lookup("project", "view", object(`user:${p}`), taken), []);
      const again = await engine.apply(touch(`project:${p}#viewer@group:${p}#member`));
      assert.deepEqual(await ask(engine, again, `project:${p}#view@user:${p}`), [false]);
    }
  });

  promise("lookup names each object once, however many ways lead to it", async (engine, p) => {
    const revision = await engine.apply(
      touch(
        `project:${p}1#owner@user:${p}`,
        `project:${p}1#viewer@user:${p}`,
        `project:${p}1#viewer@group:${p}#member`,
        `project:${p}2#viewer@group:${p}#member`,
        `project:${p}3#viewer@user:${p}x`,
        `group:${p}#member@user:${p}`,
      ),
    );
    const subject = object(`user:${p}`);
    assert.deepEqual((await engine.lookup("project", "view", subject, revision)).sort(), [`${p}1`, `${p}2`]);
    assert.deepEqual(await engine.lookup("project", "manage", subject, revision), [`${p}1`]);
    assert.deepEqual(await engine.lookup("project", "view", object(`user:${p}y`), revision), []);
  });

  promise("lookup is as fresh as it was asked to be", async (engine, p) => {
    const subject = object(`user:${p}`);
    const given = await engine.apply(touch(`project:${p}#viewer@user:${p}`));
    assert.deepEqual(await engine.lookup("project", "view", subject, given), [p]);
    const taken = await engine.apply(remove(`project:${p}#viewer@user:${p}`));
    assert.deepEqual(await engine.lookup("project", "view", subject, taken), []);
  });

  promise("many questions are answered in their order", async (engine, p) => {
    const even = Array.from({ length: 600 }, (_, i) => `project:${p}#viewer@user:${2 * i}`);
    const revision = await engine.apply(touch(...even));
    const questions = Array.from({ length: 1_200 }, (_, i) => question(`project:${p}#view@user:${i}`));
    assert.deepEqual(
      await engine.check(questions, revision),
      questions.map((_, i) => i % 2 === 0),
    );
    assert.deepEqual(await engine.check([], revision), []);
  });

  promise(
    "who asks at the same time gets his own answers, and a question that has none spoils no other",
    async (engine, p) => {
      const revision = await engine.apply(
        touch(...Array.from({ length: 30 }, (_, i) => `project:${p}${i}#viewer@user:${i}`)),
      );
      const asked = Array.from({ length: 90 }, (_, i) =>
        i % 3 === 2
          ? engine.check([question(`project:${p}#fly@user:1`)], revision).catch((error) => error.code)
          : engine.check(
              [question(`project:${p}${i}#view@user:${i}`), question(`project:${p}${i}#manage@user:${i}`)],
              revision,
            ),
      );
      const expected = Array.from({ length: 90 }, (_, i) =>
        i % 3 === 2 ? "authorization_unavailable" : [i < 30, false],
      );
      assert.deepEqual(await Promise.all(asked), expected);
    },
  );

  promise("read gives everything once, in pages", async (engine, p) => {
    const all = Array.from({ length: 2_500 }, (_, i) => `project:${p}${i}#viewer@group:${p}#member`);
    await engine.apply(touch(...all, `group:${p}#member@user:1`));
    assert.deepEqual(await held(engine, p), [...all, `group:${p}#member@user:1`].sort());
    for await (const page of engine.read()) assert.ok(page.length > 0 && page.length <= 1_000);
  });

  promise("what is written while it is read is in the next reading", async (engine, p) => {
    await engine.apply(touch(`group:${p}#member@user:1`));
    const reading = engine.read()[Symbol.asyncIterator]();
    const first = await reading.next();
    assert.equal(first.done, false);
    // Projects are read after groups; the reading is of one moment, before this.
    await engine.apply(touch(`project:${p}#viewer@user:1`));
    const rest: string[] = [];
    for (let page = await reading.next(); !page.done; page = await reading.next()) {
      rest.push(...page.value.filter(({ resource }) => resource.id === p).map(({ resource }) => resource.type));
    }
    assert.ok(!rest.includes("project"), "a reading is of one moment");
    assert.deepEqual(await held(engine, p), [`group:${p}#member@user:1`, `project:${p}#viewer@user:1`]);
  });

  promise("a question about what the schema does not have is no answer", async (engine, p) => {
    const unknown = [question(`project:${p}#view@user:1`), question(`project:${p}#fly@user:1`)];
    await assert.rejects(engine.check(unknown, ""), { code: "authorization_unavailable", message: /fly/ });
    await assert.rejects(engine.lookup("planet", "view", object("user:1"), ""), { code: "authorization_unavailable" });
  });

  promise("a new schema keeps what is there", async (engine, p) => {
    await engine.apply(touch(`project:${p}#owner@user:1`));
    const newer = SCHEMA.replace("version 1", "version 2").replace(
      "permission manage",
      "permission fly = owner\n  permission manage",
    );
    await engine.prepare(newer);
    assert.deepEqual(await ask(engine, "", `project:${p}#fly@user:1`, `project:${p}#fly@user:2`), [true, false]);
    // An older program that starts beside the newer one leaves that one's schema alone.
    await engine.prepare(SCHEMA);
    assert.deepEqual(await ask(engine, "", `project:${p}#fly@user:1`), [true]);
  });

  promise("a schema that cannot be is refused with its reason", async (engine, p) => {
    const code = "authorization_misconfigured";
    await assert.rejects(engine.prepare("// version 99\ndefinition user {"), { code, message: /parse error/ });
    const revision = await engine.apply(touch(`project:${p}#owner@user:1`));
    const without = "// version 99\ndefinition user {}\ndefinition group {\n relation member: user | group#member\n}\n";
    await assert.rejects(engine.prepare(without), { code, message: /project/ });
    assert.deepEqual(await ask(engine, revision, `project:${p}#manage@user:1`), [true]);
  });
}
