//! Definitions in a form that every version of the server agrees on.

use std::collections::BTreeSet;

/// One space where there was white space.
pub(super) fn text(definition: &str) -> String {
    definition.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A view over one table: since version 16 its columns are written without the name of the table, which
/// is dropped here. Where several tables are joined, every version writes the names.
pub(super) fn view(definition: &str) -> String {
    let text = text(definition);
    let qualifiers: BTreeSet<&str> = qualified(&text).map(|(_, qualifier)| qualifier).collect();
    let (Some(only), 1) = (qualifiers.first(), qualifiers.len()) else {
        return text;
    };
    let mut short = String::with_capacity(text.len());
    let mut copied = 0;
    for (at, _) in qualified(&text) {
        short.push_str(text.get(copied..at).unwrap_or_default());
        copied = at + only.len() + 1;
    }
    short.push_str(text.get(copied..).unwrap_or_default());
    short
}

/// Where names stand before a dot, and these names; schemas do not count, nor does what stands in
/// quotes.
fn qualified(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_literal = false;
    let mut word_start = None;
    text.char_indices().filter_map(move |(at, c)| {
        if c == '\'' {
            in_literal = !in_literal;
        }
        if !in_literal && (c.is_alphanumeric() || c == '_') {
            word_start = word_start.or(Some(at));
            return None;
        }
        let start = word_start.take()?;
        let word = text.get(start..at)?;
        let is_name = word.starts_with(|first: char| !first.is_ascii_digit());
        (c == '.' && is_name && word != "public" && word != "pg_catalog").then_some((start, word))
    })
}
