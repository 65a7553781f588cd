/** How many may ask the provider at once on behalf of somebody who has not said who he is. */
import { AiravataError } from "../../../shared/error/error.ts";
import { networkOf } from "../network.ts";

/** An answer takes some 100 ms: 200 logins a second begin, and a provider that hangs has no more of us than these. */
const ASKING_MAX = 20;
/** Of one network: it cannot keep everybody else out. */
const ASKING_PER_NETWORK_MAX = ASKING_MAX / 4;

export class Asking {
  readonly #byNetwork = new Map<string, number>();
  #all = 0;

  /** Throws `oidc_busy` before anything is asked. */
  async ask<T>(address: string | null, work: () => Promise<T>): Promise<T> {
    const network = networkOf(address);
    const own = this.#byNetwork.get(network) ?? 0;
    if (this.#all >= ASKING_MAX || own >= ASKING_PER_NETWORK_MAX) {
      throw new AiravataError("oidc_busy", "too many logins are being begun at once; try again in a moment");
    }
    this.#all++;
    this.#byNetwork.set(network, own + 1);
    try {
      return await work();
    } finally {
      this.#all--;
      const left = (this.#byNetwork.get(network) ?? 1) - 1;
      if (left === 0) this.#byNetwork.delete(network);
      else this.#byNetwork.set(network, left);
    }
  }
}
