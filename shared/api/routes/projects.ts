/** Routes of projects. */
import * as project from "../project.ts";
import { API_PREFIX, json, type Route } from "./route.ts";

export const projectRoutes = {
  listProjects: {
    method: "GET",
    path: `${API_PREFIX}/projects`,
    summary: "List projects with how they stand",
    tag: "projects",
    answers: { 200: json("All of them", project.ProjectList) },
  },
  createProject: {
    method: "POST",
    path: `${API_PREFIX}/projects`,
    summary: "Make a project",
    tag: "projects",
    body: project.CreateProject,
    answers: { 201: json("Made", project.Project) },
  },
  getProject: {
    method: "GET",
    path: `${API_PREFIX}/projects/{project}`,
    summary: "Show a project, by its name",
    tag: "projects",
    params: project.projectParams,
    answers: { 200: json("The project", project.Project) },
  },
  changeProject: {
    method: "POST",
    path: `${API_PREFIX}/projects/{project}`,
    summary: "Change weight or limits; what is left out stays, and nothing that runs is ended",
    tag: "projects",
    params: project.projectParams,
    body: project.ChangeProject,
    answers: { 200: json("Changed; it holds from now on", project.Project) },
  },
} as const satisfies Record<string, Route>;
