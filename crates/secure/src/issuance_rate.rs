//! The issuance rate of each issuer, as [`Rates`] count it.

use chrono::{DateTime, Utc};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::IssuerId;

use crate::rate::Rates;

/// When each issuer issued within the last minute.
#[derive(Default)]
pub(crate) struct IssuanceRates {
    rates: Rates<IssuerId>,
}

impl IssuanceRates {
    /// Takes one of the issuances that `limit` allows per minute. An attempt that fails later has
    /// used it up.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] with the number of seconds to wait.
    pub(crate) fn take(
        &self,
        issuer_id: IssuerId,
        limit: Option<u32>,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let Some(limit) = limit else { return Ok(()) };
        let Err(wait) = self.rates.take(issuer_id, limit, now) else {
            return Ok(());
        };
        let mut fault = Fault::new(
            ErrorKind::RateLimited,
            "issuer_rate_exceeded",
            format!(
                "This issuer signs at most {limit} certificates in a minute. Try again in {wait} \
                 seconds."
            ),
        );
        fault.retry_after_seconds = u32::try_from(wait).ok();
        Err(fault)
    }
}

#[cfg(test)]
mod tests;
