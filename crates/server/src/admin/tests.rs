//! Tests of `admin`.

use super::*;

fn like(url: &str) -> Option<String> {
    let options = PgConnectOptions::new_without_pgpass()
        .username("clm_core_user")
        .database("clm_core_db");
    url_like(Url::parse(url).unwrap(), &options, "secret")
}

#[test]
fn parameters_and_brackets_of_the_given_url_stay() {
    let made = like(
        "postgres://postgres:old@[2001:db8::1]:6432/postgres?sslmode=verify-full&user=postgres&\
         sslrootcert=%2Fetc%2Fca.pem",
    )
    .unwrap();
    assert_eq!(
        made,
        "postgres://clm_core_user:secret@[2001:db8::1]:6432/clm_core_db?sslmode=verify-full&\
         sslrootcert=%2Fetc%2Fca.pem"
    );
    let options: PgConnectOptions = made.parse().unwrap();
    assert_eq!(options.get_username(), "clm_core_user");
    assert_eq!(options.get_database(), Some("clm_core_db"));
    assert_eq!(options.get_port(), 6432);
}

#[test]
fn a_url_without_parameters_gets_none() {
    assert_eq!(
        like("postgres://postgres@db.example/postgres").as_deref(),
        Some("postgres://clm_core_user:secret@db.example/clm_core_db")
    );
}

#[test]
fn a_url_without_a_host_carries_no_user() {
    assert_eq!(like("postgres:///postgres?host=/run/postgresql"), None);
}
