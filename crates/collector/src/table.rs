//! Tables for a person: columns as wide as what stands in them, two blanks between.

use std::io::{self, Write};

/// Writes rows, a line each; nothing is padded at a line's end.
pub fn write<const COLUMNS: usize>(
    rows: &[[String; COLUMNS]],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // The last one may be a sentence, and pads nobody.
    if let Some(last) = widths.last_mut() {
        *last = 0;
    }
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.into_iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
