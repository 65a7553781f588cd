/**
 * Groups in groups: no circle, and no deeper than a bound, so that whoever asks for a group's people has an end in sight.
 * Asked under the lock of all writers of relationships, so that two that meet cannot close a circle together.
 */
import type { Connection } from "../../db/connection.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { GROUP_DEPTH_MAX } from "../../shared/model/constants.ts";

const TIMEOUT_MS = 5_000;

/** Throws `group_nesting_refused` when `member` must not become a member of `group`. */
export async function refuseNesting(
  connection: Connection,
  group: number,
  member: { id: number; name: string },
): Promise<void> {
  const refused = (why: string): AiravataError => {
    return new AiravataError("group_nesting_refused", `group ${member.name} cannot be put into that group: ${why}`);
  };
  if (group === member.id) throw refused("a group is not in itself");
  // The pair of group and depth is kept once, however many ways lead there: at most groups × depth.
  const [row] = await connection.rows<{ circle: boolean; below: number; above: number }>(
    `with recursive
       below (id, depth) as (
         select $2::text, 0 union
         select r.subject_id, b.depth + 1 from below b join relationship r on r.resource_type = 'group'
           and r.resource_id = b.id and r.relation = 'member' and r.subject_type = 'group' where b.depth <= $3),
       above (id, depth) as (
         select $1::text, 0 union
         select r.resource_id, a.depth + 1 from above a join relationship r on r.subject_type = 'group'
           and r.subject_id = a.id and r.resource_type = 'group' and r.relation = 'member' where a.depth <= $3)
     select exists (select 1 from below where id = $1) as circle,
       (select max(depth) from below) as below, (select max(depth) from above) as above`,
    [String(group), String(member.id), GROUP_DEPTH_MAX],
    TIMEOUT_MS,
  );
  const { circle, below, above } = row!;
  if (circle) throw refused("that one is in it already, itself or through others, so they would go in a circle");
  const depth = below + above + 1;
  if (depth <= GROUP_DEPTH_MAX) return;
  throw refused(`groups would be ${depth} deep in each other, at most ${GROUP_DEPTH_MAX} is followed`);
}
