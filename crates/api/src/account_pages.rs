//! `/account/…`: the pages that links in mails lead to. Static, and without anything from elsewhere; the
//! token stands in the fragment of the address, which browsers send to nobody, and the script takes it
//! out of there before it does anything else.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::ApiState;

/// Nothing but our own script and style, and calls of our own interface.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";

/// Path, media type and contents.
const FILES: [(&str, &str, &str); 5] = [
    (
        "/account/reset-password",
        HTML,
        include_str!("account_pages/reset-password.html"),
    ),
    (
        "/account/verify-email",
        HTML,
        include_str!("account_pages/verify-email.html"),
    ),
    (
        "/account/accept-invitation",
        HTML,
        include_str!("account_pages/accept-invitation.html"),
    ),
    (
        "/account/account.js",
        "text/javascript; charset=utf-8",
        include_str!("account_pages/account.js"),
    ),
    (
        "/account/account.css",
        "text/css; charset=utf-8",
        include_str!("account_pages/account.css"),
    ),
];

pub(crate) fn routes() -> Router<ApiState> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, media_type, text)| {
            router.route(path, get(move || async move { page(media_type, text) }))
        })
}

fn page(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
    ];
    (headers, text).into_response()
}
