/** Addresses by many spellings: each is judged as the address that a resolver would make of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalHost, closedKind, embeddedIpv4 } from "../../../coordinator/egress/address.ts";

/** spelling → canonical spelling → kind ("" is public). */
const SPELLINGS: readonly (readonly [string, string, string])[] = [
  ["8.8.8.8", "8.8.8.8", ""],
  ["134744072", "8.8.8.8", ""],
  ["2606:4700::6810:84e5", "2606:4700::6810:84e5", ""],
  ["[2606:4700:0:0::6810:84E5]", "2606:4700::6810:84e5", ""],
  ["9.255.255.255", "9.255.255.255", ""],
  ["11.0.0.0", "11.0.0.0", ""],
  ["172.15.255.255", "172.15.255.255", ""],
  ["172.32.0.0", "172.32.0.0", ""],
  ["100.63.255.255", "100.63.255.255", ""],
  ["100.128.0.0", "100.128.0.0", ""],
  ["223.255.255.255", "223.255.255.255", ""],
  ["127.0.0.1", "127.0.0.1", "loopback"],
  ["127.1", "127.0.0.1", "loopback"],
  ["127.0.1", "127.0.0.1", "loopback"],
  ["2130706433", "127.0.0.1", "loopback"],
  ["0x7f000001", "127.0.0.1", "loopback"],
  ["0X7F.0.0.1", "127.0.0.1", "loopback"],
  ["017700000001", "127.0.0.1", "loopback"],
  ["0177.0.0.01", "127.0.0.1", "loopback"],
  ["0x7f.1", "127.0.0.1", "loopback"],
  ["127.0.0.1.", "127.0.0.1", "loopback"],
  ["１２７.0.0.1", "127.0.0.1", "loopback"],
  ["127。0。0。1", "127.0.0.1", "loopback"],
  ["%31%32%37.0.0.1", "127.0.0.1", "loopback"],
  ["127.255.255.255", "127.255.255.255", "loopback"],
  ["::1", "::1", "loopback"],
  ["[::1]", "::1", "loopback"],
  ["0:0:0:0:0:0:0:1", "::1", "loopback"],
  ["0", "0.0.0.0", "unspecified"],
  ["0.0.0.0", "0.0.0.0", "unspecified"],
  ["::", "::", "unspecified"],
  ["10.0.0.0", "10.0.0.0", "private"],
  ["012.0.0.1", "10.0.0.1", "private"],
  ["0xa.0x0.0x0.0x1", "10.0.0.1", "private"],
  ["172.16.0.0", "172.16.0.0", "private"],
  ["172.31.255.255", "172.31.255.255", "private"],
  ["192.168.255.255", "192.168.255.255", "private"],
  ["fc00::1", "fc00::1", "private"],
  ["fdff::1", "fdff::1", "private"],
  ["fec0::1", "fec0::1", "private"],
  ["100.64.0.0", "100.64.0.0", "carrier-grade NAT"],
  ["100.127.255.255", "100.127.255.255", "carrier-grade NAT"],
  ["169.254.0.1", "169.254.0.1", "link-local"],
  ["fe80::1", "fe80::1", "link-local"],
  ["169.254.169.254", "169.254.169.254", "metadata"],
  ["2852039166", "169.254.169.254", "metadata"],
  ["0xa9fea9fe", "169.254.169.254", "metadata"],
  ["169.254.43518", "169.254.169.254", "metadata"],
  ["169.254.170.2", "169.254.170.2", "metadata"],
  ["168.63.129.16", "168.63.129.16", "metadata"],
  ["100.100.100.200", "100.100.100.200", "metadata"],
  ["192.0.0.192", "192.0.0.192", "metadata"],
  ["fd00:ec2::254", "fd00:ec2::254", "metadata"],
  ["FD00:0EC2:0:0:0:0:0:254", "fd00:ec2::254", "metadata"],
  ["224.0.0.1", "224.0.0.1", "multicast"],
  ["239.255.255.255", "239.255.255.255", "multicast"],
  ["ff02::1", "ff02::1", "multicast"],
  ["255.255.255.255", "255.255.255.255", "reserved"],
  ["240.0.0.1", "240.0.0.1", "reserved"],
  ["198.18.0.1", "198.18.0.1", "reserved"],
  ["203.0.113.9", "203.0.113.9", "reserved"],
  ["2001:db8::1", "2001:db8::1", "reserved"],
  ["3fff::1", "3fff::1", "reserved"],
  ["100::1", "100::1", "reserved"],
  ["4000::1", "4000::1", "reserved"],
  ["5f00::1", "5f00::1", "reserved"],
  ["a000::1", "a000::1", "reserved"],
  ["::ffff:127.0.0.1", "::ffff:7f00:1", "IPv4-in-IPv6"],
  ["::ffff:8.8.8.8", "::ffff:808:808", "IPv4-in-IPv6"],
  ["::ffff:0:10.0.0.1", "::ffff:0:a00:1", "IPv4-in-IPv6"],
  ["::10.0.0.1", "::a00:1", "IPv4-in-IPv6"],
  ["64:ff9b::10.0.0.1", "64:ff9b::a00:1", "IPv4-in-IPv6"],
  ["64:ff9b:1::10.0.0.1", "64:ff9b:1::a00:1", "IPv4-in-IPv6"],
  ["2002:7f00:1::", "2002:7f00:1::", "tunnel"],
  ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "tunnel"],
];

test("every spelling is the address it means, and of the kind of that address", () => {
  const found = SPELLINGS.map(([spelling]) => {
    const canonical = canonicalHost(spelling);
    return [spelling, canonical, canonical === undefined ? "no host" : (closedKind(canonical) ?? "")];
  });
  assert.deepEqual(found, SPELLINGS);
});

test("names stay names, without the dot at their end and in ASCII", () => {
  assert.equal(canonicalHost("Idp.Example.ORG."), "idp.example.org");
  assert.equal(canonicalHost("bücher.example"), "xn--bcher-kva.example");
  assert.equal(canonicalHost("localhost"), "localhost");
});

test("what is no host has no spelling", () => {
  const none = [
    ...["", " ", ".", "a b", "a/b", "a@b", "a#b", "a?b", "a\\b", "a\n", "exa mple.org", "a:80", "[::1]:80"],
    ...[
      "1.2.3.256",
      "1.2.3.4.5",
      "256.0.0.1",
      "0x100000000",
      "4294967296",
      "::1%eth0",
      "fe80::1%25eth0",
      ":::",
      "[::1",
      "1::2::3",
    ],
  ];
  assert.deepEqual(
    none.map((host) => [host, canonicalHost(host)]),
    none.map((host) => [host, undefined]),
  );
});

const ADDRESS = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const bytesOf = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
const dotted = (n: number): string => bytesOf(n).join(".");

test("decimal, octal, hexadecimal and shortened forms of an address are all that address", () => {
  const base = fc.constantFrom(10, 8, 16);
  fc.assert(
    fc.property(
      ADDRESS,
      fc.integer({ min: 0, max: 3 }),
      fc.array(base, { minLength: 4, maxLength: 4 }),
      (n, kept, bases) => {
        // The first `kept` bytes stand alone, the rest is one number.
        const rest = n % 2 ** (8 * (4 - kept));
        const parts = [...bytesOf(n).slice(0, kept), rest];
        const spell = (value: number, i: number): string =>
          bases[i] === 16 ? `0x${value.toString(16)}` : bases[i] === 8 ? `0${value.toString(8)}` : String(value);
        assert.equal(canonicalHost(parts.map(spell).join(".")), dotted(n));
      },
    ),
    { numRuns: 2_000 },
  );
});

test("an IPv4 address inside of any IPv6 form is found, and that form is closed", () => {
  const forms: ((n: number) => string)[] = [
    (n) => `::ffff:${dotted(n)}`,
    (n) => `::ffff:0:${dotted(n)}`,
    (n) => `64:ff9b::${dotted(n)}`,
    (n) => `64:ff9b:1::${dotted(n)}`,
    (n) => `2002:${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}::1`,
    (n) => `2001:0:1:2:3:4:${((n >>> 16) ^ 0xffff).toString(16)}:${((n & 0xffff) ^ 0xffff).toString(16)}`,
  ];
  fc.assert(
    fc.property(ADDRESS, fc.constantFrom(...forms), (n, form) => {
      const canonical = canonicalHost(form(n)) ?? "";
      assert.equal(embeddedIpv4(canonical), dotted(n));
      assert.notEqual(closedKind(canonical), undefined);
    }),
    { numRuns: 2_000 },
  );
  assert.equal(embeddedIpv4("2606:4700::6810:84e5"), undefined);
  assert.equal(embeddedIpv4("8.8.8.8"), undefined);
});

test("IPv6 is open in 2000::/3 only", () => {
  const group = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const canonical = canonicalHost(groups.map((part) => part.toString(16)).join(":")) ?? "";
      if (closedKind(canonical) === undefined) assert.equal((groups[0] ?? 0) >> 13, 1);
    }),
    { numRuns: 2_000 },
  );
});
