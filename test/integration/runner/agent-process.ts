/**
 * An agent that a test may kill: opens a state directory, gives the runs of its second argument (JSON: a list of
 * [lane, request]) to the runners and prints every event as a line. It acknowledges nothing.
 */
import { openSupervisor } from "../../../agent/run/supervisor/supervisor.ts";
import { RUNNER } from "./harness.ts";

const [stateDir, runs] = process.argv.slice(2) as [string, string];
const supervisor = await openSupervisor({
  stateDir,
  runnerPath: RUNNER,
  lanes: 2,
  onEvent: (event) => console.log(JSON.stringify(event)),
});
for (const [lane, request] of JSON.parse(runs)) supervisor.run(lane, request);
console.log("given");
