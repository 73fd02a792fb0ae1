//! How long a refusal takes, for names that there are and names that there are not. Reported, never judged:
//! the machine has other things to do as well.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use clm_domain::permission::Permissions;
use clm_tests::rest::{Call, Rest};
use clm_tests::soak::Soak;
use serde_json::json;

use super::World;

/// Pairs of refusals in each round.
const PAIRS: u32 = 5;

/// Wrong passwords for a known and an unknown name in turn, each from an address and for a name that has not
/// failed before.
pub(super) async fn known_and_unknown_names_take_as_long(world: &World) {
    let pairs = PAIRS * Soak::announce().rounds;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..pairs {
        let there = format!("there-{number:06}");
        world.person(&there, &Permissions::none()).await;
        known.push(refuse(world, &there, 2 * number).await);
        let absent = format!("never-{number:06}");
        unknown.push(refuse(world, &absent, 2 * number + 1).await);
    }
    report(known, unknown);
}

/// How long the refusal took.
async fn refuse(world: &World, username: &str, number: u32) -> Duration {
    let [_, _, high, low] = number.to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(127, 9, high, low.max(1)));
    let rest = Rest::from_address(&world.program, address);
    // So that the connection is there.
    let ready = Call::new("GET", "/healthz");
    rest.send(ready).await.expect(200);
    let body = json!({
        "username": username, "password": "a wrong password", "organization": "default",
    });
    let begun = Instant::now();
    let answer = rest.send(Call::new("POST", "/api/v1/sessions").body(body));
    let answer = answer.await.expect(401);
    let took = begun.elapsed();
    assert_eq!(answer.code(), "sign_in_failed");
    took
}

#[expect(clippy::print_stdout, reason = "the report is the result")]
fn report(mut known: Vec<Duration>, mut unknown: Vec<Duration>) {
    let z = mann_whitney(&known, &unknown);
    known.sort_unstable();
    unknown.sort_unstable();
    for (name, times) in [("known", &known), ("unknown", &unknown)] {
        let quantile = |percent: usize| {
            let index = (times.len() - 1) * percent / 100;
            times[index].as_secs_f64() * 1_000.0
        };
        println!(
            "{name:>8} names: 10 % {:.2} ms, median {:.2} ms, 90 % {:.2} ms, of {}",
            quantile(10),
            quantile(50),
            quantile(90),
            times.len()
        );
    }
    println!("Mann-Whitney: z = {z:.2} (beyond 2 to either side: they can be told apart)");
}

/// By how many standard deviations the ranks of the first differ from chance (normal approximation).
fn mann_whitney(first: &[Duration], second: &[Duration]) -> f64 {
    let count = |smaller: bool| {
        let pairs = first
            .iter()
            .flat_map(|one| second.iter().map(move |other| (one, other)));
        let wanted = pairs.filter(|(one, other)| if smaller { one < other } else { one == other });
        f64::from(u32::try_from(wanted.count()).unwrap())
    };
    let (n, m) = (
        f64::from(u32::try_from(first.len()).unwrap()),
        f64::from(u32::try_from(second.len()).unwrap()),
    );
    let u = count(true) + count(false) / 2.0;
    (n * m / 2.0 - u) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[test]
fn what_is_slower_is_told() {
    let times = |milliseconds: std::ops::Range<u64>| -> Vec<Duration> {
        milliseconds.map(Duration::from_millis).collect()
    };
    assert!(mann_whitney(&times(0..20), &times(0..20)).abs() < 0.01);
    assert!(mann_whitney(&times(20..40), &times(0..20)) > 5.0);
    assert!(mann_whitney(&times(0..20), &times(20..40)) < -5.0);
}
