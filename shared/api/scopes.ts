/** What a personal token may be limited to. Reading is a scope of its own, of whatever. */
export const SCOPES = ["read", "experiments", "projects", "agents", "credentials", "access"] as const;
export type Scope = (typeof SCOPES)[number];
