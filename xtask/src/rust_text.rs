//! Reads Rust source just well enough to tell code from comments and literals, so that a rule about
//! code is not fooled by a comment, nor a rule about text by code. It is no parser.

#[cfg(test)]
mod tests;

/// Rust source taken apart. All offsets are bytes and count alike in the source and in `code`.
pub(crate) struct RustText {
    /// The source with comments, and the contents of literals, replaced by spaces.
    pub(crate) code: String,
    /// String literals in order, raw and byte strings too.
    pub(crate) strings: Vec<Literal>,
}

/// A string literal.
pub(crate) struct Literal {
    /// Where its opening quote stands.
    pub(crate) start: usize,
    /// What stands between the quotes; escapes are left as written.
    pub(crate) text: String,
}

impl RustText {
    /// Takes source apart. Whatever is not closed reaches to the end.
    pub(crate) fn read(source: &str) -> Self {
        let mut scanner = Scanner {
            bytes: source.as_bytes(),
            at: 0,
            code: Vec::with_capacity(source.len()),
            strings: Vec::new(),
        };
        while scanner.at < scanner.bytes.len() {
            scanner.step();
        }
        let code = String::from_utf8_lossy(&scanner.code).into_owned();
        Self {
            code,
            strings: scanner.strings,
        }
    }
}

/// The number of the line, from 1, in which the byte at `offset` stands.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// Whether a byte may be part of an identifier.
pub(crate) fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    code: Vec<u8>,
    strings: Vec<Literal>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (b'/', b'/') => self.blank_while(|scanner| scanner.peek(0) != b'\n'),
            (b'/', b'*') => self.block_comment(),
            (b'"', _) => self.string(),
            (b'\'', _) => self.quote(),
            (b'r', b'"' | b'#') if !self.inside_identifier() => self.raw_string(),
            (b'b' | b'c', b'r') if !self.inside_identifier() => {
                self.keep();
                self.raw_string();
            }
            _ => self.keep(),
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn inside_identifier(&self) -> bool {
        let before = self
            .at
            .checked_sub(1)
            .and_then(|before| self.bytes.get(before));
        before.is_some_and(|byte| is_identifier_byte(*byte))
    }

    fn keep(&mut self) {
        self.code.extend(self.bytes.get(self.at));
        self.at += 1;
    }

    fn blank(&mut self) {
        let byte = self.bytes.get(self.at);
        self.code
            .extend(byte.map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
        self.at += 1;
    }

    fn blank_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        while self.at < self.bytes.len() && goes_on(self) {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        let start = self.at;
        self.keep();
        let content = self.at;
        while self.at < self.bytes.len() && self.peek(0) != b'"' {
            if self.peek(0) == b'\\' {
                self.blank();
            }
            self.blank();
        }
        self.remember(start, content);
        self.keep();
    }

    /// `r"…"`, `r#"…"#` and so on; a raw identifier (`r#type`) is code.
    fn raw_string(&mut self) {
        let hashes = (1..).take_while(|ahead| self.peek(*ahead) == b'#').count();
        if self.peek(1 + hashes) != b'"' {
            self.keep();
            return;
        }
        for _ in 0..=hashes {
            self.keep();
        }
        let start = self.at;
        self.keep();
        let content = self.at;
        let closes = |scanner: &Self| {
            scanner.peek(0) == b'"' && (1..=hashes).all(|ahead| scanner.peek(ahead) == b'#')
        };
        self.blank_while(|scanner| !closes(scanner));
        self.remember(start, content);
        self.keep();
    }

    /// A character literal loses its content; a lifetime is code.
    fn quote(&mut self) {
        let escaped = self.peek(1) == b'\\';
        let width = match self.peek(1) {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        self.keep();
        if escaped {
            self.blank();
            self.blank();
            self.blank_while(|scanner| scanner.peek(0) != b'\'');
            self.keep();
        } else if self.peek(width) == b'\'' {
            for _ in 0..width {
                self.blank();
            }
            self.keep();
        }
    }

    fn remember(&mut self, start: usize, content: usize) {
        let bytes = self.bytes.get(content..self.at).unwrap_or_default();
        self.strings.push(Literal {
            start,
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
    }
}
