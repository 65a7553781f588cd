/** Routes of projects. */
import { granteeQuery } from "../grant.ts";
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
    summary:
      "Change weight, limits or what becomes of the work of who leaves; what is left out stays, and nothing that runs is ended",
    tag: "projects",
    params: project.projectParams,
    body: project.ChangeProject,
    answers: { 200: json("Changed; it holds from now on", project.Project) },
  },
  listProjectMembers: {
    method: "GET",
    path: `${API_PREFIX}/projects/{project}/members`,
    summary: "Show who belongs to a project",
    tag: "projects",
    params: project.projectParams,
    answers: { 200: json("All of them", project.ProjectMemberList) },
  },
  setProjectMember: {
    method: "POST",
    path: `${API_PREFIX}/projects/{project}/members`,
    summary: "Give a person or a group a role in a project, in place of the one it has",
    tag: "projects",
    params: project.projectParams,
    body: project.SetProjectMember,
    answers: { 200: json("It is so, and in force", project.ProjectMemberList) },
  },
  removeProjectMember: {
    method: "DELETE",
    path: `${API_PREFIX}/projects/{project}/members`,
    summary: "Take a person or a group out of a project",
    tag: "projects",
    params: project.projectParams,
    query: granteeQuery,
    answers: { 200: json("It is so, and in force", project.ProjectMemberList) },
  },
} as const satisfies Record<string, Route>;
