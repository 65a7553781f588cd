/**
 * `make spicedb-validate`: has SpiceDB's own engine read db/spicedb_schema.zed and compares its answers with those that
 * db/spicedb_validation.yaml, or the file that is named, expects. It is written as SpiceDB's command line has it, which can
 * read it, too.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parse } from "yaml";
import { z } from "zod";
import { createAuthorizationEngine } from "../../coordinator/authz/engine.ts";
import { errorLine } from "../../shared/error/error.ts";
import { silentLogger } from "../../shared/log/log.ts";
import { parseRelationship, type Relationship } from "../../shared/model/relationship.ts";

const [, , given = fileURLToPath(new URL("../../db/spicedb_validation.yaml", import.meta.url))] = process.argv;
const VALIDATION = pathToFileURL(given);

const Validation = z.strictObject({
  schemaFile: z.string(),
  relationships: z.string(),
  assertions: z.strictObject({ assertTrue: z.array(z.string()), assertFalse: z.array(z.string()) }),
});

const EMBEDDED = {
  spicedbEndpoint: undefined,
  spicedbToken: undefined,
  spicedbInsecure: false,
  spicedbCaFile: undefined,
};

try {
  const wrong = await wrongAnswers();
  for (const sentence of wrong) console.error(sentence);
  if (wrong.length > 0) process.exitCode = 1;
} catch (error) {
  console.error(errorLine(error));
  process.exitCode = 1;
}

async function wrongAnswers(): Promise<string[]> {
  const { schemaFile, relationships, assertions } = Validation.parse(parse(readFileSync(VALIDATION, "utf8")));
  const schema = readFileSync(new URL(schemaFile, VALIDATION), "utf8");
  const expected = [
    ...assertions.assertTrue.map((text) => ({ text, is: true })),
    ...assertions.assertFalse.map((text) => ({ text, is: false })),
  ];
  const engine = createAuthorizationEngine(EMBEDDED, { log: silentLogger, onForgotten: () => {} });
  try {
    await engine.prepare(schema);
    const written = relationships.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("//"));
    const revision = await engine.apply(written.map((line) => ({ op: "touch", relationship: read(line) })));
    const questions = expected.map(({ text }) => {
      const { resource, relation: permission, subject } = read(text);
      return { resource, permission, subject };
    });
    const answers = await engine.check(questions, revision);
    const wrong = expected.filter(({ is }, i) => answers[i] !== is);
    console.log(`${expected.length - wrong.length} assertions hold, ${wrong.length} do not.`);
    return wrong.map(({ text, is }) => `${text} is ${!is} and must be ${is}`);
  } finally {
    await engine.close();
  }
}

function read(text: string): Relationship {
  const relationship = parseRelationship(text.trim());
  if (!relationship) throw new Error(`"${text}" in ${given} is not written as project:1#view@user:2`);
  return relationship;
}
