//! Looking for many secrets at once, in every form in which bytes are usually written.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::plants::Plant;

/// So many bytes of a secret give it away: a beginning or an end that is left in a log is a leak.
const PIECE_BYTES: usize = 16;

/// All forms of all secrets, by their first two bytes.
pub(super) struct Search {
    by_start: Vec<Vec<usize>>,
    patterns: Vec<Pattern>,
}

struct Pattern {
    name: String,
    form: &'static str,
    bytes: Vec<u8>,
}

impl Search {
    pub(super) fn new(plants: &[Plant]) -> Self {
        let mut patterns = Vec::new();
        for plant in plants {
            let Plant { name, bytes } = plant;
            assert!(bytes.len() >= 12, "{name} is too short to be recognized");
            let size = bytes.len().min(PIECE_BYTES);
            for piece in [&bytes[..size], &bytes[bytes.len() - size..]] {
                patterns.extend(forms_of(piece).into_iter().map(|(form, bytes)| Pattern {
                    name: name.clone(),
                    form,
                    bytes,
                }));
            }
        }
        let mut by_start = vec![Vec::new(); 1 << 16];
        for (index, pattern) in patterns.iter().enumerate() {
            by_start[start(pattern.bytes[0], pattern.bytes[1])].push(index);
        }
        Self { by_start, patterns }
    }

    /// Which secret is in the bytes, and in which form.
    pub(super) fn find(&self, bytes: &[u8]) -> BTreeSet<(&str, &'static str)> {
        let mut found = BTreeSet::new();
        let Some((mut last, rest)) = bytes.split_first() else {
            return found;
        };
        for (index, byte) in rest.iter().enumerate() {
            for candidate in &self.by_start[start(*last, *byte)] {
                let Pattern {
                    name,
                    form,
                    bytes: pattern,
                } = &self.patterns[*candidate];
                if bytes[index..].starts_with(pattern) {
                    found.insert((name.as_str(), *form));
                }
            }
            last = byte;
        }
        found
    }
}

fn start(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// The forms in which these bytes may be written: as they are, hexadecimal, Base64 at each
/// alignment, and as a list of numbers.
pub(super) fn forms_of(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hexadecimal = hex::encode(bytes);
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("as it is", bytes.to_vec()),
        ("hexadecimal", hexadecimal.clone().into_bytes()),
        (
            "hexadecimal in capitals",
            hexadecimal.to_uppercase().into_bytes(),
        ),
        ("a list of numbers", numbers.join(", ").into_bytes()),
        ("a compact list of numbers", numbers.join(",").into_bytes()),
    ];
    for alignment in 0..3 {
        // Behind so many other bytes; only the characters that these bytes alone decide.
        let shifted = [vec![0; alignment], bytes.to_vec()].concat();
        let begin = (alignment * 8).div_ceil(6);
        let end = shifted.len() * 8 / 6;
        let decided = |text: String| text.as_bytes()[begin..end].to_vec();
        forms.push(("Base64", decided(STANDARD_NO_PAD.encode(&shifted))));
        forms.push(("Base64 for URLs", decided(URL_SAFE_NO_PAD.encode(&shifted))));
    }
    forms
}
