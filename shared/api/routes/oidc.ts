/** Routes of login by an OpenID provider; all of them open, since who asks is not known yet. */

import { Login } from "../account.ts";
import * as oidc from "../oidc.ts";
import { API_PREFIX, json, type Route } from "./route.ts";

const PREFIX = `${API_PREFIX}/auth/oidc`;

/** Where the provider sends browsers back to. */
export const OIDC_CALLBACK_PATH = `${PREFIX}/callback`;

export const oidcRoutes = {
  oidcLogin: {
    method: "GET",
    path: `${PREFIX}/login`,
    summary: "Begin a login in the browser: sends it to the OpenID provider",
    tag: "accounts",
    query: oidc.oidcLoginQuery,
    answers: { 303: json("To the provider, with a cookie that binds the login to this browser", oidc.OidcRedirect) },
  },
  oidcCallback: {
    method: "GET",
    path: OIDC_CALLBACK_PATH,
    summary: "Where the OpenID provider sends the browser back to",
    tag: "accounts",
    query: oidc.oidcCallbackQuery,
    looseQuery: true,
    answers: { 303: json("To the path that was asked for, with #login_ticket=… for a minute", oidc.OidcRedirect) },
  },
  oidcToken: {
    method: "POST",
    path: `${PREFIX}/token`,
    summary: "Trade the ticket of a login, once and with its cookie, for a session",
    tag: "accounts",
    body: oidc.TradeOidcTicket,
    answers: { 200: json("The session", Login) },
  },
  oidcDevice: {
    method: "POST",
    path: `${PREFIX}/device`,
    summary: "Begin a login of a program: a code that its user enters at the OpenID provider",
    tag: "accounts",
    answers: { 200: json("What to show, and how often to ask", oidc.OidcDeviceLogin) },
  },
  oidcDevicePoll: {
    method: "POST",
    path: `${PREFIX}/device/poll`,
    summary: "Ask whether the code was entered",
    tag: "accounts",
    body: oidc.PollOidcDevice,
    answers: { 200: json("Pending, or the session", oidc.OidcDevicePoll) },
  },
} as const satisfies Record<string, Route>;
