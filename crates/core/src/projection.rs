//! Applying what the Secure Service did to the inventory: the same step whether the reply arrives,
//! the relay delivers the event, or both.

use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_secure_api::event::{Event, EventBody};
use serde_json::json;

use crate::Core;
use crate::context::RequestInfo;
use crate::error::{CoreError, Result};
use crate::store::certificate_metadata::{Applied, Projection};

/// Applies an event. Only a higher revision than the present one is applied, together with its
/// audit event; anything else changes nothing, so that any order and any number of deliveries
/// leads to the same state.
///
/// `origin` tells from where the request came, when it is at hand.
///
/// # Errors
/// Those of the database; the event then stays in the outbox and is delivered again.
pub(crate) async fn apply(
    core: &Core,
    event: &Event,
    origin: Option<&RequestInfo>,
) -> Result<Applied> {
    let EventBody::CertificateIssued(record) = &event.body;
    if record.organization_id != event.organization_id {
        return Err(CoreError::internal(
            &"an event of one organization tells of a certificate of another one",
        ));
    }
    let cause = Cause {
        actor: &event.actor,
        organization_id: event.organization_id,
        request_id: event.request_id,
    };
    let now = core.clock.now();
    let mut row = AuditRow::success(
        CoreEvent::CertificateIssued,
        &cause,
        Some(record.certificate_id.as_uuid()),
        now,
        core.rng.as_ref(),
    )
    .with_details(json!({
        "serial_number": record.serial_number,
        "certificate_request_id": record.certificate_request_id,
        "certificate_authority_id": record.issuer_id,
        "event_id": event.event_id,
    }));
    if let Some(origin) = origin {
        row.ip_address.clone_from(&origin.ip_address);
        row.user_agent.clone_from(&origin.user_agent);
    }
    let projection = Projection {
        record: record.as_ref().clone(),
        occurred_at: event.occurred_at,
        audit: row,
    };
    let (_, applied) = core
        .projections
        .submit(event.organization_id, Box::new(projection))
        .await?;
    Ok(applied)
}
