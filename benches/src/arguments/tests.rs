//! What arguments mean.

use super::*;

fn plan(arguments: &[&str]) -> Plan {
    let all = std::iter::once("clm-benches").chain(arguments.iter().copied());
    Arguments::try_parse_from(all).unwrap().plan()
}

#[test]
fn a_plain_run_is_quotable() {
    let plan = plan(&[]);
    assert_eq!(plan.rounds, 5);
    assert_eq!(plan.clients, [1, 16, 64]);
    assert!(plan.quotable);
}

#[test]
fn a_quick_run_and_a_single_round_are_not() {
    let quick = plan(&["--quick"]);
    assert_eq!(quick.rounds, 1);
    assert_eq!(quick.period.measured, Duration::from_secs(2));
    assert!(!quick.quotable);
    assert!(!plan(&["--rounds", "2"]).quotable);
}

#[test]
fn lists_are_separated_by_commas() {
    let arguments =
        Arguments::try_parse_from(["clm-benches", "--clients", "1,8", "--subjects", "bare"])
            .unwrap();
    assert_eq!(arguments.plan().clients, [1, 8]);
    assert!(arguments.wants(Subject::Bare));
    assert!(!arguments.wants(Subject::Product));
}

#[test]
fn no_clients_and_no_rounds_are_refused() {
    for wrong in ["--clients=0", "--rounds=0", "--seconds=0"] {
        assert!(
            Arguments::try_parse_from(["clm-benches", wrong]).is_err(),
            "{wrong}"
        );
    }
}
