//! Tests of `own_names`.

use super::*;

#[test]
fn the_host_of_a_public_url_has_no_brackets() {
    assert_eq!(
        host_of("https://[2001:db8::1]:8443/x").as_deref(),
        Some("2001:db8::1")
    );
    assert_eq!(
        host_of("https://clm.example.").as_deref(),
        Some("clm.example")
    );
    assert_eq!(host_of("https://192.0.2.1").as_deref(), Some("192.0.2.1"));
}

#[test]
fn only_names_that_a_certificate_can_carry_are_asked_for() {
    let of = |name: &str| certifiable(name.to_owned());
    assert_eq!(
        of("clm.example"),
        Some(GeneralName::Dns("clm.example".to_owned()))
    );
    assert!(matches!(of("2001:db8::1"), Some(GeneralName::Ip(_))));
    for name in ["under_score.example", "-a.example", "a..b", "", "*.example"] {
        assert_eq!(of(name), None, "{name}");
    }
    assert_eq!(of(&format!("{}.example", "a".repeat(64))), None);
}
