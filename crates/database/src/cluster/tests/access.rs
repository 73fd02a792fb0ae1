//! Who comes in, and what is refused.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_superuser_comes_in_without_a_password() {
    let place = Place::with_cluster().await;
    let cluster = Cluster::start(place.options()).await.unwrap();
    let admin = cluster.admin_connect_options("postgres");
    execute(&admin, "create role application login")
        .await
        .unwrap();
    execute(&admin, "create role no_password superuser login")
        .await
        .unwrap();
    let application = admin.clone().username("application");
    let refused = |options: PgConnectOptions| async move {
        let error = text(&options, "select 'in'").await.unwrap_err();
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        // 28P01 says a wrong password; without any to send the client gives up itself.
        assert!(code.is_none_or(|code| code == "28P01"), "{error}");
    };
    refused(application.clone()).await;
    refused(admin.clone().username("no_password").password("guess")).await;
    let statement = "alter role application password 'a-secret'";
    execute(&admin, statement).await.unwrap();
    execute(&admin, "alter role nobody_there password 'a-secret'")
        .await
        .unwrap_err();
    execute(&admin, "select 'a-secret'::int").await.unwrap_err();
    let stored = "select rolpassword from pg_authid where rolname = 'application'";
    assert!(
        text(&admin, stored)
            .await
            .unwrap()
            .starts_with("SCRAM-SHA-256$")
    );
    assert_eq!(
        text(&application.clone().password("a-secret"), "select 'in'")
            .await
            .unwrap(),
        "in"
    );
    refused(application.password("other")).await;
    let rules = "select string_agg(concat_ws(' ', type, database, user_name, auth_method, options, \
                 error), E'\\n' order by line_number) from pg_hba_file_rules";
    let rules = text(&admin, rules).await.unwrap();
    assert_eq!(
        rules,
        "local {all} {clm_admin} peer {map=clm}\nlocal {all} {all} scram-sha-256"
    );
    if cluster.server_version().major >= 15 {
        let wrong = "select count(*)::text from pg_ident_file_mappings where error is not null";
        assert_eq!(text(&admin, wrong).await.unwrap(), "0");
    }
    cluster.stop().await.unwrap();
    assert!(
        place.log().contains("nobody_there"),
        "errors are logged: {}",
        place.log()
    );
    assert!(
        !place.log().contains("alter role"),
        "statements are not: {}",
        place.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_places_are_refused_and_left_alone() {
    let place = Place::with_cluster().await;
    let refused = async |change: &dyn Fn(&mut ClusterOptions)| {
        let mut options = place.options();
        change(&mut options);
        Cluster::start(options).await.unwrap_err()
    };
    let file = place.root.join("file");
    fs::write(&file, "content").unwrap();
    let error = refused(&|options| options.data_directory.clone_from(&file)).await;
    assert!(
        matches!(error, ClusterError::NotADirectory { .. }),
        "{error}"
    );

    let full = place.root.join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("document"), "content").unwrap();
    let error = refused(&|options| options.data_directory.clone_from(&full)).await;
    let expected = matches!(error, ClusterError::NotACluster { .. });
    assert!(
        expected || matches!(error, ClusterError::ForeignOwner { .. }),
        "{error}"
    );

    fs::set_permissions(&full, fs::Permissions::from_mode(0o755)).unwrap();
    let error = refused(&|options| options.socket_directory.clone_from(&full)).await;
    assert!(
        matches!(error, ClusterError::SocketDirectoryShared { .. }),
        "{error}"
    );
    assert_eq!(fs::metadata(&full).unwrap().mode() & 0o777, 0o755);

    let old = place.root.join("old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("PG_VERSION"), "9.6\n").unwrap();
    let error = refused(&|options| options.data_directory.clone_from(&old)).await;
    assert!(
        matches!(
            error,
            ClusterError::OtherMajorVersion {
                cluster_major: 9,
                ..
            }
        ),
        "{error}"
    );

    let nowhere = place.root.join("bin");
    let error = refused(&|options| options.pg_bin = Some(nowhere.clone())).await;
    assert!(
        matches!(error, ClusterError::BinariesMissing { .. }),
        "{error}"
    );

    let error = refused(&|options| options.max_connections = 1).await;
    assert!(matches!(error, ClusterError::Exited { .. }), "{error}");
    assert!(
        error.to_string().contains("superuser_reserved_connections"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_refused() {
    let Some(account) = account() else { return };
    let place = Place::new("");
    let options = place.options();
    fs::create_dir(&options.data_directory).unwrap();
    std::os::unix::fs::chown(&options.data_directory, Some(65_534), Some(65_534)).unwrap();
    let error = Cluster::start(options.clone()).await.unwrap_err();
    assert!(
        matches!(error, ClusterError::ForeignOwner { .. }),
        "{error}"
    );
    assert!(error.to_string().contains(&account.name), "{error}");

    let nobody = ClusterOptions {
        account: None,
        ..place.options()
    };
    let error = Cluster::start(nobody).await.unwrap_err();
    assert!(matches!(error, ClusterError::RootNeedsAccount), "{error}");
    let root = Account {
        name: "root".to_owned(),
        uid: 0,
        gid: 0,
    };
    let error = Cluster::start(ClusterOptions {
        account: Some(root),
        ..place.options()
    })
    .await;
    assert!(matches!(
        error.unwrap_err(),
        ClusterError::AccountIsRoot { .. }
    ));

    let closed = place.root.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let hidden = ClusterOptions {
        data_directory: closed.join("data"),
        ..options
    };
    let error = Cluster::start(hidden).await.unwrap_err();
    assert!(matches!(&error, ClusterError::NotPassable { blocking, .. } if *blocking == closed));
    assert_eq!(
        account.blocking_directory(&closed.join("data")),
        Some(closed)
    );
    assert_eq!(
        account.blocking_directory(&place.root.join("not there/yet")),
        None
    );
}

/// A restored backup: everything belongs to root, who gives it to the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_root_is_given_to_the_account() {
    if !is_root() {
        return;
    }
    let place = Place::with_cluster().await;
    Cluster::start(place.options())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let mut chown = Command::new("chown");
    assert!(
        chown
            .args(["-R", "root:root"])
            .arg(&place.root)
            .status()
            .unwrap()
            .success()
    );
    let data = place.root.join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", data.join("a-link")).unwrap();
    Cluster::start(place.options())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn accounts_are_found_and_system_names_checked() {
    assert_eq!(Account::find("root").unwrap().map(|root| root.uid), Some(0));
    assert_eq!(Account::find("no-such-account").unwrap(), None);
    assert_eq!(Account::find("0").unwrap(), None, "a number is no name");
    for name in [
        "",
        "-option",
        "1st",
        "Upper",
        "with space",
        "a:b",
        &"x".repeat(32),
    ] {
        let error = Account::ensure_system_account(name).unwrap_err();
        assert!(
            matches!(error, ClusterError::AccountName { .. }),
            "{name:?}: {error}"
        );
    }
    let error = Account::ensure_system_account("root").unwrap_err();
    assert!(
        matches!(error, ClusterError::AccountIsRoot { .. }),
        "{error}"
    );
}
