// A table that scrolls sideways where it is wider than the screen.

import type { ComponentChildren } from "preact";

interface TableProps {
  /** What the table is about, for screen readers. */
  label: string;
  columns: readonly string[];
  children: ComponentChildren;
}

/** Shows rows (`tr`) below a row of headings. */
export function Table({ label, columns, children }: TableProps) {
  return (
    <div class="table-place" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
