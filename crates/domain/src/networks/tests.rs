//! Tests of `networks`.

use super::*;

fn networks(texts: &[&str]) -> Networks {
    Networks::parse(texts).unwrap()
}

#[test]
fn addresses_and_prefixes_are_networks() {
    let read = networks(&["192.0.2.7", " 10.1.2.3/8 ", "2001:db8::1/32", "::1"]);
    assert_eq!(
        read.to_texts(),
        ["192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32", "::1/128"]
    );
}

#[test]
fn other_texts_are_none() {
    for text in [
        "",
        "10.0.0.0/33",
        "10.0.0/8",
        "example.org",
        "10.0.0.0/-1",
        "::/129",
    ] {
        assert!(Networks::parse(&[text]).is_err(), "{text}");
    }
}

#[test]
fn an_address_is_in_its_networks_alone() {
    let allowed = networks(&["192.0.2.0/24", "2001:db8::/32"]);
    for (address, expected) in [
        ("192.0.2.255", true),
        ("192.0.3.0", false),
        ("::ffff:192.0.2.1", true),
        ("2001:db8:ffff::1", true),
        ("2001:db9::1", false),
        ("::192.0.2.1", false),
    ] {
        assert_eq!(
            allowed.contain(address.parse().unwrap()),
            expected,
            "{address}"
        );
    }
    assert!(!networks(&[]).contain("192.0.2.1".parse().unwrap()));
}

#[test]
fn networks_hold_what_is_within_one_of_them() {
    let all = networks(&["10.0.0.0/8", "2001:db8::/32"]);
    assert!(all.hold(&networks(&["10.1.0.0/16", "2001:db8:1::/48", "10.0.0.0/8"])));
    assert!(!all.hold(&networks(&["10.1.0.0/16", "11.0.0.0/8"])));
    assert!(!all.hold(&networks(&["0.0.0.0/0"])));
    assert!(all.hold(&networks(&[])));
}

#[test]
fn an_ipv6_network_is_one_caller() {
    let of = |text: &str| caller_network(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}
