/**
 * A real OpenID provider on a free port of loopback, with the people that a test knows; it asks each for a name and his
 * consent, as its pages for development do. And a browser without a screen: it keeps cookies, follows redirects, sends
 * forms.
 */
import { generateKeyPairSync } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import Provider, { type Configuration } from "oidc-provider";

export const CLIENT_ID = "airavata";
export const CLIENT_SECRET = "not-a-secret-0123456789-for-tests-only";
/** Proves itself by PKCE alone. */
export const PUBLIC_CLIENT_ID = "airavata-public";

export interface Person {
  preferred_username?: string;
  name?: string;
  email?: string;
}

export interface TestProvider {
  issuer: string;
  close(): Promise<void>;
}

/** `people` by subject: what one enters as his name. */
export async function startProvider(
  t: TestContext,
  people: Record<string, Person>,
  changes: Configuration = {},
): Promise<TestProvider> {
  let handler: RequestListener = () => {};
  const server = createServer((request, response) => handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  // Native clients may come back to any port of loopback.
  const client = {
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    application_type: "native" as const,
    redirect_uris: ["http://127.0.0.1/api/v1/auth/oidc/callback"],
    response_types: ["code" as const],
    grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
    token_endpoint_auth_method: "client_secret_basic" as const,
  };
  const { client_secret: _, ...open } = client;
  const provider = new Provider(issuer, {
    clients: [client, { ...open, client_id: PUBLIC_CLIENT_ID, token_endpoint_auth_method: "none" }],
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email"] },
    findAccount: (_context, subject) =>
      subject in people ? { accountId: subject, claims: () => ({ sub: subject, ...people[subject] }) } : undefined,
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "k1" } as never] },
    cookies: { keys: ["for tests"] },
    ...changes,
  });
  handler = provider.callback();
  const close = (): Promise<void> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  t.after(close);
  return { issuer, close };
}

export interface Page {
  url: string;
  status: number;
  text: string;
}

export class Browser {
  /** By origin: unlike real ones, which do not tell ports apart. */
  readonly cookies = new Map<string, Map<string, string>>();

  /** Follows redirects until there is none, or it leads to `until`, which is not opened. */
  async open(url: string, until?: string, form?: Record<string, string>): Promise<Page> {
    let next = { url, form };
    for (let redirects = 0; redirects < 20; redirects++) {
      if (until !== undefined && next.url.startsWith(until)) return { url: next.url, status: 0, text: "" };
      const { origin } = new URL(next.url);
      const jar = this.cookies.get(origin) ?? new Map<string, string>();
      this.cookies.set(origin, jar);
      const answer = await fetch(next.url, {
        method: next.form ? "POST" : "GET",
        headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") },
        redirect: "manual",
        ...(next.form ? { body: new URLSearchParams(next.form) } : {}),
      });
      for (const line of answer.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (value === "" || /max-age=0|expires=thu, 01 jan 1970/i.test(line)) jar.delete(name);
        else jar.set(name, value);
      }
      const text = await answer.text();
      const location = answer.headers.get("location");
      if (location === null) return { url: next.url, status: answer.status, text };
      next = { url: new URL(location, next.url).href, form: undefined };
    }
    throw new Error(`too many redirects at ${next.url}`);
  }

  /** Enters a name and consents, until the provider sends the browser to `until` or shows a page without a form. */
  async login(start: string, subject: string, until?: string): Promise<Page> {
    let page = await this.open(start, until);
    for (let pages = 0; pages < 6; pages++) {
      const action = /<form[^>]*action="([^"]+)"/.exec(page.text)?.[1];
      if (page.status === 0 || action === undefined) return page;
      const hidden = [...page.text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
      const form = Object.fromEntries(hidden.map(([, name = "", value = ""]) => [name, value]));
      const filled = { ...form, login: subject, password: "any", confirm: "yes" };
      page = await this.open(new URL(action, page.url).href, until, filled);
    }
    throw new Error(`no end of forms at ${page.url}`);
  }
}
