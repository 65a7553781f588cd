/** Experiments and tasks as people name them on the command line: `17`, `17/dock/42`, or the id `17.dock.42`. */
import { AiravataError } from "../../shared/error/error.ts";

/** The number of an experiment. Throws `usage_invalid`. */
export function experimentNumber(text: string | undefined): number {
  const number = Number(text);
  if (!/^\d{1,15}$/.test(text ?? "") || number < 1) {
    throw new AiravataError("usage_invalid", `"${text}" is not an experiment: name it by its number, as in 17.`);
  }
  return number;
}

/** The id that the API takes. Throws `usage_invalid`. */
export function taskId(text: string | undefined): string {
  const parts = /^(\d{1,15})([./])([^./\s]{1,200})\2(\d{1,9})$/.exec(text ?? "");
  if (!parts) {
    throw new AiravataError(
      "usage_invalid",
      `"${text}" is not a task: name it EXPERIMENT/TEMPLATE/INDEX, as in 17/dock/42.`,
    );
  }
  return `${parts[1]}.${parts[3]}.${parts[4]}`;
}

/** The form for people, which they can paste back: `17/dock/42`. */
export function taskName(id: string): string {
  return id.replace(/^(\d+)\.(.+)\.(\d+)$/, "$1/$2/$3");
}
