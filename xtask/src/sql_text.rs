//! Reads SQL just well enough to tell statements from comments, strings and function bodies.

#[cfg(test)]
mod tests;

/// SQL taken apart. Both texts have the length and the lines of the source.
pub(crate) struct SqlText {
    /// Without comments.
    pub(crate) without_comments: String,
    /// Without comments, contents of strings and of dollar-quoted bodies.
    pub(crate) code: String,
}

impl SqlText {
    /// Takes SQL apart. Whatever is not closed reaches to the end.
    pub(crate) fn read(source: &str) -> Self {
        let mut scanner = Scanner {
            bytes: source.as_bytes(),
            at: 0,
            without_comments: Vec::with_capacity(source.len()),
            code: Vec::with_capacity(source.len()),
        };
        while scanner.at < scanner.bytes.len() {
            scanner.step();
        }
        Self {
            without_comments: String::from_utf8_lossy(&scanner.without_comments).into_owned(),
            code: String::from_utf8_lossy(&scanner.code).into_owned(),
        }
    }

    /// The statements: where each begins, and its code. What follows the last semicolon is one too,
    /// unless it is blank.
    pub(crate) fn statements(&self) -> Vec<(usize, &str)> {
        let mut statements = Vec::new();
        let mut start = 0;
        for piece in self.code.split(';') {
            let text = piece.trim();
            if !text.is_empty() {
                let indent = piece.len() - piece.trim_start().len();
                statements.push((start + indent, text));
            }
            start += piece.len() + 1;
        }
        statements
    }
}

#[derive(Clone, Copy)]
enum Part {
    Code,
    Comment,
    Literal,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    without_comments: Vec<u8>,
    code: Vec<u8>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (b'-', b'-') => self.take_while(Part::Comment, |scanner| scanner.peek(0) != b'\n'),
            (b'/', b'*') => self.block_comment(),
            (quote @ (b'\'' | b'"'), _) => self.quoted(quote),
            (b'$', _) => self.dollar(),
            _ => self.take(Part::Code),
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn take(&mut self, part: Part) {
        let Some(byte) = self.bytes.get(self.at).copied() else {
            return;
        };
        let blank = if byte == b'\n' { b'\n' } else { b' ' };
        let (uncommented, code) = match part {
            Part::Code => (byte, byte),
            Part::Comment => (blank, blank),
            Part::Literal => (byte, blank),
        };
        self.without_comments.push(uncommented);
        self.code.push(code);
        self.at += 1;
    }

    fn take_while(&mut self, part: Part, goes_on: impl Fn(&Self) -> bool) {
        while self.at < self.bytes.len() && goes_on(self) {
            self.take(part);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ => {
                    self.take(Part::Comment);
                    continue;
                }
            }
            self.take(Part::Comment);
            self.take(Part::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    /// A string, whose content is a literal, or a quoted name, which is code. A doubled quote ends
    /// one and begins the next, which comes to the same.
    fn quoted(&mut self, quote: u8) {
        let escapes = quote == b'\'' && self.after_escape_prefix();
        let part = if quote == b'"' {
            Part::Code
        } else {
            Part::Literal
        };
        self.take(Part::Code);
        while self.at < self.bytes.len() && self.peek(0) != quote {
            if escapes && self.peek(0) == b'\\' {
                self.take(part);
            }
            self.take(part);
        }
        self.take(Part::Code);
    }

    /// Whether the `E` of `E'…'` stands before this quote.
    fn after_escape_prefix(&self) -> bool {
        let before = self
            .at
            .checked_sub(1)
            .and_then(|before| self.bytes.get(before));
        before.is_some_and(|byte| matches!(byte, b'e' | b'E'))
    }

    /// `$$…$$` or `$tag$…$tag$`; a parameter (`$1`) is code.
    fn dollar(&mut self) {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let length = (1..).take_while(|ahead| name(self.peek(*ahead))).count();
        let is_parameter = self.peek(1).is_ascii_digit();
        if is_parameter || self.peek(1 + length) != b'$' {
            self.take(Part::Code);
            return;
        }
        let tag = self
            .bytes
            .get(self.at..self.at + length + 2)
            .unwrap_or_default()
            .to_vec();
        let closes = |scanner: &Self| {
            scanner
                .bytes
                .get(scanner.at..)
                .is_some_and(|rest| rest.starts_with(&tag))
        };
        for _ in 0..tag.len() {
            self.take(Part::Code);
        }
        self.take_while(Part::Literal, |scanner| !closes(scanner));
        for _ in 0..tag.len() {
            self.take(Part::Code);
        }
    }
}
