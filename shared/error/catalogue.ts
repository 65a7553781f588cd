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
  agent_name_taken: { status: 409, retryable: false },
  agent_not_found: { status: 404, retryable: false },
  agent_offline: { status: 503, retryable: true },
  body_invalid: { status: 400, retryable: false },
  body_too_large: { status: 413, retryable: false },
  coordinator_not_included: { status: 400, retryable: false },
  cursor_invalid: { status: 400, retryable: false },
  data_directory_in_use: { status: 409, retryable: false },
  data_directory_invalid: { status: 400, retryable: false },
  database_not_configured: { status: 400, retryable: false },
  database_unavailable: { status: 503, retryable: true },
  enrolment_token_invalid: { status: 403, retryable: false },
  enrolment_token_not_found: { status: 404, retryable: false },
  enrolment_token_used: { status: 409, retryable: false },
  experiment_not_found: { status: 404, retryable: false },
  experiment_state_conflict: { status: 409, retryable: false },
  file_changed: { status: 503, retryable: true },
  file_unreadable: { status: 400, retryable: false },
  frame_invalid: { status: 400, retryable: false },
  frame_too_large: { status: 422, retryable: false },
  hello_refused: { status: 403, retryable: false },
  hello_timeout: { status: 408, retryable: true },
  idempotency_key_reused: { status: 422, retryable: false },
  internal: { status: 500, retryable: false },
  log_not_found: { status: 404, retryable: false },
  media_type_unsupported: { status: 415, retryable: false },
  method_not_allowed: { status: 405, retryable: false },
  not_leading: { status: 503, retryable: true },
  not_supported_yet: { status: 404, retryable: false },
  origin_refused: { status: 403, retryable: false },
  output_not_found: { status: 404, retryable: false },
  output_not_written: { status: 400, retryable: false },
  output_outside: { status: 403, retryable: false },
  project_not_found: { status: 404, retryable: false },
  protocol_version_unsupported: { status: 400, retryable: false },
  range_not_satisfiable: { status: 416, retryable: false },
  request_invalid: { status: 400, retryable: false },
  route_not_found: { status: 404, retryable: false },
  server_not_configured: { status: 503, retryable: false },
  server_unreachable: { status: 503, retryable: true },
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
  stack_start_failed: { status: 503, retryable: false },
  stopping: { status: 503, retryable: true },
  task_not_found: { status: 404, retryable: false },
  task_too_large: { status: 422, retryable: false },
  token_in_query: { status: 400, retryable: false },
  too_many_connections: { status: 503, retryable: true },
  unauthorized: { status: 401, retryable: false },
  usage_invalid: { status: 400, retryable: false },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;
