/** One wrong experiment file. */
export interface Broken {
  title: string;
  yaml: string;
  overrides?: Record<string, string>;
  /** `code line:column path: sentence; hint`, in the order of the file. */
  problems: string[];
}
