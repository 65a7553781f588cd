/** Mutual TLS of agents: who opens a session shows a certificate that the operator's CA has signed. */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { AiravataError } from "../../../shared/error/error.ts";

/** Throws `client_certificate_required`, with what is missing. */
export function checkAgentCertificate({ socket }: IncomingMessage): void {
  const { encrypted, authorized, authorizationError } = socket as TLSSocket;
  if (authorized) return;
  throw new AiravataError("client_certificate_required", `agents must show a certificate here: ${lack()}`);

  function lack(): string {
    if (!encrypted) return "this connection is not TLS up to the coordinator, which a proxy that ends TLS breaks";
    const shown = (socket as TLSSocket).getPeerX509Certificate();
    if (shown === undefined) return "none was shown; set AIRAVATA_CLIENT_CERT and AIRAVATA_CLIENT_KEY of the agent";
    const subject = shown.subject.replaceAll("\n", ", ");
    return `the one of ${subject} is not accepted (${String(authorizationError)}); the coordinator's AIRAVATA_AGENT_CA_FILE says who signs them`;
  }
}
