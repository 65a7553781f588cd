/** Who does something, as the audit names him. */
export type { By } from "../../store/audit.ts";
