//! Making users: within the quota of the home organization, and with a first password.

use std::sync::Arc;

use clm_database::transaction::Abort;
use clm_domain::audit::CoreEvent;
use clm_domain::clock::{Rng, random_bytes, uuid_v7, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::permission::{Action, Resource};
use clm_domain::secret::SecretString;
use clm_domain::states::{UserStatus, UserType};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{Failure, UserRecord, check_display_name, refused, visible_home};
use super::{authority, check_email, check_username, normalized, passwords};
use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::mail::orders::MailOrders;
use crate::store::users::{NewPerson, insert_person};
use crate::store::{accounts, audit_log};
use crate::{Core, audit, email_verifications};

/// Characters of a generated password: 100 bits.
const GENERATED_CHARACTERS: usize = 20;
/// Characters of a generated password between two hyphens.
const GENERATED_GROUP: usize = 5;
/// What generated passwords are made of: 32 characters that nobody takes for each other.
const GENERATED_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Asks for a user.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name to sign in with.
    pub username: String,
    /// Address for messages.
    pub email: Option<String>,
    /// Name shown to others.
    pub display_name: Option<String>,
    /// Who is behind it.
    pub user_type: UserType,
    /// The first password; one is generated for persons when absent.
    pub password: Option<SecretString>,
    /// The home organization; the caller's when absent.
    pub home_organization_id: Option<OrganizationId>,
}

/// A user who was just made.
#[derive(Clone, Debug)]
pub struct CreatedUser {
    /// The user.
    pub record: UserRecord,
    /// The password that was generated. Shown once.
    pub generated_password: Option<SecretString>,
}

/// Makes a user with the membership in the home organization, and no role. A person gets a password
/// that must be changed at the first sign-in; a service has none.
///
/// # Errors
/// `Invalid`, naming the field; `Conflict` with code `username_taken`; `PolicyViolation` with code
/// `user_quota_exceeded`; those of [`access::authorize`] and of the database.
pub async fn create(context: &OpContext, core: &Core, new: NewUser) -> Result<CreatedUser> {
    let target = Target::kind(context, Resource::User);
    access::authorize(context, core, Action::Create, target).await?;
    let home = match visible_home(context, core, new.home_organization_id).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(unknown_home()),
        home => home?,
    };
    check_username(&new.username)?;
    let email = new.email.as_deref().map(check_email).transpose()?;
    let display_name = new.display_name.as_deref().map(check_display_name);
    let display_name = display_name.transpose()?;
    let username = new.username.trim().to_owned();
    let owner = (username.as_str(), email.as_deref(), home);
    let (password, is_generated) = first_password(core, &new, owner).await?;
    let password_hash = match &password {
        Some(password) => Some(core.passwords.hash(password, core.rng.as_ref()).await?),
        None => None,
    };
    let now = whole_milliseconds(core.clock.now());
    let person = NewPerson {
        user_id: UserId::generate(now, core.rng.as_ref()),
        home_organization_id: home,
        username_normalized: normalized(&username),
        username,
        email_normalized: email.as_deref().map(normalized),
        email,
        display_name,
        user_type: new.user_type,
        must_change_password: password_hash.is_some(),
        password_hash,
        created_at: now,
    };
    let record = record_of(&person);
    insert(context, core, person).await?;
    Ok(CreatedUser {
        record,
        generated_password: password.filter(|_| is_generated),
    })
}

/// The first password, and whether it was generated.
async fn first_password(
    core: &Core,
    new: &NewUser,
    owner: (&str, Option<&str>, OrganizationId),
) -> Result<(Option<SecretString>, bool)> {
    match (new.user_type, &new.password) {
        (UserType::Service, None) => Ok((None, false)),
        (UserType::Service, Some(_)) => {
            let message = "A service has no password: it acts with API keys.";
            Err(Fault::invalid("password_of_service", "password", message).into())
        }
        (UserType::Person, None) => Ok((Some(generated_password(core.rng.as_ref())), true)),
        (UserType::Person, Some(password)) => {
            passwords::check_new(core, password, owner, "password").await?;
            Ok((Some(password.clone()), false))
        }
    }
}

/// A password that can be read out and typed.
pub(super) fn generated_password(rng: &dyn Rng) -> SecretString {
    let random: [u8; GENERATED_CHARACTERS] = random_bytes(rng);
    let mut text = String::with_capacity(GENERATED_CHARACTERS * 2);
    for (index, byte) in random.into_iter().enumerate() {
        if index > 0 && index % GENERATED_GROUP == 0 {
            text.push('-');
        }
        // 32 divides 256: each character is equally likely.
        let digit = usize::from(byte) % GENERATED_ALPHABET.len();
        text.extend(GENERATED_ALPHABET.get(digit).copied().map(char::from));
    }
    SecretString::new(text)
}

fn record_of(person: &NewPerson) -> UserRecord {
    UserRecord {
        user_id: person.user_id,
        home_organization_id: person.home_organization_id,
        username: person.username.clone(),
        email: person.email.clone(),
        email_verified_at: None,
        display_name: person.display_name.clone(),
        user_type: person.user_type,
        status: UserStatus::Active,
        must_change_password: person.must_change_password,
        locked_until: None,
        password_changed_at: person.password_hash.is_some().then_some(person.created_at),
        last_sign_in_at: None,
        revision: 1,
        created_at: person.created_at,
        deleted_at: None,
    }
}

async fn insert(context: &OpContext, core: &Core, person: NewPerson) -> Result<()> {
    let home = person.home_organization_id;
    let details = json!({ "username": person.username, "user_type": person.user_type });
    let event = |user_id: Option<Uuid>| {
        let row = authority::event(context, core, CoreEvent::UserCreated, (home, user_id));
        authority::with_more(row, details.clone())
    };
    let membership_id = uuid_v7(person.created_at, core.rng.as_ref());
    let row = event(Some(person.user_id.as_uuid()));
    let orders = MailOrders::of(context, core, person.created_at);
    let creation = Arc::new((person, membership_id, row, orders));
    let inserted = core
        .pool
        .transact::<_, Failure, _>("users::create", authority::scope(), |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move {
                let (person, membership_id, row, orders) = creation.as_ref();
                take_place(connection, person.home_organization_id).await?;
                insert_person(connection, person, *membership_id).await?;
                let (orders, user) = (orders.as_ref(), record_of(person));
                email_verifications::order_after_change(connection, orders, &user).await?;
                Ok(audit_log::insert(connection, row).await?)
            })
        })
        .await
        .map_err(CoreError::from);
    audit::refusal(context, core, &event(None), inserted).await
}

/// Takes a place of the quota of a home organization. Whoever takes one waits for whoever does at the
/// same time, so that the quota holds exactly.
pub(super) async fn take_place(
    connection: &mut PgConnection,
    home: OrganizationId,
) -> std::result::Result<(), Abort<Failure>> {
    let quota = accounts::lock_quota(connection, home).await?;
    let Some(users_max) = quota.ok_or_else(|| refused(unknown_home()))? else {
        return Ok(());
    };
    if accounts::count_up_to(connection, home, users_max).await? < i64::from(users_max) {
        return Ok(());
    }
    let message = format!(
        "The organization may have {users_max} users and has them. Delete one, or have the quota \
         raised."
    );
    let fault = Fault::new(ErrorKind::PolicyViolation, "user_quota_exceeded", message);
    Err(refused(fault.into()))
}

fn unknown_home() -> CoreError {
    access::unknown_reference("home_organization_id", "organization")
}

#[cfg(test)]
mod tests;
