/**
 * A client that is logged in: it renews its access token before the end, and once when the server does not know it any
 * more. Of several processes one renews and the others take what it got.
 */
import { ApiError, type Client, createClient } from "../../../shared/api/client.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Credentials, StoredLogin } from "./credentials.ts";

/** Renewed when less is left: a request and its answer, and clocks that differ a little. */
const LEFT_MS_MIN = 30_000;

interface LoggedInOptions {
  server: string;
  credentials: Credentials;
  login: StoredLogin | undefined;
  /** Of the stack on this machine: when there is no login, or it has ended. */
  fallback: string | undefined;
}

/** Calls throw `not_logged_in` when there is no login, or it has ended. */
export function loggedInClient(options: LoggedInOptions): Client {
  const { server, credentials, fallback } = options;
  let login = options.login;
  let renewing: Promise<void> | undefined;

  const renew = (): Promise<void> => {
    renewing ??= renewed(server, credentials, login)
      .then((next) => {
        login = next;
      })
      .finally(() => {
        renewing = undefined;
      });
    return renewing;
  };
  const token = async (): Promise<string | undefined> => {
    if (login !== undefined && Date.parse(login.access_expires_at) - Date.now() < LEFT_MS_MIN) await renew();
    return login?.access_token ?? fallback;
  };
  const attempt = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const before = await token();
    try {
      return await work(createClient({ server, token: before }));
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "unauthorized") throw error;
      if (login !== undefined && login.access_token === before) await renew();
      const after = login?.access_token ?? fallback;
      if (after !== undefined && after !== before) return work(createClient({ server, token: after }));
      if (before !== undefined && before === fallback) throw error;
      throw notLoggedIn(server);
    }
  };
  return {
    server,
    get token() {
      return login?.access_token ?? fallback;
    },
    currentToken: token,
    call: (id, request) => attempt((client) => client.call(id, request)),
    open: (id, request) => attempt((client) => client.open(id, request)),
  };
}

/**
 * The login after `known`: what another process has renewed meanwhile, or renewed now. Undefined, and forgotten, when the
 * server says that it has ended.
 */
export function renewed(
  server: string,
  credentials: Credentials,
  known: StoredLogin | undefined,
): Promise<StoredLogin | undefined> {
  return credentials.locked(async () => {
    const kept = await credentials.find(server);
    if (kept === undefined || kept.access_token !== known?.access_token) return kept;
    try {
      const body = { refresh_token: kept.refresh_token };
      const next = storedLogin(await createClient({ server }).call("refreshLogin", { body }));
      await credentials.putLocked(server, next);
      return next;
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "refresh_token_invalid") throw error;
      await credentials.putLocked(server, undefined);
      return undefined;
    }
  });
}

/** What is kept of an answer. */
export function storedLogin(login: StoredLogin): StoredLogin {
  const { session, username, access_token, access_expires_at, refresh_token, refresh_expires_at } = login;
  return { session, username, access_token, access_expires_at, refresh_token, refresh_expires_at };
}

export function notLoggedIn(server: string): AiravataError {
  return new AiravataError(
    "not_logged_in",
    `You are not logged in at ${server}: log in with "airavata auth login", or set AIRAVATA_TOKEN.`,
  );
}
