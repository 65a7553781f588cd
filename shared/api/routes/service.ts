/** Routes of the service itself, and its events. */
import * as event from "../event.ts";
import * as health from "../health.ts";
import { API_PREFIX, json, type Route } from "./route.ts";

export const serviceRoutes = {
  events: {
    method: "GET",
    path: `${API_PREFIX}/events`,
    summary: "Events as a WebSocket of JSON text: send Subscribe, receive WatchMessage",
    tag: "events",
    webSocket: true,
    answers: { 101: { description: "Switching protocols; the subprotocol is airavata.events.1" } },
  },
  createEventsTicket: {
    method: "POST",
    path: `${API_PREFIX}/events/ticket`,
    summary: "A ticket that opens the events WebSocket once, within 30 seconds, without another token",
    tag: "events",
    answers: { 201: json("Good once, for the caller", event.EventsTicket) },
  },
  health: {
    method: "GET",
    path: `${API_PREFIX}/health`,
    summary: "The process answers; `leading` says whether it is the one that decides",
    tag: "service",
    answers: { 200: json("Alive", health.Health) },
  },
  healthDatabase: {
    method: "GET",
    path: `${API_PREFIX}/health/db`,
    summary: "The database answers",
    tag: "service",
    answers: { 200: json("It does", health.HealthDatabase) },
  },
  healthReady: {
    method: "GET",
    path: `${API_PREFIX}/health/ready`,
    summary: "This process takes work: it leads, or it reaches the coordinator that does, whose answer this is",
    tag: "service",
    answers: { 200: json("It does", health.HealthReady) },
  },
  openapi: {
    method: "GET",
    path: `${API_PREFIX}/openapi.json`,
    summary: "This document",
    tag: "service",
    answers: { 200: { description: "OpenAPI 3.1", contentType: "application/json" } },
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    summary: "Figures for Prometheus",
    tag: "service",
    answers: { 200: { description: "Prometheus text format", contentType: "text/plain" } },
  },
  index: {
    method: "GET",
    path: "/",
    summary: "A page that says what this is",
    tag: "service",
    answers: { 200: { description: "Text", contentType: "text/plain" } },
  },
} as const satisfies Record<string, Route>;
