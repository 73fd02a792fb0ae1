//! Verifiers against a known one, and against a real server.

use clm_domain::secret::SecretString;
use sqlx::{ConnectOptions, Connection};

use super::*;
use crate::migrate::tests::server::{Server, rng};

#[test]
fn the_verifier_is_the_one_that_postgresql_makes() {
    // RFC 7677 §3: user "user", password "pencil"; the verifier is what PostgreSQL stores for it.
    let salt = *b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
    let verifier = scram::verifier(&SecretString::new("pencil".to_owned()), salt).unwrap();
    assert_eq!(
        verifier.as_str(),
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
}

#[test]
fn only_passwords_that_all_sides_prepare_alike_are_taken() {
    for password in ["", "pässword", "tab\t", &"x".repeat(1001)] {
        let outcome = scram::verifier(&SecretString::new(password.to_owned()), [0; 16]);
        assert!(matches!(outcome, Err(RolesError::UnsuitablePassword)));
    }
    assert!(scram::verifier(&SecretString::new("with space ~!".to_owned()), [0; 16]).is_ok());
}

#[test]
fn generated_passwords_are_long_and_plain() {
    let rng = rng();
    let (one, other) = (generate_password(&rng), generate_password(&rng));
    assert_ne!(one.expose(), other.expose());
    assert_eq!(one.expose().len(), 43);
    assert!(
        one.expose()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_passwords_on_a_server() {
    let server = Server::start().await;
    let admin = server.maintenance();
    let name = "odd \"name\"";
    assert!(
        create_named_database_if_missing(&admin, name)
            .await
            .unwrap()
    );
    assert!(
        !create_named_database_if_missing(&admin, name)
            .await
            .unwrap()
    );
    let (one, other) = tokio::join!(
        create_database_if_missing(&admin, Database::Core),
        create_database_if_missing(&admin, Database::Core)
    );
    assert!(one.unwrap() || other.unwrap());
    let mut connection = admin.clone().database(name).connect().await.unwrap();
    let (encoding, collation): (String, String) = sqlx::query_as(
        "SELECT pg_encoding_to_char(encoding)::text, datcollate::text FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((encoding.as_str(), collation.as_str()), ("UTF8", "C.UTF-8"));

    sqlx::raw_sql("CREATE ROLE \"an\"\"na\" LOGIN")
        .execute(&mut connection)
        .await
        .unwrap();
    let anna = admin.clone().username("an\"na");
    let rng = rng();
    for password in ["correct horse", "another'one"] {
        let password = SecretString::new(password.to_owned());
        set_password(&admin, "an\"na", &password, &rng)
            .await
            .unwrap();
        anna.clone()
            .password(password.expose())
            .connect()
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
        anna.clone().password("wrong").connect().await.unwrap_err();
    }
    connection.close().await.unwrap();
    server.stop().await;
}
