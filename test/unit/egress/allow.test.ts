/** What an operator's entries open, and what they do not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAllowList } from "../../../coordinator/egress/allow.ts";

/** [entries, host, port, address, refusal] */
const CASES: readonly (readonly [string, string, number, string, string | undefined])[] = [
  ["", "example.org", 443, "8.8.8.8", undefined],
  ["", "example.org", 443, "10.0.0.1", "private"],
  ["10.0.0.0/8", "example.org", 443, "10.255.0.1", undefined],
  ["10.0.0.0/8", "example.org", 443, "192.168.0.1", "private"],
  ["fd12::/16", "example.org", 443, "fd12::7", undefined],
  ["fd12::/16", "example.org", 443, "fd13::7", "private"],
  ["10.1.2.3", "10.1.2.3", 443, "10.1.2.3", undefined],
  ["10.1.2.3", "example.org", 80, "10.1.2.3", undefined],
  ["10.1.2.3:443", "10.1.2.3", 443, "10.1.2.3", undefined],
  ["10.1.2.3:443", "10.1.2.3", 22, "10.1.2.3", "private"],
  ["[::1]:8080", "::1", 8080, "::1", undefined],
  ["[::1]:8080", "::1", 8081, "::1", "loopback"],
  ["::1", "localhost", 80, "::1", undefined],
  ["0x7f.1", "127.0.0.1", 80, "127.0.0.1", undefined],
  ["idp.example.org", "idp.example.org", 443, "10.0.0.1", undefined],
  ["IDP.Example.org.", "idp.example.org", 443, "10.0.0.1", undefined],
  ["idp.example.org", "evil.org", 443, "10.0.0.1", "private"],
  ["idp.example.org:8443", "idp.example.org", 8443, "10.0.0.1", undefined],
  ["idp.example.org:8443", "idp.example.org", 443, "10.0.0.1", "private"],
  ["*.example.org", "a.b.example.org", 443, "127.0.0.1", undefined],
  ["*.example.org", "example.org", 443, "127.0.0.1", "loopback"],
  ["*.example.org", "evilexample.org", 443, "127.0.0.1", "loopback"],
  // Metadata opens only for its own entry.
  ["169.254.0.0/16", "example.org", 80, "169.254.169.254", "metadata"],
  ["0.0.0.0/0,::/0", "example.org", 80, "169.254.169.254", "metadata"],
  ["example.org", "example.org", 80, "169.254.169.254", "metadata"],
  ["fd00::/8", "example.org", 80, "fd00:ec2::254", "metadata"],
  ["169.254.169.254", "169.254.169.254", 80, "169.254.169.254", undefined],
  // A translated address needs its range and what it leads to.
  ["64:ff9b::/96", "example.org", 80, "64:ff9b::808:808", undefined],
  ["64:ff9b::/96", "example.org", 80, "64:ff9b::a00:1", "private"],
  ["64:ff9b::/96,10.0.0.0/8", "example.org", 80, "64:ff9b::a00:1", undefined],
  ["64:ff9b::/96,0.0.0.0/0", "example.org", 80, "64:ff9b::a9fe:a9fe", "metadata"],
  ["example.org", "example.org", 80, "64:ff9b::808:808", "IPv4-in-IPv6"],
  // A mapped address stays closed, whatever is open.
  ["10.0.0.0/8", "example.org", 80, "::ffff:a00:1", "IPv4-in-IPv6"],
  ["::/0,0.0.0.0/0", "example.org", 80, "::ffff:a00:1", "IPv4-in-IPv6"],
];

test("an entry opens what it names and nothing else", () => {
  const found = CASES.map(([entries, host, port, address]) => [
    ...[entries, host, port, address],
    parseAllowList(entries.split(",")).refusal(host, port, address),
  ]);
  assert.deepEqual(found, CASES);
});

test("an entry that is none is refused with its text", () => {
  const wrong = [
    "10.0.0.0/33",
    "10.0.0.0/",
    "fd00::/129",
    "10.0.0.0/8:80",
    "/8",
    "a b",
    "host:0",
    "host:65536",
    "https://host",
    "*.",
    "10.0.0/8",
    "010.0.0.0/8",
    "256.1.1.1",
    "10.0.0.0/-1",
  ];
  for (const entry of wrong) {
    assert.throws(() => parseAllowList([entry]), { code: "setting_invalid", message: /AIRAVATA_EGRESS_ALLOW/ }, entry);
  }
  assert.doesNotThrow(() => parseAllowList(["", " 10.0.0.0/8 "]));
});
