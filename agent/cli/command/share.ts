/** `airavata experiment share · unshare · shares`: single experiments, beside what their project decides. */
import type { Command } from "commander";
import { eachGrantee, printShares } from "../grantee.ts";
import { experimentNumber } from "../name.ts";
import { addCommand, type Bind } from "./tree.ts";

export function addShareCommands(experiment: Command, bind: Bind): void {
  addCommand(
    experiment,
    {
      usage: "share <experiment> <who...>",
      description: "let people, or groups as group:NAME, see it",
      options: [["--write", "also cancel, pause and retry it"]],
      examples: ["experiment share 17 alice group:lab", "experiment share 17 bob --write"],
    },
    bind,
    async (invocation) => {
      const params = { experiment: experimentNumber(invocation.args[0]) };
      const access = invocation.options.write === true ? "write" : "read";
      const { client } = await invocation.connect();
      const share = (who: object) => client.call("shareExperiment", { params, body: { ...who, access } });
      return printShares(invocation, await eachGrantee(invocation, share));
    },
  );
  addCommand(
    experiment,
    {
      usage: "unshare <experiment> <who...>",
      description: "take it away again",
      examples: ["experiment unshare 17 alice"],
    },
    bind,
    async (invocation) => {
      const params = { experiment: experimentNumber(invocation.args[0]) };
      const { client } = await invocation.connect();
      const unshare = (query: object) => client.call("unshareExperiment", { params, query });
      return printShares(invocation, await eachGrantee(invocation, unshare));
    },
  );
  addCommand(
    experiment,
    { usage: "shares <experiment>", description: "list with whom it is shared", examples: ["experiment shares 17"] },
    bind,
    async (invocation) => {
      const params = { experiment: experimentNumber(invocation.args[0]) };
      const { client } = await invocation.connect();
      return printShares(invocation, await client.call("listExperimentShares", { params }));
    },
  );
}
