//! Tests of `server`.

use clm_domain::secret::SecretString;

use super::{Security, SmtpServer};

fn parse(url: &str) -> Result<SmtpServer, String> {
    SmtpServer::parse(&SecretString::new(url.to_owned())).map_err(|error| error.0)
}

#[test]
fn each_form_has_its_protection_and_port() {
    for (url, security, place) in [
        (
            "smtp://mail.example",
            Security::StartTls,
            "mail.example:587",
        ),
        (
            "smtp://u:p@mail.example:2525",
            Security::StartTls,
            "mail.example:2525",
        ),
        (
            "smtps://u:p@mail.example/",
            Security::Tls,
            "mail.example:465",
        ),
        ("smtp://127.0.0.1?tls=none", Security::None, "127.0.0.1:25"),
        ("smtp://u:p@[::1]:26?tls=none", Security::None, "[::1]:26"),
        (
            "smtp://mail.example?tls=none",
            Security::None,
            "mail.example:25",
        ),
    ] {
        let server = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(
            (server.security(), server.place().as_str()),
            (security, place),
            "{url}"
        );
        assert!(server.transport().is_ok(), "{url}");
    }
}

#[test]
fn what_would_be_unsafe_or_is_unknown_is_refused_without_being_repeated() {
    for url in [
        "mail.example:25",
        "http://mail.example",
        "smtp://",
        "smtp://sesame@mail.example",
        "smtp://:sesame@mail.example",
        "smtp://u:sesame@mail.example?tls=none",
        "smtp://u:sesame@mail.example?tls=opportunistic",
        "smtps://u:sesame@mail.example?tls=none",
        "smtp://u:sesame@mail.example/path",
        "smtp://u:sesame@mail.example#fragment",
        "smtp://u:sesame%ff@mail.example",
    ] {
        let error = parse(url).err().unwrap_or_else(|| panic!("{url} is taken"));
        assert!(!error.contains("sesame"), "{error}");
    }
}

#[test]
fn passwords_are_decoded_and_not_shown() {
    let server = parse("smtp://user:pass%2Fw%C3%B6rd@mail.example").expect("it is right");
    assert_eq!(
        server.password().map(SecretString::expose),
        Some("pass/wörd")
    );
    assert!(!format!("{server:?}").contains("pass"));
}

#[test]
fn trusted_certificates_must_be_some() {
    let server = parse("smtp://mail.example").expect("it is right");
    assert!(server.clone().trusting(b"no certificate").is_err());
    let broken = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----";
    assert!(server.trusting(broken).is_err());
}
