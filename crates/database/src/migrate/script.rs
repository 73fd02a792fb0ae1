//! Runs a file of SQL the way psql does: statement by statement, each a message of its own, so that
//! a file applied here and one applied by hand have the same effect.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{Connection, PgConnection};

use super::error::MigrateError;
use crate::error::DatabaseError;
use crate::pool::Database;

/// A statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The line that it starts on, counted from 1.
    pub(super) line: usize,
    /// Its text, without the semicolon.
    pub(super) text: &'static str,
}

/// Runs `script` on a connection of its own, so that a file which forgot its COMMIT changes nothing.
/// The first statement that fails ends it.
pub(super) async fn run(
    mut connection: PgConnection,
    database: Database,
    file: &str,
    script: &'static str,
) -> Result<(), MigrateError> {
    for statement in statements(script) {
        if let Err(error) = sqlx::raw_sql(statement.text).execute(&mut connection).await {
            return Err(failure(database, file, statement, error));
        }
    }
    // What was not committed is gone, whether or not the farewell arrives.
    let _farewell = connection.close().await;
    Ok(())
}

fn failure(
    database: Database,
    file: &str,
    statement: Statement,
    error: sqlx::Error,
) -> MigrateError {
    let reported = error
        .as_database_error()
        .and_then(|reported| reported.try_downcast_ref::<PgDatabaseError>());
    let Some(reported) = reported else {
        return DatabaseError::from_statement(database.name(), error).into();
    };
    // The server counts characters from 1.
    let lines_before = match reported.position() {
        Some(PgErrorPosition::Original(position)) => statement
            .text
            .chars()
            .take(position)
            .filter(|&c| c == '\n')
            .count(),
        _ => 0,
    };
    MigrateError::ScriptFailed {
        file: file.to_owned(),
        line: statement.line + lines_before,
        code: reported.code().to_owned(),
        message: reported.message().to_owned(),
        hint: reported.hint().map(str::to_owned),
    }
}

/// The statements of `script`. Knows quotes, dollar quotes, comments and parentheses.
pub(super) fn statements(script: &'static str) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = None;
    let mut at = 0;
    while let Some(token) = script.get(at..).and_then(next_token) {
        let end = at + token.length;
        match token.kind {
            TokenKind::Blank => {}
            TokenKind::Semicolon if depth == 0 => {
                if let Some(text) = start.take().and_then(|start| script.get(start..at)) {
                    found.push(statement(script, text));
                }
            }
            kind => {
                start = start.or(Some(at));
                match kind {
                    TokenKind::Open => depth += 1,
                    TokenKind::Close => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
        at = end;
    }
    if let Some(text) = start.and_then(|start| script.get(start..)) {
        found.push(statement(script, text.trim_end()));
    }
    found
}

/// `text` is a part of `script`.
fn statement(script: &'static str, text: &'static str) -> Statement {
    let offset = text.as_ptr().addr() - script.as_ptr().addr();
    let before = script.get(..offset).unwrap_or_default();
    Statement {
        line: before.matches('\n').count() + 1,
        text,
    }
}

#[derive(Clone, Copy)]
enum TokenKind {
    /// White space or a comment.
    Blank,
    Semicolon,
    Open,
    Close,
    /// A word, a literal, or any other character.
    Other,
}

struct Token {
    kind: TokenKind,
    /// In bytes, at least 1.
    length: usize,
}

/// The token that `rest` starts with; none at the end.
fn next_token(rest: &str) -> Option<Token> {
    let first = rest.chars().next()?;
    let (kind, length) = match first {
        c if c.is_whitespace() => (TokenKind::Blank, c.len_utf8()),
        '-' if rest.starts_with("--") => (TokenKind::Blank, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => (TokenKind::Blank, block_comment_length(rest)),
        ';' => (TokenKind::Semicolon, 1),
        '(' => (TokenKind::Open, 1),
        ')' => (TokenKind::Close, 1),
        '\'' => (TokenKind::Other, quoted_length(rest, '\'', false)),
        '"' => (TokenKind::Other, quoted_length(rest, '"', false)),
        '$' => (TokenKind::Other, dollar_quoted_length(rest)),
        c if is_word(c) => (TokenKind::Other, word_length(rest)),
        c => (TokenKind::Other, c.len_utf8()),
    };
    Some(Token { kind, length })
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// A word, with the literal that it prefixes in `E'…'`, whose backslashes escape.
fn word_length(rest: &str) -> usize {
    let length = rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
    if word.eq_ignore_ascii_case("e") && after.starts_with('\'') {
        length + quoted_length(after, '\'', true)
    } else {
        length
    }
}

/// A doubled quote inside reads as the end of one literal and the start of the next, which comes to
/// the same.
fn quoted_length(rest: &str, quote: char, backslash_escapes: bool) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if backslash_escapes && c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

fn dollar_quoted_length(rest: &str) -> usize {
    let Some(tag_length) = rest.get(1..).and_then(|after| after.find(|c| !is_word(c))) else {
        return 1;
    };
    let Some(tag) = rest.get(..tag_length + 2).filter(|tag| tag.ends_with('$')) else {
        return 1; // A parameter such as $1.
    };
    let body = rest.get(tag.len()..).unwrap_or_default();
    body.find(tag)
        .map_or(rest.len(), |end| tag.len() + end + tag.len())
}

/// Block comments nest in SQL.
fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}
