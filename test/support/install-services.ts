/**
 * `npm run test:services`: installs the Debian packages that the tests use beyond Node and npm, and the programs of
 * servers that Debian does not have, in the user's cache.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { SERVICES, type Service } from "./services.ts";

const services: readonly Service[] = Object.values(SERVICES);
const missing = services.filter((service) => service.debian.length > 0 && !service.present());
const packages = missing.flatMap((service) => service.debian);

if (packages.length === 0) {
  console.log("Every Debian package that the tests use is installed.");
} else if (!existsSync("/usr/bin/apt-get")) {
  refuse(`This is not a Debian system: install ${missing.map((service) => service.what).join(", ")} by its own means.`);
} else if (process.getuid?.() !== 0) {
  refuse(`Installing ${packages.join(" ")} needs root: run "sudo npm run test:services".`);
} else {
  apt("update", "-qq");
  apt("install", "-y", "-qq", "--no-install-recommends", ...packages);
  const absent = missing.filter((service) => service.install === undefined && !service.present());
  if (absent.length > 0)
    refuse(`Still missing after the install: ${absent.map((service) => service.what).join(", ")}.`);
  console.log(`Installed ${packages.join(" ")}.`);
}

for (const { what, install, present } of services) {
  if (install === undefined || present()) continue;
  console.log(`Installing ${what} ...`);
  try {
    install();
  } catch (error) {
    refuse((error as Error).message);
  }
}

function apt(...args: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const { status } = spawnSync("apt-get", args, { stdio: "inherit", env });
  if (status !== 0) refuse(`"apt-get ${args.join(" ")}" ended with ${status}; its output above says why.`);
}

function refuse(sentence: string): never {
  console.error(sentence);
  process.exit(3);
}
