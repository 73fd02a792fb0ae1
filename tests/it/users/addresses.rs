//! Wrong passwords, and where they come from. Each address is one of the many of the loopback network.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clm_domain::permission::Permissions;
use clm_tests::databases::Log;
use clm_tests::rest::{Answer, Call, Rest};
use clm_tests::soak::Soak;
use futures::future::join_all;
use serde_json::json;

use super::World;

/// Addresses that guess.
const GUESSING: u8 = 50;
/// Wrong passwords from each, at least.
const GUESSES: u32 = 2;
/// Failed sign-ins from one address that are free.
const FREE: usize = 20;

fn address(network: u8, number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, network, number))
}

fn rest(world: &World, network: u8, number: u8) -> Rest {
    Rest::from_address(&world.program, address(network, number))
}

async fn sign_in(rest: &Rest, username: &str, password: &str) -> Answer {
    let body = json!({
        "username": username, "password": password, "organization": "default",
    });
    rest.send(Call::new("POST", "/api/v1/sessions").body(body))
        .await
}

/// A person who has signed in from an address, which is known from then on.
async fn person(world: &World, username: &str, from: &Rest) -> String {
    let password = world.program.bootstrap_text("password");
    world.person(username, &Permissions::none()).await;
    sign_in(from, username, &password).await.expect(201);
    password
}

/// The account is protected, its owner gets in, others notice nothing.
pub(super) async fn the_owner_gets_in_while_fifty_addresses_guess(world: &World) {
    let home = rest(world, 0, 10);
    let password = person(world, "owner", &home).await;
    let other = rest(world, 0, 11);
    person(world, "bystander", &other).await;
    // A hundred in `make test`, a thousand in `make soak`.
    let rounds = Soak::announce().rounds;
    let guesses = if rounds > 3 { rounds } else { GUESSES };
    for _ in 0..guesses {
        let guesses = (1..=GUESSING).map(|number| {
            let from = rest(world, 1, number);
            async move { sign_in(&from, "owner", "a wrong password").await }
        });
        for answer in join_all(guesses).await {
            assert_eq!(answer.expect(401).code(), "sign_in_failed");
        }
    }
    // The account is locked for whoever comes from elsewhere, with the right password too.
    let elsewhere = rest(world, 2, 1);
    sign_in(&elsewhere, "owner", &password).await.expect(401);
    sign_in(&home, "owner", &password).await.expect(201);
    sign_in(&elsewhere, "owner", &password).await.expect(401);
    // Whoever shares an address with a guesser does not share the guesser's failures.
    let shared = rest(world, 1, 1);
    sign_in(&shared, "bystander", &password).await.expect(201);
    let longest: i64 = sqlx::query_scalar(
        "SELECT ceil(extract(epoch FROM locked_until - now()))::bigint FROM users
         WHERE username = 'owner'",
    )
    .fetch_one(&world.superuser.core)
    .await
    .unwrap();
    assert!((1..=15 * 60).contains(&longest), "{longest} s");
    let over = "UPDATE users SET locked_until = now() - interval '1 second'
        WHERE username = 'owner' AND home_organization_id = $1";
    world.superuser.update(over, world.organization_id).await;
    sign_in(&elsewhere, "owner", &password).await.expect(201);
}

/// From a known address wrong passwords count as well, for that address.
pub(super) async fn a_known_address_is_no_licence_to_guess(world: &World) {
    let (home, office) = (rest(world, 0, 20), rest(world, 0, 21));
    let password = person(world, "two-places", &home).await;
    sign_in(&office, "two-places", &password).await.expect(201);
    for _ in 0..5 {
        let wrong = sign_in(&home, "two-places", "a wrong password").await;
        wrong.expect(401);
    }
    sign_in(&home, "two-places", &password).await.expect(401);
    sign_in(&office, "two-places", &password).await.expect(201);
    // Once it is long ago, an address is one like any other.
    let aged = "UPDATE known_sign_in_addresses SET last_success_at = now() - interval '31 days'
        WHERE organization_id = $1";
    world.superuser.update(aged, world.organization_id).await;
    sign_in(&home, "two-places", &password).await.expect(201);
}

pub(super) async fn the_last_twenty_are_known(world: &World) {
    let password = person(world, "traveller", &rest(world, 4, 1)).await;
    for number in 2..=23 {
        let from = rest(world, 4, number);
        sign_in(&from, "traveller", &password).await.expect(201);
    }
    let known: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM known_sign_in_addresses k JOIN users u ON u.id = k.user_id
         WHERE u.username = 'traveller'",
    )
    .fetch_one(&world.superuser.core)
    .await
    .unwrap();
    assert_eq!(known, 20);
}

/// Whatever names are tried. The answer costs neither a hash nor an event.
pub(super) async fn an_address_that_keeps_failing_waits(world: &World) {
    let (from, other) = (rest(world, 3, 1), rest(world, 3, 2));
    let password = person(world, "patient", &other).await;
    for number in 0..=FREE {
        let name = format!("nobody-{number}");
        sign_in(&from, &name, "a wrong password").await.expect(401);
    }
    let held_up = sign_in(&from, "patient", &password).await.expect(429);
    assert_eq!(held_up.code(), "too_many_failed_sign_ins");
    let events = world
        .superuser
        .audited(Log::Core, held_up.request_id())
        .await;
    assert!(events.is_empty(), "{events:?}");
    let seconds: u64 = held_up.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    sign_in(&other, "patient", &password).await.expect(201);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    sign_in(&from, "patient", &password).await.expect(201);
    // The success forgot the failures.
    sign_in(&from, "patient", "a wrong password")
        .await
        .expect(401);
    sign_in(&from, "patient", &password).await.expect(201);
}
