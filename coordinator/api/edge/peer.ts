/**
 * TLS between coordinators: the other one is who its certificate says, by the system's authorities and those of the
 * operator's file, or it shows the very certificate that this process shows, which is enough where all share one and
 * reach each other by addresses that stand in none.
 */
import { isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import { connect, createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { AiravataError } from "../../../shared/error/error.ts";
import { readSetting } from "./certificate.ts";

export interface PeerTls {
  /** Connects; what it is not sure of is destroyed before a byte is sent. Listeners of `secureConnect` come after its own. */
  connect(options: TcpNetConnectOpts): Socket;
}

/** Throws `setting_invalid`. `own`: DER of the certificates that this process shows or showed lately. */
export async function createPeerTls(options: {
  caFile: string | undefined;
  own(): readonly Buffer[];
}): Promise<PeerTls> {
  const text =
    options.caFile === undefined ? undefined : await readSetting(options.caFile, "--ca-file (AIRAVATA_CA_FILE)");
  if (text !== undefined && !text.includes("-----BEGIN CERTIFICATE-----")) {
    throw new AiravataError("setting_invalid", `${options.caFile} holds no certificate in PEM`);
  }
  // Made when it is needed: reading the system's authorities takes some 80 ms.
  let context: SecureContext | undefined;
  return {
    connect(target) {
      const { host = "" } = target;
      context ??= createSecureContext({ ca: [...authorities(), ...(text === undefined ? [] : [text])] });
      const socket = connect({
        ...target,
        secureContext: context,
        servername: isIP(host) === 0 ? host : "",
        minVersion: "TLSv1.2",
        ALPNProtocols: ["http/1.1"],
        // Looked at below: it may be our own.
        rejectUnauthorized: false,
      });
      socket.once("secureConnect", () => {
        if (socket.authorized) return;
        const shown = socket.getPeerX509Certificate()?.raw;
        if (shown !== undefined && options.own().some((own) => own.equals(shown))) return;
        const why = String(socket.authorizationError);
        socket.destroy(new Error(`the certificate at ${host}:${target.port} is neither trusted (${why}) nor our own`));
      });
      return socket;
    },
  };
}

function authorities(): string[] {
  return [...new Set((["bundled", "extra", "system"] as const).flatMap((store) => getCACertificates(store)))];
}
