/** The refusals of this room that more than one file speaks. */
import { AiravataError } from "../../../shared/error/error.ts";

/** The sentence must hold nothing of the secret. */
export function invalidSecret(sentence: string): AiravataError {
  return new AiravataError("credential_invalid", sentence);
}

export function credentialNotFound(credential: number): AiravataError {
  return new AiravataError("credential_not_found", `there is no credential ${credential}`);
}
