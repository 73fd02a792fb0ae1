//! Tests of `document`.

use utoipa::openapi::RefOr;

use super::*;

#[test]
fn every_refusal_is_a_problem_document() {
    let document = crate::openapi();
    let mut seen = 0;
    for item in document.paths.paths.values() {
        let operations = [&item.get, &item.put, &item.post, &item.delete, &item.patch];
        for operation in operations.into_iter().flatten() {
            let id = operation.operation_id.clone().unwrap_or_default();
            for (status, response) in &operation.responses.responses {
                let RefOr::T(response) = response else {
                    continue;
                };
                let types: Vec<&str> = response.content.keys().map(String::as_str).collect();
                let is_refusal = status.starts_with('4') || status.starts_with('5');
                assert_eq!(
                    types.contains(&PROBLEM_MEDIA_TYPE),
                    is_refusal,
                    "{id} {status}: {types:?}"
                );
            }
            assert!(operation.responses.responses.contains_key("4XX"), "{id}");
            assert!(operation.responses.responses.contains_key("5XX"), "{id}");
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen} operations");
}
