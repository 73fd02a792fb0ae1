//! Tests of `letters`.

use chrono::DateTime;
use clm_domain::states::MailPurpose;

use super::{Circumstances, LINK, body, page, shown, subject, with_link};

fn circumstances(name: &str) -> Circumstances<'_> {
    Circumstances {
        username: Some(name),
        organization_name: name,
        ip_address: Some("192.0.2.7"),
        at: DateTime::UNIX_EPOCH,
        public_url: "https://clm.example",
    }
}

#[test]
fn a_letter_with_a_page_has_one_link_and_no_other_has() {
    for purpose in MailPurpose::ALL {
        let text = body(*purpose, &circumstances("somebody"));
        let links = text.lines().filter(|line| *line == LINK).count();
        assert_eq!(links, usize::from(page(*purpose).is_some()), "{purpose}");
        assert!(
            text.is_ascii() && text.lines().all(|line| line.len() <= 90),
            "{text}"
        );
        for part in [
            "somebody",
            "192.0.2.7",
            "1970-01-01 00:00 UTC",
            "https://clm.example",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!subject(*purpose).is_empty());
    }
}

#[test]
fn names_bring_neither_lines_nor_links() {
    let name = "x\r\nBcc: other@example.net\n{link}\u{202e}\u{2028}{link}";
    let text = body(MailPurpose::PasswordReset, &circumstances(name));
    let sent = with_link(&text, "LINK");
    assert_eq!(sent.matches("LINK").count(), 1, "{sent}");
    assert!(!sent.lines().any(|line| line.starts_with("Bcc")), "{sent}");
    assert!(
        !sent.contains('\u{202e}') && !sent.contains('\u{2028}'),
        "{sent}"
    );
    let long = "n".repeat(300);
    assert_eq!(shown(&long).chars().count(), 81);
}
