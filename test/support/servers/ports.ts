/** On which TCP ports a process listens, as the kernel knows it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** In /proc/net/tcp. */
const LISTENING = "0A";

/** IPv4 alone; all threads of the process. */
export function listeningPorts(pid: number): number[] {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => target(`/proc/${pid}/fd/${fd}`)));
  return readFileSync(`/proc/${pid}/net/tcp`, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[3] === LISTENING && sockets.has(`socket:[${row[9]}]`))
    .map((row) => Number.parseInt(row[1]?.split(":")[1] ?? "", 16));
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}
