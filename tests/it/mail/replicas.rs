//! Two programs over one queue.

use std::collections::BTreeSet;

use clm_tests::replicas::Replicas;
use clm_tests::rest::{Call, bearer};
use serde_json::json;

use super::smtp::Smtp;

/// So many mails.
const COUNT: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_deliver_each_mail_once() {
    let smtp = Smtp::start_plain();
    let mut replicas = Replicas::start_with(2, &smtp.settings()).await;
    let administrator = bearer(&replicas.api_key);
    for number in 0..COUNT {
        let body = json!({ "email": format!("guest-{number}@elsewhere.example") });
        let call = Call::new("POST", "/api/v1/invitations")
            .by(&administrator)
            .body(body);
        replicas.rest(number % 2).send(call).await.expect(201);
    }
    for number in 0..COUNT {
        smtp.wait_for(&format!("guest-{number}@elsewhere.example"), 1)
            .await;
    }
    let (count, attempts): (i64, i64) = loop {
        let found: (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE status = 'sent'), sum(attempts), count(*)
             FROM notifications",
        )
        .fetch_one(&replicas.databases().core)
        .await
        .unwrap();
        if found.0 == found.2 {
            break (found.0, found.1);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((count, attempts), (COUNT as i64, COUNT as i64));
    let ids: BTreeSet<String> = smtp
        .taken()
        .iter()
        .map(|mail| mail.header("Message-ID"))
        .collect();
    assert_eq!((smtp.taken().len(), ids.len()), (COUNT, COUNT));
    replicas.stop(0);
    replicas.stop(1);
}
