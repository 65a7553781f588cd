/** What a failed TLS connection means to whoever has to mend it. Pure: errors in, a sentence out. */
import { causeChain } from "./error.ts";

const UNKNOWN_AUTHORITY =
  "its certificate is signed by nobody that is trusted here: name its authority by AIRAVATA_CA_FILE (--ca-file)";

const NO_TLS = "it speaks no TLS there: is it http://?";

const SENTENCES: Record<string, string> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is the clock of this machine right?",
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "it takes no version of TLS that this program speaks",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for other names than this one",
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
};

/** The end of "ADDRESS cannot be reached: …" when TLS was what failed; undefined when it was something else. */
export function tlsSentence(error: unknown): string | undefined {
  for (const { code, message } of causeChain(error)) {
    // Found out while writing it has the system's code only.
    if (code === "EPROTO" && /wrong version number|packet length too long/.test(message)) return NO_TLS;
    if (code !== undefined && Object.hasOwn(SENTENCES, code)) return SENTENCES[code];
  }
  return undefined;
}
