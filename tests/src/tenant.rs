//! An organization with one of everything. Whatever REST can make at once is made by REST.

use std::collections::BTreeMap;

use clm_domain::permission::Permissions;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Program;
use crate::databases::{Person, Superuser};
use crate::rest::{Call, Credential, Rest, SignedIn, bearer, operator_of};

/// A kind of object that an operation may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A session, beside [`Tenant::session`].
    Session,
    /// A user who holds no role.
    User,
    /// A role that the administrator holds, which allows nothing.
    Role,
    /// A role that nobody holds.
    UnusedRole,
    /// A role that was deleted.
    DeletedRole,
    /// The administrator's assignment of [`Object::Role`].
    RoleAssignment,
    /// The organization itself.
    Organization,
    /// A member whose home is another organization.
    Guest,
    /// The role of the administrator.
    AdministratorRole,
    /// An invitation that nobody accepted.
    Invitation,
    /// An API key, beside the administrator's own.
    ApiKey,
    /// An authority that issues to end entities.
    CertificateAuthority,
    /// A fulfilled request.
    CertificateRequest,
    /// Its certificate, whose key the platform made.
    Certificate,
    /// The key that sealed that one.
    EncryptionKey,
    /// A rotation that has ended.
    KeyRotation,
}

/// An organization with one of everything.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The organization.
    pub organization_id: Uuid,
    /// Its slug.
    pub slug: String,
    /// Somebody who may do everything in it.
    pub administrator: Person,
    /// The administrator's password.
    pub password: String,
    /// A session of the administrator.
    pub session: SignedIn,
    objects: BTreeMap<Object, Uuid>,
}

impl Tenant {
    /// Fills an organization: a new one, unless it exists already.
    ///
    /// # Panics
    /// When something cannot be made.
    pub async fn fill(program: &Program, slug: &str) -> Self {
        let (rest, superuser) = (Rest::of(program), Superuser::of(program));
        let organization_id = match slug {
            "default" => superuser.organization(slug).await,
            _ => superuser.insert_organization(slug).await,
        };
        let password = program.bootstrap_text("password");
        let username = format!("{slug}-administrator");
        let rights = Permissions::all();
        let administrator = superuser
            .insert_person(organization_id, &username, &rights)
            .await;
        let key = bearer(&administrator.secret);
        let mut objects = issue(program, &key, slug).await;
        let keys = Call::new("GET", "/api/v1/encryption-keys").by(&key);
        let encryption_key = rest.send(keys).await.expect(200).id("/items/0/id");
        objects.insert(Object::EncryptionKey, encryption_key);
        let rotation = superuser.insert_key_rotation(organization_id).await;
        objects.insert(Object::KeyRotation, rotation);
        let session = rest.sign_in(&username, &password, slug).await;
        let further = rest.sign_in(&username, &password, slug).await;
        objects.insert(Object::Session, further.session_id);
        let made = create(
            &rest,
            &key,
            "/api/v1/api-keys",
            json!({ "name": "further" }),
        )
        .await;
        objects.insert(Object::ApiKey, id(&made, "/api_key/id"));
        let nothing = Permissions::none();
        let nobody = superuser.insert_person(organization_id, "roleless", &nothing);
        objects.insert(Object::User, nobody.await.user_id);
        objects.extend(write_roles(&rest, &key, administrator.user_id).await);
        objects.insert(Object::Organization, organization_id);
        let guest = superuser.insert_neighbour(organization_id, slug).await;
        objects.insert(Object::Guest, guest.user_id);
        let role = superuser.role_of(administrator.user_id).await;
        objects.insert(Object::AdministratorRole, role);
        let invitation = json!({ "email": format!("invited@{slug}.example") });
        let made = create(&rest, &key, "/api/v1/invitations", invitation).await;
        objects.insert(Object::Invitation, id(&made, "/invitation/id"));
        let slug = slug.to_owned();
        Self {
            organization_id,
            slug,
            administrator,
            password,
            session,
            objects,
        }
    }

    /// The administrator's API key.
    pub fn key(&self) -> Credential {
        bearer(&self.administrator.secret)
    }

    /// The object of a kind.
    ///
    /// # Panics
    /// Never: there is one of each.
    pub fn object(&self, object: Object) -> Uuid {
        *self.objects.get(&object).expect("there is one of each")
    }

    /// Every id that belongs to this organization alone.
    pub fn ids(&self) -> Vec<Uuid> {
        let own = [
            self.organization_id,
            self.administrator.user_id,
            self.administrator.api_key_id,
            self.session.session_id,
        ];
        own.into_iter()
            .chain(self.objects.values().copied())
            .collect()
    }
}

/// Roles that allow nothing: one that the administrator holds, one that nobody does, one deleted.
async fn write_roles(rest: &Rest, key: &Credential, administrator: Uuid) -> BTreeMap<Object, Uuid> {
    let held = write_role(rest, key, "HELD").await;
    let unused = write_role(rest, key, "UNUSED").await;
    let deleted = write_role(rest, key, "DELETED").await;
    let delete = Call::new("DELETE", &format!("/api/v1/roles/{deleted}")).by(key);
    rest.send(delete.header("if-match", "\"1\""))
        .await
        .expect(204);
    let assignment = json!({ "user_id": administrator, "role_id": held });
    let assignment = create(rest, key, "/api/v1/role-assignments", assignment).await;
    BTreeMap::from([
        (Object::Role, held),
        (Object::UnusedRole, unused),
        (Object::DeletedRole, deleted),
        (Object::RoleAssignment, id(&assignment, "/id")),
    ])
}

async fn write_role(rest: &Rest, key: &Credential, code: &str) -> Uuid {
    let role = json!({ "role_code": code, "role_name": code, "permissions": {} });
    id(&create(rest, key, "/api/v1/roles", role).await, "/id")
}

/// A root, an authority below it, and a certificate of that with its request. API keys make no
/// authorities.
async fn issue(program: &Program, key: &Credential, slug: &str) -> BTreeMap<Object, Uuid> {
    let (rest, machine) = (&Rest::of(program), Rest::of_operator(program));
    let operator = operator_of(slug);
    let authorities = "/api/v1/certificate-authorities";
    let root = json!({
        "name": "Own Root", "subject": format!("CN={slug} Root"),
        "key_algorithm": "ecdsa-p256", "validity_days": 3650,
    });
    let root = id(&create(&machine, &operator, authorities, root).await, "/id");
    let issuing = json!({
        "name": "Own Issuing", "subject": format!("CN={slug} Issuing"), "parent_id": root,
        "key_algorithm": "ecdsa-p256", "validity_days": 1825, "path_length_max": 0,
    });
    let issuing = id(
        &create(&machine, &operator, authorities, issuing).await,
        "/id",
    );
    let request = json!({
        "key_algorithm": "ecdsa-p256", "certificate_authority_id": issuing,
        "subject_alternative_names": [format!("DNS:{slug}.example")],
    });
    let issued = create(rest, key, "/api/v1/certificate-requests", request).await;
    BTreeMap::from([
        (Object::CertificateAuthority, issuing),
        (Object::CertificateRequest, id(&issued, "/id")),
        (Object::Certificate, id(&issued, "/certificate/id")),
    ])
}

async fn create(rest: &Rest, key: &Credential, path: &str, body: Value) -> Value {
    rest.send(Call::new("POST", path).by(key).body(body))
        .await
        .expect(201)
        .body
}

fn id(body: &Value, pointer: &str) -> Uuid {
    let text = body
        .pointer(pointer)
        .and_then(Value::as_str)
        .expect("the answer has the id");
    text.parse().expect("an id is a UUID")
}
