/** An agent as a process of its own, for tests that kill it: options as JSON in the first argument, SIGTERM drains. */
import { createAgent } from "../../agent/agent.ts";
import { agentOptions } from "./agent.ts";

const { apiUrl, outputDir, ...more } = JSON.parse(process.argv[2] ?? "{}");
const agent = await createAgent(agentOptions(apiUrl, outputDir, more));
process.on("SIGTERM", () => agent.drain("SIGTERM"));
process.stdout.write("started\n");
const ending = await agent.over;
process.stdout.write(`${ending.reason}\n`);
