/** Routes of the audit. All of them only read. */
import * as audit from "../audit.ts";
import { API_PREFIX, json, type Route } from "./route.ts";

export const auditRoutes = {
  listAudit: {
    method: "GET",
    path: `${API_PREFIX}/audit`,
    summary: "List audit entries, newest first: all for administrators, those of their projects for owners",
    tag: "audit",
    query: audit.listAuditQuery,
    answers: { 200: json("One page", audit.AuditPage) },
  },
  exportAudit: {
    method: "GET",
    path: `${API_PREFIX}/audit/export`,
    summary: "Audit entries, oldest first, as lines of JSON: the very bytes that the seals are computed from",
    tag: "audit",
    query: audit.exportAuditQuery,
    answers: {
      200: { description: "A line per entry, and per seal when asked for", contentType: "application/x-ndjson" },
    },
  },
  auditHead: {
    method: "GET",
    path: `${API_PREFIX}/audit/head`,
    summary: "The newest seal of the audit, to be kept somewhere else",
    tag: "audit",
    answers: { 200: json("The head", audit.AuditHead) },
  },
  listAuditSeals: {
    method: "GET",
    path: `${API_PREFIX}/audit/seals`,
    summary: "List the audit's seals, oldest first",
    tag: "audit",
    query: audit.listAuditSealsQuery,
    answers: { 200: json("One page", audit.AuditSealPage) },
  },
  checkAudit: {
    method: "GET",
    path: `${API_PREFIX}/audit/check`,
    summary: "Compute the next slice of the audit's chain anew and compare",
    tag: "audit",
    query: audit.checkAuditQuery,
    answers: { 200: json("What was found; not a refusal when something is wrong", audit.AuditCheck) },
  },
  getAuditEntry: {
    method: "GET",
    path: `${API_PREFIX}/audit/{entry}`,
    summary: "Show an audit entry",
    tag: "audit",
    params: audit.auditEntryParams,
    answers: { 200: json("The entry", audit.AuditEntryDetail) },
  },
} as const satisfies Record<string, Route>;
