//! What the OpenAPI document says about every operation alike: refusals and failures are problem documents
//! (RFC 9457) with a media type of their own.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};

/// The media type of a problem document (RFC 9457 §3).
const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";
/// Where the document describes one.
const PROBLEM_SCHEMA: &str = "#/components/schemas/Problem";

/// The document, complete.
pub(crate) fn finished(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        operations.into_iter().flatten().for_each(finish);
    }
    document
}

fn finish(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    responses
        .entry("5XX".to_owned())
        .or_insert_with(|| RefOr::T(Response::new("The platform could not do it now.")));
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if status.starts_with(['4', '5']) {
            let problem = Content::new(Some(Ref::new(PROBLEM_SCHEMA)));
            response.content.clear();
            response
                .content
                .insert(PROBLEM_MEDIA_TYPE.to_owned(), RefOr::T(problem));
        }
    }
}

#[cfg(test)]
mod tests;
