//! Group commit: what many callers want to insert at the same time is written by one statement and
//! one commit.
//!
//! Nobody waits for a batch to fill. The first caller is written as soon as those have joined that are
//! running already; whoever comes while that commit is under way forms the next batch. So a single
//! client loses nothing, and many clients share the round trip, the planning and the flush that
//! dominate a small insert.
//!
//! A batch holds items of one organization, so that the scope of its statement stays that of one
//! tenant, and each organization has a queue of its own, so that none waits behind the masses of
//! another one. A batch that a constraint refuses, or that is too much for the server, is halved until
//! it works: nobody is refused for what another one sent. What is being written goes on when its
//! caller stops waiting, because half of a batch cannot be taken back; what is still in the queue
//! then leaves it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clm_domain::ids::OrganizationId;
use sqlx::PgConnection;
use tokio::sync::{Semaphore, oneshot};

use crate::error::{DatabaseError, is_retriable};
use crate::pool::Pool;
use crate::transaction::ATTEMPTS_MAX;

/// Most items of one statement. At this size the costs per statement are spread thin already.
const BATCH_ITEMS_MAX: usize = 128;
/// Most bytes of one statement, by the writer's own estimate; a larger item goes alone.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Organizations that are written at the same time. One has one writer only: each statement has a
/// price of its own (its constraints and its plan are made ready anew), so that few large batches
/// cost less than many small ones.
const WRITERS_MAX: usize = 8;
/// How often a writer lets others go first, as long as each time somebody joins. Callers often come in
/// waves, because one batch answers many: without this the first of a wave would be written alone.
const GATHERING_TURNS_MAX: u32 = 8;
/// Most items of an organization that wait. Beyond that the database is behind for long, and callers
/// are told so.
const WAITING_ITEMS_MAX: usize = 2_000;
/// Most bytes of an organization that wait, by the writer's own estimate.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One statement that inserts many items of one organization, sets its own scope, and commits by
/// itself.
pub trait BatchWriter: Send + Sync + 'static {
    /// What is inserted.
    type Item: Send + Sync + 'static;
    /// What tells items apart: a batch never holds two with the same key.
    type Key: Eq + Hash;
    /// What became of an item.
    type Outcome: Send + 'static;

    /// The name of the statement in errors and logs.
    const NAME: &'static str;

    /// The key of an item.
    fn key(item: &Self::Item) -> Self::Key;

    /// About how many bytes an item is on its way to the server, where it may be large.
    fn bytes(item: &Self::Item) -> usize;

    /// Writes all items or none. Returns one outcome for each, in their order. The statement may be
    /// repeated, so it must not act on anything but the database.
    fn write(
        &self,
        connection: &mut PgConnection,
        organization_id: OrganizationId,
        items: &[&Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, sqlx::Error>> + Send;
}

/// One value of each item: a parameter for `unnest`.
pub fn column<'a, I, T>(items: &[&'a I], value: impl Fn(&'a I) -> T) -> Vec<T> {
    items.iter().map(|item| value(item)).collect()
}

/// The text form of a `text[]`. `unnest` takes arrays of arrays apart completely, so an array of
/// each item travels as text and is cast in the statement.
pub fn array_literal(texts: &[String]) -> String {
    let mut literal = String::from("{");
    for (index, text) in texts.iter().enumerate() {
        literal.push_str(if index == 0 { "\"" } else { ",\"" });
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// Callers of one [`BatchWriter`], written in batches. Cheap to clone.
pub struct GroupCommit<W: BatchWriter> {
    shared: Arc<Shared<W>>,
}

struct Shared<W: BatchWriter> {
    pool: Pool,
    writer: W,
    /// Those who wait. An organization is in it as long as it has a task that writes.
    queues: Mutex<HashMap<OrganizationId, Queue<W>>>,
    turns: Semaphore,
}

struct Queue<W: BatchWriter> {
    waiting: VecDeque<Waiting<W>>,
    bytes: usize,
}

/// What a caller hears: the item and what became of it.
type Answer<W> = Result<(<W as BatchWriter>::Item, <W as BatchWriter>::Outcome), DatabaseError>;

struct Waiting<W: BatchWriter> {
    item: W::Item,
    reply: oneshot::Sender<Answer<W>>,
}

impl<W: BatchWriter> Debug for GroupCommit<W> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("GroupCommit")
            .field(&W::NAME)
            .finish()
    }
}

impl<W: BatchWriter> Clone for GroupCommit<W> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<W: BatchWriter> GroupCommit<W> {
    /// Batches of `writer` on connections of `pool`.
    pub fn new(pool: Pool, writer: W) -> Self {
        Self {
            shared: Arc::new(Shared {
                pool,
                writer,
                queues: Mutex::default(),
                turns: Semaphore::new(WRITERS_MAX),
            }),
        }
    }

    /// Inserts an item, and returns it with what became of it once that is committed. A caller that
    /// stops waiting does not stop an insert under way.
    ///
    /// # Errors
    /// [`DatabaseError::OutcomeUnknown`] when the connection broke after the statement was sent;
    /// [`DatabaseError::Unavailable`] when the database cannot be reached or too many wait for it;
    /// those of the constraints.
    pub async fn submit(
        &self,
        organization_id: OrganizationId,
        item: W::Item,
    ) -> Result<(W::Item, W::Outcome), DatabaseError> {
        let (reply, answer) = oneshot::channel();
        if self
            .shared
            .enqueue(organization_id, Waiting { item, reply })?
        {
            tokio::spawn(write_all(Arc::clone(&self.shared), organization_id));
        }
        // The sender is lost only when its task panicked or the program is ending.
        answer.await.map_err(|_| {
            let pool = &self.shared.pool;
            pool.commit_error(W::NAME, sqlx::Error::WorkerCrashed)
        })?
    }
}

/// Writes what waits of an organization until nothing does.
async fn write_all<W: BatchWriter>(shared: Arc<Shared<W>>, organization_id: OrganizationId) {
    loop {
        let turn = shared.turns.acquire().await;
        shared.gather(organization_id).await;
        let Some(batch) = shared.next_batch(organization_id) else {
            return;
        };
        let writing = Arc::clone(&shared);
        let written = tokio::spawn(async move { writing.write(organization_id, batch).await });
        // A panic has told those of its batch by dropping them. It must not strand the others.
        if let Err(error) = written.await {
            tracing::error!(transaction.name = W::NAME, %error, "a batch was not written");
        }
        drop(turn);
    }
}

impl<W: BatchWriter> Shared<W> {
    fn queues(&self) -> MutexGuard<'_, HashMap<OrganizationId, Queue<W>>> {
        // No code runs under the lock that could leave a queue half changed.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item into the queue of its organization. Says whether that needs a task now.
    fn enqueue(
        &self,
        organization_id: OrganizationId,
        waiting: Waiting<W>,
    ) -> Result<bool, DatabaseError> {
        let bytes = W::bytes(&waiting.item);
        let mut queues = self.queues();
        let (queue, is_new) = match queues.entry(organization_id) {
            Entry::Occupied(entry) => (entry.into_mut(), false),
            Entry::Vacant(entry) => (entry.insert(Queue::default()), true),
        };
        let is_full = queue.waiting.len() >= WAITING_ITEMS_MAX
            || queue.bytes.saturating_add(bytes) > WAITING_BYTES_MAX;
        if is_full && !is_new {
            return Err(self.pool.statement_error(sqlx::Error::PoolTimedOut));
        }
        queue.bytes = queue.bytes.saturating_add(bytes);
        queue.waiting.push_back(waiting);
        Ok(is_new)
    }

    /// Lets callers join that are on their way already: those that are ready to run reach the queue
    /// before this task has its turn again. Ends with the first turn that brings nobody, so that a
    /// single client does not wait.
    async fn gather(&self, organization_id: OrganizationId) {
        let mut before = self.count_waiting(organization_id);
        for _ in 0..GATHERING_TURNS_MAX {
            tokio::task::yield_now().await;
            let now = self.count_waiting(organization_id);
            if now <= before || now >= BATCH_ITEMS_MAX {
                return;
            }
            before = now;
        }
    }

    fn count_waiting(&self, organization_id: OrganizationId) -> usize {
        let queues = self.queues();
        queues
            .get(&organization_id)
            .map_or(0, |queue| queue.waiting.len())
    }

    /// The next batch of an organization. Where there is none, its queue goes under the same lock, so
    /// that whoever comes next begins a new one.
    fn next_batch(&self, organization_id: OrganizationId) -> Option<Vec<Waiting<W>>> {
        let mut queues = self.queues();
        let batch = queues.get_mut(&organization_id)?.take_batch();
        if batch.is_empty() {
            queues.remove(&organization_id);
            return None;
        }
        Some(batch)
    }

    /// Writes a batch, in halves where it does not go in one piece.
    async fn write(&self, organization_id: OrganizationId, batch: Vec<Waiting<W>>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.attempt(organization_id, &part).await {
                Ok(outcomes) => {
                    for (waiting, outcome) in part.into_iter().zip(outcomes) {
                        waiting.answer(Ok(outcome));
                    }
                }
                Err(error) if part.len() > 1 && error.is_of_the_statement() => {
                    tracing::debug!(transaction.name = W::NAME, %error, "a batch is halved");
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(error) => {
                    let is_away = error.is_unavailable();
                    answer_all(part, &error);
                    if is_away {
                        // What was not sent yet need not find out one by one.
                        let unsent = self.pool.statement_error(sqlx::Error::PoolTimedOut);
                        parts.drain(..).for_each(|part| answer_all(part, &unsent));
                    }
                }
            }
        }
    }

    /// Writes a batch, again where the server asks for that.
    async fn attempt(
        &self,
        organization_id: OrganizationId,
        batch: &[Waiting<W>],
    ) -> Result<Vec<W::Outcome>, DatabaseError> {
        let items: Vec<&W::Item> = batch.iter().map(|waiting| &waiting.item).collect();
        // Separately, so that a failure to connect is not mistaken for an open outcome.
        let acquired = self.pool.acquire_warm().await;
        let mut connection = acquired.map_err(|error| self.pool.statement_error(error))?;
        let mut attempts = 1;
        loop {
            let written = self
                .writer
                .write(&mut connection, organization_id, &items)
                .await;
            match written {
                Err(error) if is_retriable(&error) && attempts < ATTEMPTS_MAX => attempts += 1,
                Ok(outcomes) => {
                    self.pool.keep_warm(connection);
                    return Ok(outcomes);
                }
                other => return other.map_err(|error| self.pool.commit_error(W::NAME, error)),
            }
        }
    }
}

impl<W: BatchWriter> Default for Queue<W> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<W: BatchWriter> Queue<W> {
    /// Takes what fits into a batch, each key once. What is left keeps its order. Whoever stopped
    /// waiting is left out.
    fn take_batch(&mut self) -> Vec<Waiting<W>> {
        let (mut batch, mut keys, mut bytes) = (Vec::new(), HashSet::new(), 0_usize);
        let (mut rest, mut rest_bytes) = (VecDeque::new(), 0_usize);
        for waiting in self.waiting.drain(..) {
            if waiting.reply.is_closed() {
                continue;
            }
            let size = W::bytes(&waiting.item);
            let has_room = batch.is_empty()
                || (batch.len() < BATCH_ITEMS_MAX && bytes.saturating_add(size) <= BATCH_BYTES_MAX);
            if has_room && keys.insert(W::key(&waiting.item)) {
                bytes = bytes.saturating_add(size);
                batch.push(waiting);
            } else {
                rest_bytes = rest_bytes.saturating_add(size);
                rest.push_back(waiting);
            }
        }
        (self.waiting, self.bytes) = (rest, rest_bytes);
        batch
    }
}

impl<W: BatchWriter> Waiting<W> {
    fn answer(self, result: Result<W::Outcome, DatabaseError>) {
        // Who asked may be gone, which is no error of this one.
        let _ = self.reply.send(result.map(|outcome| (self.item, outcome)));
    }
}

fn answer_all<W: BatchWriter>(batch: Vec<Waiting<W>>, error: &DatabaseError) {
    for waiting in batch {
        waiting.answer(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests;
