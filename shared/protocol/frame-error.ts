/** What the codec throws, and nothing else: a frame that is no message of ours. The connection lives on. */
import { AiravataError } from "../error/error.ts";

export class FrameError extends AiravataError {
  override name = "FrameError";

  /** `message` says what is wrong with the frame; it quotes none of its content. */
  constructor(message: string, cause?: unknown) {
    super("frame_invalid", message, { cause });
  }
}
