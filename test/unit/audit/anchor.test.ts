/** Anchors of an audit that has lost all of its seals. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createAnchor } from "../../../coordinator/domain/audit/anchor.ts";
import type { AuditLog } from "../../../coordinator/store/audit-log.ts";
import { anchorText } from "../../../shared/model/anchor.ts";

test("a line whose seal is gone is told at once, also when no seal is left", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "airavata-anchor-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "anchors");
  const empty = { head: async () => ({ head: undefined }), heads: async () => [] } as unknown as AuditLog;
  await createAnchor(path, empty).keep();
  writeFileSync(path, `${anchorText({ at: "2026-01-02T03:04:05.678901Z", seal: 7, hash: "ab".repeat(32) })}\n`);
  await assert.rejects(createAnchor(path, empty).keep(), { code: "audit_anchor_mismatch" });
});
