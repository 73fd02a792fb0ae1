//! Keeps what this process remembers of identities in step with the databases.
//!
//! Triggers note each change of rights in `rights_changes`. [`look`] asks for what came since the last
//! time, one small statement, and forgets whom it concerns. As long as looks follow each other closely,
//! identities are remembered for long and busy credentials cost no query; when they fail or come late, the
//! cache trusts nothing that is older than a second (see [`crate::authentication::AuthenticationCache`]).
//! A notification ([`CHANNEL`]) only makes the next look come sooner: nothing depends on it.

use clm_database::pool::Listener;
use tokio::time::Instant;

use crate::Core;
use crate::error::Result;
use crate::store::rights_changes;

/// The channel on which the triggers say that there is something to look at.
const CHANNEL: &str = "rights_changes";

/// Listens for what makes the next look come sooner.
///
/// # Errors
/// Those of the database.
pub async fn listen(core: &Core) -> Result<Listener> {
    Ok(core.pool.listen(CHANNEL).await?)
}

/// Forgets whose rights changed since the last look.
///
/// # Errors
/// Those of the database; then everything is forgotten with the next look that succeeds.
pub async fn look(core: &Core) -> Result<()> {
    let cache = &core.authentication_cache;
    let since = cache.horizon();
    let begun = Instant::now();
    let found = match rights_changes::find(core.pool.unscoped(), since).await {
        Ok(found) => found,
        Err(error) => {
            cache.lose_track();
            return Err(core.pool.statement_error(error).into());
        }
    };
    if found.concerns_all || since.is_none() {
        cache.evict_all();
    }
    for user_id in &found.user_ids {
        cache.evict(*user_id);
    }
    cache.keep_track(found.horizon, begun);
    Ok(())
}
