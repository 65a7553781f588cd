/**
 * Tables that fit the screen: cells on one line each, numbers to the right. When the window is too narrow the widest texts
 * are cut first, then columns that may be missing go, the last one first. In a pipe nothing is cut.
 */
import type { Screen } from "./terminal.ts";
import { displayWidth, fitWidth, printableLine } from "./terminal.ts";

export interface Column<Row> {
  title: string;
  value(row: Row): string | number | null | undefined;
  align?: "left" | "right";
  /** Never cut below its content: ids and numbers that a person copies. */
  whole?: boolean;
  /** May be left out when the window is too narrow for all. */
  optional?: boolean;
}

const GAP = 2;
const NARROWEST = 6;

/** The table as text with a final newline; `empty` instead when there are no rows. */
export function renderTable<Row>(
  columns: Column<Row>[],
  rows: Row[],
  screen: Pick<Screen, "columns" | "paint">,
  empty: string,
): string {
  if (rows.length === 0) return `${empty}\n`;
  const cells = rows.map((row) => columns.map((column) => cellText(column.value(row))));
  const widths = columns.map((column, i) =>
    Math.max(displayWidth(column.title), ...cells.map((line) => displayWidth(line[i] ?? ""))),
  );
  if (screen.columns > 0 && !shrink(columns, widths, screen.columns)) {
    const last = columns.findLastIndex((column) => column.optional);
    // Fewer columns, from the beginning: what was cut may be whole again.
    if (last >= 0) return renderTable(columns.toSpliced(last, 1), rows, screen, empty);
  }
  const line = (texts: string[]): string =>
    texts
      .map((text, i) => pad(text, widths[i] ?? 0, columns[i]?.align ?? "left"))
      .join(" ".repeat(GAP))
      .trimEnd();
  const head = screen.paint("dim", line(columns.map((column) => column.title)));
  return `${[head, ...cells.map(line)].join("\n")}\n`;
}

/** Label and value per line, labels aligned; the form of every `show`. */
export function renderFields(
  fields: [string, string | number | null | undefined][],
  screen: Pick<Screen, "paint">,
): string {
  const width = Math.max(...fields.map(([label]) => displayWidth(label)));
  return fields.map(([label, value]) => `${screen.paint("dim", label.padEnd(width))}  ${cellText(value)}\n`).join("");
}

function cellText(value: string | number | null | undefined): string {
  if (value === null || value === undefined || value === "") return "-";
  return printableLine(String(value));
}

/** Takes width from the widest column that may be cut until the line fits; false when nothing more can give. */
function shrink<Row>(columns: Column<Row>[], widths: number[], available: number): boolean {
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP * (widths.length - 1) - available;
  while (excess > 0) {
    let widest = -1;
    for (let i = 0; i < widths.length; i += 1) {
      if (columns[i]?.whole || columns[i]?.align === "right" || (widths[i] ?? 0) <= NARROWEST) continue;
      if (widest < 0 || (widths[i] ?? 0) > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) return false;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return true;
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const fitted = fitWidth(text, width);
  const space = " ".repeat(Math.max(0, width - displayWidth(fitted)));
  return align === "right" ? space + fitted : fitted + space;
}
