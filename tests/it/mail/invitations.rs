//! Invitations: the token goes to the address, and nowhere else.

use serde_json::{Value, json};

use super::World;

const INVITATIONS: &str = "/api/v1/invitations";
const ACCEPT: &str = "/api/v1/invitations/accept";

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_comes_by_mail_and_is_accepted() {
    let world = World::start().await;
    let invite = |email: &str| {
        let body = json!({ "email": email });
        world.call(&world.administrator, "POST", INVITATIONS, body)
    };
    let made = invite("guest@elsewhere.example").await.expect(201);
    assert_eq!(made.body["delivery"], "email");
    assert_eq!(made.body.get("token"), None, "{made:?}");
    let mail = world.smtp.wait_for("guest@elsewhere.example", 1).await;
    assert_eq!(mail.header("Subject"), "You are invited to an organization");
    assert!(mail.body().contains("Default"), "{}", mail.body());
    let token = mail.token("accept-invitation");

    let foreign = world.superuser.insert_organization("elsewhere").await;
    let nothing = clm_domain::permission::Permissions::none();
    world
        .superuser
        .insert_person(foreign, "guest", &nothing)
        .await;
    let password = world.program.bootstrap_text("password");
    let session = world
        .rest
        .sign_in("guest", &password, "elsewhere")
        .await
        .credential();
    let accept = || world.call(&session, "POST", ACCEPT, json!({ "token": token }));
    let joined = accept().await.expect(200);
    assert_eq!(joined.body["organization_slug"], "default");
    accept().await.expect(404);

    // One that was taken back before it left does not leave.
    world.smtp.set_mode("later");
    let made = invite("late@elsewhere.example").await.expect(201);
    let path = format!("{INVITATIONS}/{}", made.id("/invitation/id"));
    let begun = std::time::Instant::now();
    while world.smtp.attempts() < 2 {
        assert!(begun.elapsed().as_secs() < 45, "it is tried");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let revoked = world
        .call(&world.administrator, "DELETE", &path, Value::Null)
        .await;
    revoked.expect(204);
    world.smtp.set_mode("accept");
    let over = world.settled("late@elsewhere.example").await;
    assert_eq!(over[0].0, "cancelled", "{over:?}");
    assert!(world.smtp.taken_for("late@elsewhere.example").is_empty());

    let said = world
        .program
        .cli(&["invitation", "create", "cli@elsewhere.example"]);
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("a mail to cli@elsewhere.example brings the token"),
        "{said}"
    );
    drop(world.program);
}
