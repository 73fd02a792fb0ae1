//! Lints of the serial number.

use super::{Candidate, Lint, require};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_serial_positive",
        citation: "RFC 5280 §4.1.2.2",
        check: positive,
    },
    Lint {
        name: "e_rfc5280_serial_at_most_20_octets",
        citation: "RFC 5280 §4.1.2.2",
        check: at_most_20_octets,
    },
    Lint {
        name: "e_x690_serial_shortest_form",
        citation: "X.690 §8.3.2",
        check: shortest_form,
    },
    Lint {
        name: "e_cabf_serial_at_least_64_bits",
        citation: "CA/Browser Forum Baseline Requirements §7.1",
        check: at_least_64_bits,
    },
];

const OCTETS_MAX: usize = 20;
const BITS_MIN: usize = 64;

fn positive(candidate: &Candidate<'_>) -> Vec<String> {
    let serial = candidate.tbs.serial;
    let negative = serial.first().is_none_or(|first| first & 0x80 != 0);
    let zero = serial.iter().all(|octet| *octet == 0);
    require(!negative && !zero, || {
        "The serial number must be greater than zero.".to_owned()
    })
}

fn at_most_20_octets(candidate: &Candidate<'_>) -> Vec<String> {
    let octets = candidate.tbs.serial.len();
    require(octets <= OCTETS_MAX, || {
        format!("The serial number has {octets} octets; at most {OCTETS_MAX} are allowed.")
    })
}

fn shortest_form(candidate: &Candidate<'_>) -> Vec<String> {
    let shortest = match candidate.tbs.serial {
        [0, second, ..] => second & 0x80 != 0,
        [0xFF, second, ..] => second & 0x80 == 0,
        [] => false,
        _ => true,
    };
    require(shortest, || {
        "The serial number is not in its shortest form.".to_owned()
    })
}

/// The length stands for the entropy, which no lint can see.
fn at_least_64_bits(candidate: &Candidate<'_>) -> Vec<String> {
    let digits: Vec<u8> = candidate
        .tbs
        .serial
        .iter()
        .copied()
        .skip_while(|octet| *octet == 0)
        .collect();
    let leading = digits.first().map_or(0, |first| first.leading_zeros());
    let bits = (digits.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0));
    require(bits >= BITS_MIN, || {
        format!("The serial number has {bits} bits; at least {BITS_MIN} random ones are needed.")
    })
}
