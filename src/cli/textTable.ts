/** Tables of text. */

/** Pads the cells of every column to its longest. */
export function alignColumns(rows: readonly (readonly string[])[]): string[][] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column])));
}

/** A table for the terminal. */
export const textTable = (rows: readonly (readonly string[])[]): string =>
  alignColumns(rows)
    .map((row) => row.join('  ').trimEnd())
    .join('\n');
