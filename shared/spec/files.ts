/**
 * Files that must be found beside the experiment file: parameters of type path and programs written `./x`. They become
 * absolute paths on this machine; who submits checks that they exist, the agent sees it when the task runs.
 */
import { posix } from "node:path";
import type { Problems, SpecPath } from "./problem.ts";

export interface FileNeed {
  /** Absolute. */
  path: string;
  /** For people: `the parameter receptor`, `the program of dock`. */
  what: string;
  specPath: SpecPath;
}

export class FileNeeds {
  readonly list: FileNeed[] = [];
  readonly directory: string | undefined;
  private readonly problems: Problems;

  /** `directory` is the absolute directory of the spec, undefined when nobody knows it. */
  constructor(directory: string | undefined, problems: Problems) {
    this.directory = directory;
    this.problems = problems;
    if (directory !== undefined && !posix.isAbsolute(directory)) {
      problems.add(
        [],
        "spec_path",
        `the directory of the file must be absolute, it is ${JSON.stringify(directory.slice(0, 80))}`,
      );
    }
  }

  /** The absolute path of a file named in the spec; undefined (and a problem) when it is relative to an unknown directory. */
  besideSpec(path: string, what: string, specPath: SpecPath): string | undefined {
    if (posix.isAbsolute(path)) {
      this.list.push({ path, what, specPath });
      return path;
    }
    if (this.directory === undefined) {
      this.problems.add(
        specPath,
        "spec_path",
        `${what} (${path.slice(0, 80)}) is found beside the experiment file, and the directory of that file is not known`,
        {
          hint: "submit with spec_directory, or give an absolute path",
        },
      );
      return undefined;
    }
    const absolute = posix.join(this.directory, path);
    this.list.push({ path: absolute, what, specPath });
    return absolute;
  }
}
