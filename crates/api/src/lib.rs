//! REST v1 and its OpenAPI document: one file per resource, thin handlers that extract, call one
//! use case of the core, and map the reply.
//!
//! Knows no SQL and never sees a store. Start with [`router`]; errors are mapped in [`problem`].

mod access;
mod api_keys;
mod certificate_authorities;
mod certificate_requests;
mod certificates;
mod convert;
mod document;
mod encryption_keys;
mod headers;
mod health;
mod invitations;
mod key_rotations;
mod master_key;
mod members;
mod operations;
pub mod operator;
mod organizations;
pub mod peer;
pub mod problem;
pub mod rate_limits;
mod request;
mod role_assignments;
mod roles;
mod second_factor;
mod sessions;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clm_api_types::BASE_PATH;
use clm_core::Core;
use clm_domain::clock::{Clock, Rng};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::headers::Credentials;

/// What handlers share.
#[derive(Clone)]
pub struct ApiState {
    /// The use cases.
    pub core: Arc<Core>,
    /// The time, for request ids.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for request ids.
    pub rng: Arc<dyn Rng>,
    /// How much callers may ask for.
    pub rate_limits: Arc<rate_limits::RateLimits>,
    /// Renders the metrics of the process in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The title and the credentials of the document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Certificate Lifecycle Management",
        description = "REST v1. Errors are RFC 9457 problem documents with a stable `code`. Lists \
            are paged by `limit` and `cursor`. Every POST takes an `Idempotency-Key`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Credentials)
)]
struct Document;

/// Every operation of REST v1.
fn documented() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(of_access())
        .merge(of_certificates())
        .merge(of_keys())
}

/// Who may do what.
fn of_access() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(sessions::create, sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::end_current))
        .routes(routes!(users::who_am_i))
        .routes(routes!(users::change_own_password))
        .routes(routes!(users::create, users::list))
        .routes(routes!(users::load, users::update, users::delete))
        .routes(routes!(users::set_status))
        .routes(routes!(users::set_password))
        .routes(routes!(users::unlock))
        .routes(routes!(users::restore))
        .routes(routes!(second_factor::find, second_factor::enrol))
        .routes(routes!(second_factor::renew_backup_codes))
        .routes(routes!(sessions::pass_second_factor))
        .routes(routes!(second_factor::activate))
        .routes(routes!(second_factor::remove))
        .routes(routes!(second_factor::step_up))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(api_keys::rotate))
        .routes(routes!(roles::create, roles::list))
        .routes(routes!(roles::load, roles::update, roles::delete))
        .routes(routes!(roles::restore))
        .routes(routes!(role_assignments::create, role_assignments::list))
        .routes(routes!(
            role_assignments::load,
            role_assignments::update,
            role_assignments::withdraw
        ))
        .routes(routes!(access::explain))
        .routes(routes!(organizations::create, organizations::list))
        .routes(routes!(organizations::load, organizations::update))
        .routes(routes!(organizations::set_status))
        .routes(routes!(organizations::switch))
        .routes(routes!(organizations::set_primary))
        .routes(routes!(members::add, members::list))
        .routes(routes!(members::load, members::remove))
        .routes(routes!(members::set_status))
        .routes(routes!(members::leave))
        .routes(routes!(invitations::create, invitations::list))
        .routes(routes!(invitations::revoke))
        .routes(routes!(invitations::accept))
}

/// Certificates, and who signs them.
fn of_certificates() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(
            certificate_authorities::create,
            certificate_authorities::list
        ))
        .routes(routes!(certificate_authorities::load))
        .routes(routes!(certificate_authorities::change_limits))
        .routes(routes!(
            certificate_requests::create,
            certificate_requests::list
        ))
        .routes(routes!(certificate_requests::load))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::load))
        .routes(routes!(certificates::export_private_key))
}

/// The keys that seal what is stored.
fn of_keys() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(encryption_keys::list))
        .routes(routes!(encryption_keys::load))
        .routes(routes!(encryption_keys::set_schedule))
        .routes(routes!(encryption_keys::erase))
        .routes(routes!(key_rotations::start, key_rotations::list))
        .routes(routes!(key_rotations::load))
        .routes(routes!(key_rotations::cancel))
        .routes(routes!(key_rotations::list_exposed))
        .routes(routes!(key_rotations::list_exposed_secrets))
        .routes(routes!(master_key::load))
        .routes(routes!(master_key::make_shares))
        .routes(routes!(master_key::rotate))
        .routes(routes!(master_key::confirm_backup))
        .routes(routes!(master_key::seal_status))
        .routes(routes!(master_key::unseal, master_key::reset_unseal))
        .routes(routes!(master_key::seal))
}

/// The OpenAPI document of REST v1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    document::finished(documented().into_openapi())
}

/// The routes of the program: REST v1, its document, and health. Everything else is a problem
/// document.
pub fn router(state: ApiState) -> Router {
    let (documented, document) = documented().split_for_parts();
    let document = document::finished(document).to_json().unwrap_or_default();
    let document_route = axum::routing::get(move || async move {
        (
            [(axum::http::header::CONTENT_TYPE, "application/json")],
            document,
        )
    });
    let routes = documented
        .merge(health::routes())
        .route(&format!("{BASE_PATH}/openapi.json"), document_route)
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(state.clone());
    headers::with_layers(routes, state)
}

async fn unknown_path() -> Response {
    problem::of_status(
        StatusCode::NOT_FOUND,
        "unknown_path",
        "There is nothing at this path. GET /api/v1/openapi.json lists every operation.",
    )
    .into_response()
}

async fn unknown_method() -> Response {
    problem::of_status(
        StatusCode::METHOD_NOT_ALLOWED,
        "unknown_method",
        "This path does not know the method. GET /api/v1/openapi.json lists every operation.",
    )
    .into_response()
}
