/** Since when agents are lost that hold tasks, as the dispatcher knows it, kept in the database when it changed. */
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { AgentStore } from "../../store/agents.ts";

export interface AgentAbsences {
  keep(): Promise<void>;
}

export function createAgentAbsences(dispatcher: Dispatcher, agents: AgentStore): AgentAbsences {
  let kept = "";
  dispatcher.onLeadership(() => {
    // Another one may have written meanwhile.
    kept = "";
  });
  return {
    async keep() {
      // Both in one turn: agents of a process that does not lead are none, which must not be written.
      const views = dispatcher.agents();
      if (!dispatcher.leadership().leading) return;
      const absences = views.flatMap(({ agent, awaySinceMs, leases }) =>
        awaySinceMs === null || leases === 0 ? [] : [{ agent, sinceMs: awaySinceMs }],
      );
      const text = JSON.stringify(absences);
      if (text === kept) return;
      await agents.keepAbsences(absences);
      kept = text;
    },
  };
}
