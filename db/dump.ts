/**
 * The schema as one SQL text: what `db/schema.sql` holds. Read from the catalogue of a migrated database, in an order and
 * a form that depend on the schema alone, so that the same migrations give the same text; partitions are left out, for
 * the dispatcher makes them. Loading it into an empty database leaves one that needs no migration.
 */
import type { Connection } from "./connection.ts";

const QUERY_TIMEOUT_MS = 30_000;

const RELATIONSHIP = ["resource_type", "resource_id", "relation", "subject_type", "subject_id", "subject_relation"];

/** Tables whose rows belong to the schema, with the columns that are not filled in by themselves. */
const SEEDED: [string, string[]][] = [
  ["project", ["project", "name"]],
  ["actor", ["actor", "kind", "name"]],
  ["leadership", ["shard"]],
  ["leadership_renewal", ["shard"]],
  ["relationship", [...RELATIONSHIP, "created_by"]],
  ["relationship_change", ["change", "op", ...RELATIONSHIP, "actor"]],
  ["relationship_state", ["one", "head"]],
];

const HEAD = `-- The schema of database airavata_scheduler, made from db/migrations by scripts/dump-schema.ts. Do not edit.
-- Load it into an empty database: psql -f db/schema.sql

begin;
set local search_path = public;
set local check_function_bodies = false;
`;

/** The text of the schema that `connection`'s database has. */
export async function dumpSchema(connection: Connection): Promise<string> {
  const read: Read = async (text, values = []) => connection.rows(text, values, QUERY_TIMEOUT_MS);
  const functions = await functionTexts(read);
  const tables = await tableTexts(read);
  const parts = [HEAD, ...tables, ...(await indexTexts(read)), ...functions, ...(await triggerTexts(read))];
  parts.push(...(await viewTexts(read)), ...(await commentTexts(read)), await preferenceText(read));
  parts.push(...(await rowTexts(read)), "commit;\n");
  return parts.join("\n");
}

type Row = Record<string, string>;
type Read = (text: string, values?: unknown[]) => Promise<Row[]>;

/** Our relations: in schema public, neither partitions nor their indexes. Migrations made them in the order of their oid. */
const OURS = "relnamespace = 'public'::regnamespace and not relispartition";

async function tableTexts(read: Read): Promise<string[]> {
  const tables = await read(
    `select oid, relname, pg_get_partkeydef(oid) as partition from pg_class where ${OURS} and relkind in ('r', 'p') order by oid`,
  );
  const texts: string[] = [];
  for (const { oid, relname, partition } of tables) {
    const lines = [...(await columnLines(read, oid as string)), ...(await constraintLines(read, oid as string))];
    const suffix = partition ? ` partition by ${partition}` : "";
    texts.push(`create table ${relname} (\n${lines.map((line) => `  ${line}`).join(",\n")}\n)${suffix};\n`);
  }
  return texts;
}

async function columnLines(read: Read, table: string): Promise<string[]> {
  const columns = await read(
    `select a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull::text as required, a.attidentity as identity,
       pg_get_expr(d.adbin, d.adrelid) as fallback, s.seqstart::text as start
     from pg_attribute a
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       left join pg_depend p on p.refobjid = a.attrelid and p.refobjsubid = a.attnum and p.deptype = 'i'
         and p.classid = 'pg_class'::regclass
       left join pg_sequence s on s.seqrelid = p.objid
     where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [table],
  );
  return columns.map(({ attname, type, required, identity, fallback, start }) => {
    const kind = identity === "a" ? "always" : "by default";
    const generated = identity ? ` generated ${kind} as identity (start with ${start})` : "";
    return `${attname} ${type}${required === "true" ? " not null" : ""}${fallback ? ` default ${fallback}` : ""}${generated}`;
  });
}

async function constraintLines(read: Read, table: string): Promise<string[]> {
  const rows = await read(
    `select conname, pg_get_constraintdef(oid) as definition from pg_constraint
     where conrelid = $1 and contype in ('p', 'u', 'f', 'c') order by contype, conname`,
    [table],
  );
  return rows.map(({ conname, definition }) => `constraint ${conname} ${definition}`);
}

async function indexTexts(read: Read): Promise<string[]> {
  const rows = await read(
    `select pg_get_indexdef(i.indexrelid) as definition from pg_index i join pg_class c on c.oid = i.indexrelid
     where ${OURS} and not exists (select from pg_constraint k where k.conindid = i.indexrelid) order by c.relname`,
  );
  return rows.map(({ definition }) => `${(definition as string).replace(" ON ONLY ", " ON ")};`);
}

async function functionTexts(read: Read): Promise<string[]> {
  const rows = await read(
    "select pg_get_functiondef(oid) as definition from pg_proc where pronamespace = 'public'::regnamespace order by proname, oid",
  );
  return rows.map(({ definition }) => `\n${(definition as string).trimEnd()};`);
}

async function triggerTexts(read: Read): Promise<string[]> {
  const rows = await read(
    `select pg_get_triggerdef(t.oid) as definition from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where ${OURS} and not t.tgisinternal order by t.tgname`,
  );
  return rows.map(({ definition }) => `\n${(definition as string).replace(" ON public.", " ON ")};`);
}

async function viewTexts(read: Read): Promise<string[]> {
  const rows = await read(
    `select relname, pg_get_viewdef(oid) as definition from pg_class where ${OURS} and relkind = 'v' order by oid`,
  );
  return rows.map(({ relname, definition }) => `\ncreate view ${relname} as\n${(definition as string).trimEnd()}`);
}

async function commentTexts(read: Read): Promise<string[]> {
  const rows = await read(
    `select case c.relkind when 'v' then 'view' else 'table' end as kind, c.relname, a.attname, quote_literal(d.description) as text
     from pg_description d join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
       left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
     where ${OURS} order by c.relname, d.objsubid`,
  );
  return rows.map(({ kind, relname, attname, text }, i) => {
    const what = attname ? `column ${relname}.${attname}` : `${kind} ${relname}`;
    return `${i === 0 ? "\n" : ""}comment on ${what} is ${text};`;
  });
}

/** A preference that the server may or may not be able to follow: so it is asked for again wherever this is loaded. */
async function preferenceText(read: Read): Promise<string> {
  const rows = await read(`select relname from pg_class where ${OURS} and relkind = 'p' order by relname`);
  return `\nselect ${rows.map(({ relname }) => `prefer_fast_storage('${relname}')`).join(", ")};\n`;
}

async function rowTexts(read: Read): Promise<string[]> {
  const texts: string[] = [];
  for (const [table, columns] of SEEDED) {
    const rows = await read(
      `select ${columns.map((c) => `quote_literal(${c}) as ${c}`).join(", ")} from ${table} order by ${columns.map((_, i) => i + 1).join(", ")}`,
    );
    for (const row of rows) {
      texts.push(`insert into ${table} (${columns.join(", ")}) values (${columns.map((c) => row[c]).join(", ")});`);
    }
  }
  const migrations = await read(
    "select version, quote_literal(name) as name, breaking from schema_migration order by version",
  );
  for (const { version, name, breaking } of migrations) {
    const values = `${version}, ${name}, ${breaking}, 'db/schema.sql'`;
    texts.push(`insert into schema_migration (version, name, breaking, program) values (${values});`);
  }
  return texts;
}
