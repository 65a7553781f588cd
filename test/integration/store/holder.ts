/** A coordinator that only leads: for leadership.test.ts, which kills and stops it. Appends when told to. */
import { createInterface } from "node:readline";
import { createStore } from "../../../coordinator/store/store.ts";
import { LEADERSHIP_RENEWAL_MS } from "../../../shared/model/constants.ts";
import { Cutter, submit } from "../../support/journal.ts";

const store = createStore(process.argv[2] as string);
const reign = await store.leadership(0, "holder").campaign(new AbortController().signal);
console.log(`leading ${reign.term}`);
const renewing = setInterval(() => reign.renew().catch(() => clearInterval(renewing)), LEADERSHIP_RENEWAL_MS);
for await (const _ of createInterface({ input: process.stdin })) {
  const outcome = await reign.append(new Cutter(reign).batch({ submits: [submit(7)] })).then(
    () => "appended",
    (error: Error) => `rejected ${error.name} ${error.message}`,
  );
  console.log(outcome);
}
