//! Step-up: sensitive acts take a proof that a person has just given a code or the password for exactly
//! this act.

mod acts;
mod command_line;
mod proofs;
mod secrets;

use clm_api_types::STEP_UP_HEADER;
use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, SignedIn};
use serde_json::json;
use uuid::Uuid;

const ASSIGNMENTS: &str = "/api/v1/role-assignments";

/// An organization with a person who may do everything, and one who may do nothing.
struct World {
    program: Program,
    rest: Rest,
    superuser: Superuser,
    organization_id: Uuid,
    chief: Person,
    password: String,
    session: SignedIn,
    nobody: Uuid,
    /// A role that the chief holds all of.
    role_id: Uuid,
}

impl World {
    async fn start() -> Self {
        let program = Program::start();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let organization_id = superuser.organization("default").await;
        let rights = Permissions::all();
        let chief = superuser
            .insert_person(organization_id, "chief", &rights)
            .await;
        let nothing = Permissions::none();
        let nobody = superuser.insert_person(organization_id, "nobody", &nothing);
        let nobody = nobody.await.user_id;
        let password = program.bootstrap_text("password");
        let session = rest.sign_in("chief", &password, "default").await;
        let role_id = sqlx::query_scalar("SELECT id FROM roles WHERE role_code = 'AUDITOR'")
            .fetch_one(&superuser.core)
            .await
            .unwrap();
        Self {
            program,
            rest,
            superuser,
            organization_id,
            chief,
            password,
            session,
            nobody,
            role_id,
        }
    }

    fn by(&self) -> Credential {
        self.session.credential()
    }

    /// The chief makes the other person an auditor.
    fn grant(&self) -> Call {
        let body = json!({ "user_id": self.nobody, "role_id": self.role_id });
        Call::new("POST", ASSIGNMENTS).by(&self.by()).body(body)
    }

    /// A proof for the request, with the password.
    async fn proof(&self, call: &Call) -> String {
        let given = json!({ "password": self.password });
        text(
            &self.rest.ask_proof(call, &given).await.expect(201),
            "proof",
        )
    }

    async fn send_with(&self, call: &Call, proof: &str) -> Answer {
        let call = call.clone().header(STEP_UP_HEADER, proof);
        self.rest.send(call).await
    }

    /// How many roles somebody holds or will.
    async fn roles_of(&self, user_id: Uuid) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM user_roles WHERE user_id = $1")
            .bind(user_id)
            .fetch_one(&self.superuser.core)
            .await
            .unwrap()
    }

    /// Whether a proof was used.
    async fn is_used(&self, proof: &str) -> bool {
        sqlx::query_scalar(
            "SELECT used_at IS NOT NULL FROM step_up_proofs WHERE proof_sha256 = sha256($1)",
        )
        .bind(proof.as_bytes())
        .fetch_one(&self.superuser.core)
        .await
        .unwrap()
    }
}

fn text(answer: &Answer, field: &str) -> String {
    answer.body[field].as_str().unwrap().to_owned()
}

/// The answer refuses with this code, and nothing that matters here was changed.
fn refused(answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.code()), (403, code), "{answer:?}");
}
