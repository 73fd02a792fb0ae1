//! Medians, ratios and verdicts.

use clap::Parser as _;

use super::*;
use crate::arguments::Arguments;

fn sample(per_second: f64) -> Option<Sample> {
    Some(Sample {
        per_second,
        p50_ms: 5.0,
        p99_ms: 20.0,
        ..Sample::default()
    })
}

fn round(product: f64, bare: f64) -> Round {
    Round {
        product: sample(product),
        bare: sample(bare),
        ..Round::default()
    }
}

fn report() -> Report {
    let plan = Arguments::try_parse_from(["clm-benches"]).unwrap().plan();
    let mut report = Report::new(&plan);
    report.rounds.insert(
        16,
        vec![
            round(900.0, 2_000.0),
            round(1_100.0, 2_000.0),
            round(100.0, 1_000.0),
        ],
    );
    report.start_ups.push(StartUp {
        first: Duration::from_secs(4),
        second: Duration::from_secs(3),
    });
    report.memory = Some(Memory {
        idle_after_first_start: Some(81.0),
        idle_after_second_start: Some(40.0),
        ..Memory::default()
    });
    report
}

#[test]
fn a_median_is_not_moved_by_an_outlier() {
    let median = |values: &[f64]| median_of(values, |value| Some(*value));
    assert_eq!(median(&[3.0, 1.0, 100.0]), Some(3.0));
    assert_eq!(median(&[1.0, 2.0, 3.0, 100.0]), Some(2.5));
    assert_eq!(median(&[]), None);
}

#[test]
fn goals_are_judged_by_medians() {
    let goals = goals::of(&report());
    let verdict = |name: &str| {
        let goal = goals.iter().find(|goal| goal.name.contains(name)).unwrap();
        (goal.verdict(), goal.measured)
    };
    assert_eq!(
        verdict("bare loop, 16"),
        (Verdict::Met, Some(900.0 / 2_000.0))
    );
    assert_eq!(verdict("cfssl, 16"), (Verdict::NotMeasured, None));
    assert_eq!(verdict("bare loop, 64"), (Verdict::NotMeasured, None));
    assert_eq!(verdict("first start"), (Verdict::Met, Some(4.0)));
    assert_eq!(verdict("second start"), (Verdict::NotMet, Some(3.0)));
    assert_eq!(verdict("MiB"), (Verdict::NotMet, Some(81.0)));
}

#[test]
fn rows_that_differ_are_told() {
    let mut report = report();
    let size = |table, product_bytes| RowSize {
        table,
        product_bytes,
        bare_bytes: 500.0,
    };
    report.row_sizes = vec![size("same", 510.0), size("gone", 0.0), size("other", 600.0)];
    let text = report.render();
    assert!(text.contains("rows of other are not those of the product"));
    assert!(!text.contains("rows of same") && !text.contains("rows of gone"));
}

#[test]
fn a_report_shows_every_table_and_every_failure() {
    let mut report = report();
    let mut failed = sample(1.0).unwrap();
    failed.failures = 7;
    failed.first_failure = Some("status 503".to_owned());
    report.rounds.insert(
        64,
        vec![Round {
            cfssl: Some(failed),
            ..Round::default()
        }],
    );
    let text = report.render();
    for part in [
        "0.45", // the ratio of the medians
        "0.10 to 0.55",
        "start until ready",
        "memory in MiB",
        "not met",
        "7 requests to cfssl failed with 64 clients, the first one: status 503.",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(report.failed_requests(), 7);
}
