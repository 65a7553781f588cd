/**
 * What kind of address an IP address is: public, or one of those that a stranger has no business making us call. Works on
 * the one canonical spelling that `canonicalHost` gives; whatever has no such spelling is no host.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net";

/** In words for a sentence: "a private address". */
export type ClosedKind = (typeof CLOSED)[number][0] | "metadata";

/**
 * The IANA registries of special-purpose addresses (RFC 6890 and its successors), IPv4 and IPv6. Of IPv6 only 2000::/3 is
 * given out at all; the rest is closed as a whole at the end of the list.
 */
const CLOSED = [
  ["unspecified", "0.0.0.0/8", "::/128"],
  ["loopback", "127.0.0.0/8", "::1/128"],
  ["private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"],
  ["carrier-grade NAT", "100.64.0.0/10"],
  ["link-local", "169.254.0.0/16", "fe80::/10"],
  ["multicast", "224.0.0.0/4", "ff00::/8"],
  ["IPv4-in-IPv6", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"],
  ["tunnel", "192.88.99.0/24", "2001::/32", "2002::/16"],
  [
    "reserved",
    ...["192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"],
    ...["2001::/23", "2001:db8::/32", "3fff::/20", "::/3", "4000::/2", "8000::/1"],
  ],
] as const;

/**
 * Where clouds hand out credentials to whoever asks from the machine: AWS, GCP and Azure; ECS; Azure's wire server;
 * Alibaba; Oracle; AWS and GCP by IPv6.
 */
const METADATA: ReadonlySet<string> = new Set([
  ...["169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192"],
  ...["fd00:ec2::254", "fd20:ce::254"],
]);

const LISTS = CLOSED.map(([kind, ...ranges]) => {
  // A list per family: one list would find an IPv4 range behind a mapped address and give it that name.
  const four = new BlockList();
  const six = new BlockList();
  for (const range of ranges) addRange(range.includes(":") ? six : four, range);
  return { kind, four, six };
});

/** Adds `address/bits`; the caller has checked both. */
export function addRange(list: BlockList, range: string): void {
  const [address = "", bits] = range.split("/");
  list.addSubnet(address, Number(bits), isIPv6(address) ? "ipv6" : "ipv4");
}

/** Undefined for a public address. */
export function closedKind(address: string): ClosedKind | undefined {
  if (METADATA.has(address)) return "metadata";
  const isFour = isIPv4(address);
  return LISTS.find(({ four, six }) => (isFour ? four.check(address, "ipv4") : six.check(address, "ipv6")))?.kind;
}

/**
 * The host as the URL standard spells it, without brackets and without the dot at its end: `0x7f.1`, `2130706433` and
 * `0177.0.0.1` are 127.0.0.1, as they are to the resolver that would connect. Undefined when it is no host.
 */
export function canonicalHost(host: string): string | undefined {
  // A user, a path or a port would move what the parser takes for the host.
  if (host === "" || /[\s/?#@\\]/.test(host)) return undefined;
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  const parsed = URL.parse(bare.includes(":") ? `http://[${bare}]/` : `http://${bare}/`);
  if (parsed === null || parsed.port !== "") return undefined;
  const name = parsed.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  return name === "" ? undefined : name;
}

/** The IPv4 address that an IPv6 address of a transition mechanism leads to; undefined when it is none. */
export function embeddedIpv4(address: string): string | undefined {
  if (!isIPv6(address)) return undefined;
  const groups = groupsOf(address);
  const [a = 0, b = 0, c = 0] = groups;
  const last = (mask: number): string => dotted((groups[6] ?? 0) ^ mask, (groups[7] ?? 0) ^ mask);
  if (a === 0x2002) return dotted(b, c);
  // Teredo writes the client's address inverted.
  if (a === 0x2001 && b === 0) return last(0xffff);
  if (a === 0x64 && b === 0xff9b) return last(0);
  const isLow = groups.slice(0, 4).every((group) => group === 0);
  return isLow && address !== "::" && address !== "::1" ? last(0) : undefined;
}

function groupsOf(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const parse = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const front = parse(head);
  if (tail === undefined) return front;
  const back = parse(tail);
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}
