/**
 * Every error code of the system with its HTTP status and whether the same request may succeed later without anybody
 * changing anything. Codes are stable: clients and scripts match on them. Each has a line in docs/errors.md; a test
 * compares both ways. Keep the alphabet.
 */
interface CatalogueEntry {
  /** HTTP status where it reaches a client; it also decides on the exit code of the command line. */
  status: number;
  /** True: wait and try again. False: a deterministic refusal, never tried again by a program. */
  retryable: boolean;
}

export const CATALOGUE = {
  internal: { status: 500, retryable: false },
  not_leading: { status: 503, retryable: true },
  setting_conflict: { status: 400, retryable: false },
  setting_invalid: { status: 400, retryable: false },
  setting_unknown: { status: 400, retryable: false },
  setting_unsupported: { status: 400, retryable: false },
  spec_conflict: { status: 422, retryable: false },
  spec_cycle: { status: 422, retryable: false },
  spec_invalid: { status: 422, retryable: false },
  spec_missing: { status: 422, retryable: false },
  spec_name: { status: 422, retryable: false },
  spec_not_supported: { status: 422, retryable: false },
  spec_parameter: { status: 422, retryable: false },
  spec_path: { status: 422, retryable: false },
  spec_range: { status: 422, retryable: false },
  spec_reference: { status: 422, retryable: false },
  spec_shell: { status: 422, retryable: false },
  spec_syntax: { status: 422, retryable: false },
  spec_too_large: { status: 422, retryable: false },
  spec_type: { status: 422, retryable: false },
  spec_unknown_key: { status: 422, retryable: false },
  spec_value: { status: 422, retryable: false },
  task_too_large: { status: 422, retryable: false },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;
