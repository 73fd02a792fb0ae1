//! Phases are timed and reported, failed ones too.

use std::time::Duration;

use anyhow::bail;

use super::Phases;

#[test]
fn a_failed_phase_is_reported_with_its_name() {
    let mut phases = Phases::default();
    phases.run("first", || Ok(())).unwrap();
    let error = phases.run("second", || bail!("no reason")).unwrap_err();
    assert_eq!(format!("{error:#}"), "second failed: no reason");
    assert_eq!(
        phases
            .done
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>(),
        ["first", "second"]
    );
}

#[test]
fn the_report_ends_with_the_total() {
    let done = vec![
        ("a", Duration::from_millis(1_500)),
        ("b", Duration::from_secs(2)),
    ];
    let report = Phases { done }.to_string();
    let lines: Vec<String> = report
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines, ["a 1.5 s", "b 2.0 s", "total 3.5 s"]);
}
