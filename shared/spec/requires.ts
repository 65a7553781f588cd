/** What one task needs: `requires` over `resources.compute` over the defaults, key by key, in the system's own units. */
import { DEFAULT_CPUS, DEFAULT_MEMORY_BYTES, DEFAULT_WALL_SECONDS } from "../model/constants.ts";
import type { Requirement } from "../model/requirement.ts";
import type { ComputeFile } from "./schema.ts";

const GIB = 1024 ** 3;

export function requirementOf(own: ComputeFile | undefined, shared: ComputeFile | undefined): Requirement {
  const both: ComputeFile = { ...defined(shared), ...defined(own) };
  const bytes = (gib: number | undefined, silent: number): number =>
    gib === undefined ? silent : Math.round(gib * GIB);
  return {
    cpus: both.cpu ?? DEFAULT_CPUS,
    memoryBytes: bytes(both.ram_gb, DEFAULT_MEMORY_BYTES),
    gpus: both.gpu ?? 0,
    vramBytes: bytes(both.vram_gb, 0),
    diskBytes: bytes(both.disk_gb, 0),
    custom: merged(shared?.custom, own?.custom),
    labels: merged(shared?.labels, own?.labels),
    wallSeconds: both.time ?? DEFAULT_WALL_SECONDS,
  };
}

/** Without the keys that had problems, so that they do not hide the other table's. */
function defined(file: ComputeFile | undefined): ComputeFile {
  return Object.fromEntries(Object.entries(file ?? {}).filter(([, value]) => value !== undefined));
}

function merged<T>(shared: Map<string, T> | undefined, own: Map<string, T> | undefined): Record<string, T> {
  return Object.fromEntries([...(shared ?? []), ...(own ?? [])]);
}
