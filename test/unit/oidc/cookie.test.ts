/** The cookie of a login: planted ones, twins and other people's cookies are not it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cookieOf, forwardedCookie, loginCookie } from "../../../coordinator/api/http/cookie.ts";

test("over https it is Secure and of this very host", () => {
  assert.equal(
    loginCookie("abc", true, 600_000),
    "__Host-airavata_login=abc; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure",
  );
  assert.equal(loginCookie("", false, 0), "airavata_login=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
});

test("it is read by its name for the scheme, and only if it is there once", () => {
  assert.equal(cookieOf("a=b; __Host-airavata_login=abc; c", true), "abc");
  assert.equal(cookieOf("airavata_login=abc", false), "abc");
  // One that http, or a neighbour, could have planted is not taken for that of https.
  assert.equal(cookieOf("airavata_login=abc", true), undefined);
  assert.equal(cookieOf("airavata_login=abc; airavata_login=def", false), undefined);
  for (const header of [undefined, "", ";", "=", "airavata_login", "xairavata_login=a", "=airavata_login"]) {
    assert.equal(cookieOf(header, false), undefined, header);
  }
});

test("nothing else goes on to another coordinator", () => {
  assert.equal(
    forwardedCookie("session=s; __Host-airavata_login=abc; airavata_login=d; x=y"),
    "__Host-airavata_login=abc; airavata_login=d",
  );
  assert.equal(forwardedCookie("session=s"), undefined);
  assert.equal(forwardedCookie(undefined), undefined);
});
