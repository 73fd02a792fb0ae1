//! Tests of `email`.

use std::time::{Duration, SystemTime};

use clm_domain::secret::SecretString;

use super::{Email, Mailer, SendError, SmtpServer};

fn mailer(from: &str) -> Mailer {
    let url = SecretString::new("smtp://127.0.0.1:1?tls=none".to_owned());
    let server = SmtpServer::parse(&url).expect("it is right");
    Mailer::new(&server, from).expect("it is right")
}

fn formatted(mailer: &Mailer, to: &str, body: &str) -> Result<String, SendError> {
    let email = Email {
        id: "01",
        to,
        subject: "Für Sie",
        body: &SecretString::new(body.to_owned()),
        date: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    };
    let message = mailer.message(&email)?;
    Ok(String::from_utf8(message.formatted()).expect("mail is text"))
}

#[test]
fn a_message_says_what_it_is() {
    let mailer = mailer("Zertifikate <clm@example.org>");
    let text = formatted(&mailer, "somebody@example.net", "Grüße").expect("it is right");
    for line in [
        "From: Zertifikate <clm@example.org>\r\n",
        "To: somebody@example.net\r\n",
        "Message-ID: <01@example.org>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn an_address_cannot_bring_headers_or_recipients() {
    let mailer = mailer("clm@example.org");
    for to in [
        "a@example.net\r\nBcc: b@example.net",
        "a@example.net, b@example.net",
        "a@example.net>\r\nRCPT TO:<b@example.net",
        "no address",
    ] {
        let refused = formatted(&mailer, to, "text");
        assert!(
            matches!(refused, Err(SendError::Permanent(_))),
            "{to}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn nobody_at_home_is_for_now() {
    let email = Email {
        id: "01",
        to: "somebody@example.net",
        subject: "s",
        body: &SecretString::new("b".to_owned()),
        date: SystemTime::UNIX_EPOCH,
    };
    let sent = mailer("clm@example.org").send(&email).await;
    assert!(matches!(sent, Err(SendError::Temporary(_))), "{sent:?}");
    assert!(mailer("clm@example.org").check().await.is_err());
}
