//! Lints of the validity.

use chrono::Datelike;

use super::{Candidate, Lint, require};
use crate::tbs_view::{GENERALIZED_TIME, TimeView, UTC_TIME};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_validity_order",
        citation: "RFC 5280 §4.1.2.5",
        check: order,
    },
    Lint {
        name: "e_rfc5280_time_type",
        citation: "RFC 5280 §4.1.2.5",
        check: time_type,
    },
    Lint {
        name: "e_rfc5280_time_format",
        citation: "RFC 5280 §4.1.2.5.1 and §4.1.2.5.2",
        check: time_format,
    },
    Lint {
        name: "w_rfc5280_validity_end_defined",
        citation: "RFC 5280 §4.1.2.5",
        check: end_defined,
    },
];

/// "No well-defined expiration date": meant for devices that nobody will ever renew.
const NO_END: &[u8] = b"99991231235959Z";
const GENERALIZED_TIME_YEAR_MIN: i32 = 2050;

fn order(candidate: &Candidate<'_>) -> Vec<String> {
    let (start, end) = (candidate.tbs.not_before.time, candidate.tbs.not_after.time);
    let reversed = start.zip(end).is_some_and(|(start, end)| start > end);
    require(!reversed, || {
        "The validity must not end before it begins.".to_owned()
    })
}

fn time_type(candidate: &Candidate<'_>) -> Vec<String> {
    times(candidate)
        .filter(|(_, time)| {
            time.time.is_some_and(|instant| {
                let expected = if instant.year() < GENERALIZED_TIME_YEAR_MIN {
                    UTC_TIME
                } else {
                    GENERALIZED_TIME
                };
                time.tag != expected
            })
        })
        .map(|(field, _)| {
            format!("{field} must be UTCTime through 2049 and GeneralizedTime from 2050.")
        })
        .collect()
}

fn time_format(candidate: &Candidate<'_>) -> Vec<String> {
    times(candidate)
        .filter(|(_, time)| time.time.is_none())
        .map(|(field, time)| {
            let text = String::from_utf8_lossy(time.text);
            format!("{field} '{text}' is no time of the form YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ.")
        })
        .collect()
}

fn end_defined(candidate: &Candidate<'_>) -> Vec<String> {
    require(candidate.tbs.not_after.text != NO_END, || {
        "The certificate has no defined end.".to_owned()
    })
}

fn times<'c, 'a>(
    candidate: &'c Candidate<'a>,
) -> impl Iterator<Item = (&'static str, &'c TimeView<'a>)> {
    [
        ("notBefore", &candidate.tbs.not_before),
        ("notAfter", &candidate.tbs.not_after),
    ]
    .into_iter()
}
