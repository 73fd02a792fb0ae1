//! Tests of `mail`.

use super::super::Settings;

fn settings(of: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in of {
        settings.0.insert((*name).to_owned(), (*value).to_owned());
    }
    settings
}

const URL: (&str, &str) = ("CLM_SMTP_URL", "smtp://user:sesame@mail.example");
const FROM: (&str, &str) = ("CLM_SMTP_FROM", "clm@example.org");
const PUBLIC: (&str, &str) = ("CLM_PUBLIC_URL", "https://clm.example/");

#[test]
fn all_of_it_or_nothing() {
    assert!(settings(&[]).mail().expect("nothing is right").is_none());
    let mail = settings(&[URL, FROM, PUBLIC]).mail().expect("it is right");
    let mail = mail.expect("it is set up");
    assert_eq!(mail.public_url, "https://clm.example");
    assert_eq!(mail.mailer.place(), "mail.example:587");
    assert!(!format!("{mail:?}").contains("sesame"));
}

#[test]
fn what_is_missing_or_wrong_is_named_and_the_password_is_not() {
    let http = ("CLM_PUBLIC_URL", "http://clm.example");
    let query = ("CLM_PUBLIC_URL", "https://clm.example/?x");
    let clear = ("CLM_SMTP_URL", "smtp://user:sesame@mail.example?tls=none");
    let nobody = ("CLM_SMTP_FROM", "nobody");
    let file = ("CLM_SMTP_CA_FILE", "/dev/null");
    for (of, name) in [
        (&[FROM][..], "CLM_SMTP_FROM"),
        (&[file], "CLM_SMTP_CA_FILE"),
        (&[URL, PUBLIC], "CLM_SMTP_FROM"),
        (&[URL, FROM], "CLM_PUBLIC_URL"),
        (&[URL, FROM, http], "https://"),
        (&[URL, FROM, query], "CLM_PUBLIC_URL"),
        (&[clear, FROM, PUBLIC], "CLM_SMTP_URL"),
        (&[URL, nobody, PUBLIC], "CLM_SMTP_FROM"),
        (&[URL, FROM, PUBLIC, file], "CLM_SMTP_CA_FILE"),
    ] {
        let error = settings(of).mail().expect_err(name);
        let text = format!("{error:#}");
        assert!(text.contains(name) && !text.contains("sesame"), "{text}");
    }
}
