/**
 * The one cookie there is: it binds a login that is under way to the browser that began it, and is no session. `__Host-`
 * makes browsers refuse one that another host of the domain planted; they grant it to https only.
 */

const NAME = "airavata_login";

/** As a `Set-Cookie`; a lifetime of 0 takes it away. Lax: it comes along when the provider sends the browser back. */
export function loginCookie(value: string, isSecure: boolean, lifetimeMs: number): string {
  const attributes = `Path=/; Max-Age=${lifetimeMs / 1_000}; HttpOnly; SameSite=Lax${isSecure ? "; Secure" : ""}`;
  return `${nameOf(isSecure)}=${value}; ${attributes}`;
}

/** Out of a `Cookie`; undefined when it is not there, or there twice, of which one is not ours. */
export function cookieOf(header: string | undefined, isSecure: boolean): string | undefined {
  const values = pairs(header).filter(([name]) => name === nameOf(isSecure));
  return values.length === 1 ? values[0]?.[1] : undefined;
}

/** Of a `Cookie` what may go on to another coordinator; undefined when nothing of it. */
export function forwardedCookie(header: string | undefined): string | undefined {
  const own = pairs(header).filter(([name]) => name === nameOf(true) || name === nameOf(false));
  return own.length === 0 ? undefined : own.map(([name, value]) => `${name}=${value}`).join("; ");
}

function nameOf(isSecure: boolean): string {
  return isSecure ? `__Host-${NAME}` : NAME;
}

function pairs(header: string | undefined): [string, string][] {
  return (header ?? "").split(";").map((pair) => {
    const at = pair.indexOf("=");
    return [pair.slice(0, Math.max(at, 0)).trim(), pair.slice(at + 1).trim()];
  });
}
