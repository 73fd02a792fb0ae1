//! Writing results: tables for people, JSON for programs.

use std::io::{self, Write as _};

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::arguments::Format;

/// Writes one line to standard output. A reader that went away is no error of ours.
pub(crate) fn line(text: &str) {
    let _ = writeln!(io::stdout(), "{}", printable(text));
}

/// Writes text as it is, such as PEM.
pub(crate) fn raw(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Writes JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("writing JSON")?;
    raw(&text);
    raw("\n");
    Ok(())
}

/// Writes a list: a table with a hint at the next page, or the page as REST gave it.
pub(crate) fn list<T: Serialize>(
    format: Format,
    page: &clm_api_types::page::Page<T>,
    headers: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    if format == Format::Json {
        return json(page);
    }
    table(headers, page.items.iter().map(row));
    if let Some(cursor) = &page.next_cursor {
        line(&format!("more: --cursor {cursor}"));
    }
    Ok(())
}

/// Writes a table.
pub(crate) fn table(headers: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headers.iter().map(|header| header.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    for text in table.to_string().lines() {
        let _ = writeln!(io::stdout(), "{}", text.trim_end());
    }
}

/// Writes names and values below each other.
pub(crate) fn fields(fields: &[(&str, String)]) {
    let width = fields
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    for (name, value) in fields {
        line(&format!("{name:<width$}  {value}"));
    }
}

/// Text from certificates may hold anything: control characters must not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|found| {
            if found.is_control() {
                '\u{fffd}'
            } else {
                found
            }
        })
        .collect()
}
