//! Two organizations that no name tells apart, and people who belong to both: whatever members of one
//! call, with ids of the other wherever an id can stand, shows nothing of the other and changes
//! nothing of it.
//!
//! The calls are made from the program's own OpenAPI document by a seeded chance: 300 in `make test`,
//! 250 for each of `SOAK_ROUNDS` in `make soak`. Start with [`document`] and [`calls`].

mod calls;
mod document;
mod fixture;
mod ids;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use clm_tests::Soak;
use clm_tests::rest::Answer;
use uuid::Uuid;

use self::calls::{Caller, Chance, Draft};
use self::document::{Document, Operation};
use self::fixture::{Actor, World};
use self::ids::Ids;
use self::watch::Watch;

/// Where chance begins in `make test`.
const SEED: u64 = 4;
/// After so many calls the lists are asked what there is now.
const CALLS_BETWEEN_LISTS: usize = 50;

/// What is not called, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "DELETE /api/v1/sessions/current",
        "ends the session that goes on asking",
    ),
    (
        "POST /api/v1/members/me/leave",
        "ends the membership of who goes on asking",
    ),
    (
        "POST /api/v1/users/me/password",
        "wrong passwords hold up who goes on asking",
    ),
];
/// What is not called by people who belong to both, and why.
const LEFT_OUT_OF_BOTH: &[(&str, &str)] = &[
    (
        "PUT /api/v1/sessions/current/organization",
        "the other organization is theirs as well: the session would go on there",
    ),
    (
        "PUT /api/v1/users/me/primary-organization",
        "the other organization is theirs as well: the choice is kept in its membership",
    ),
    (
        "POST /api/v1/users/me/totp",
        "the own second factor belongs to the home, which may be the other organization",
    ),
];

/// How many calls there are.
const fn calls_of(soak: Soak) -> usize {
    match soak.rounds {
        0..=3 => 300,
        rounds => rounds as usize * 250,
    }
}

fn is_left_out(operation: &Operation, actor: &Actor) -> bool {
    let name = operation.name();
    let named = |list: &[(&str, &str)]| list.iter().any(|(one, _)| *one == name);
    // Whoever signs in is nobody's member yet.
    operation.is_public || named(LEFT_OUT) || (actor.belongs_to_both && named(LEFT_OUT_OF_BOTH))
}

/// How the calls of each operation were answered.
#[derive(Default)]
struct Tally {
    statuses: BTreeMap<u16, usize>,
    called: BTreeSet<String>,
    foreign: usize,
    foreign_in_path: usize,
    /// Idempotency keys that the own organization has used by now.
    used_keys: BTreeSet<(String, String)>,
}

impl Tally {
    fn count(&mut self, draft: &Draft, answer: &Answer) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.foreign += usize::from(!draft.foreign.is_empty());
        self.foreign_in_path += usize::from(draft.foreign_in_path);
    }

    /// Whether the answer is about an earlier call with this idempotency key: an own one, or else
    /// the key is known from the other organization.
    fn is_repeated(&mut self, what: &str, draft: &Draft, answer: &Answer) -> bool {
        let of_repetition = ["secret_already_shown", "idempotency_key_reused"];
        let Some(key) = draft.idempotency_key() else {
            return false;
        };
        let is_new = self.used_keys.insert(key);
        let is_repeated = of_repetition.contains(&answer.code());
        assert!(
            !(is_new && is_repeated),
            "{what}\nthe key is that of others"
        );
        is_repeated
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_one_never_touch_the_other() {
    let soak = Soak::announce_from(SEED);
    let (begun, count) = (Instant::now(), calls_of(soak));
    let world = World::start().await;
    let prepared = begun.elapsed();
    let document = Document::read(&world.rest).await;
    for (name, reason) in LEFT_OUT.iter().chain(LEFT_OUT_OF_BOTH) {
        let is_known = document.operations.iter().any(|one| one.name() == *name);
        assert!(
            is_known,
            "{name} is left out ({reason}), but not in the document"
        );
    }
    let chance = Chance::new(soak.seed);
    let watch = Watch::begin(&world).await;
    let mut other = Ids::default();
    let is_foreign = |id: &Uuid| watch.ids.contains(id);
    other
        .read(&world.rest, &world.other.key(), &document, is_foreign)
        .await;
    other.add(&watch.ids);
    let mut caller = Caller::new(&world, &document, [Ids::default(), other], &chance);
    let mut tally = Tally::default();
    let mut waiting = Vec::new();
    for number in 0..count {
        if number % CALLS_BETWEEN_LISTS == 0 {
            let may_be_named = |id: &Uuid| !world.spared.contains(id);
            let key = world.own.key();
            caller
                .own
                .read(&world.rest, &key, &document, may_be_named)
                .await;
        }
        let (operation, actor) = next(&world, &document, &chance, &mut waiting);
        let draft = caller.draft(operation);
        let what = format!(
            "SOAK_SEED={} call {number}, {}: {draft:?}",
            soak.seed, actor.what
        );
        play(&watch, actor, &draft, (&what, &mut tally)).await;
        tally.called.insert(operation.name());
    }
    watch.end().await;
    println!(
        "{count} calls of {} operations in {:?} after {prepared:?}, {} with something foreign, {} in \
         the path; answers: {:?}",
        tally.called.len(),
        begun.elapsed() - prepared,
        tally.foreign,
        tally.foreign_in_path,
        tally.statuses
    );
    let public = document
        .operations
        .iter()
        .filter(|one| one.is_public)
        .count();
    let called = document.operations.len() - public - LEFT_OUT.len();
    assert_eq!(tally.called.len(), called, "not every operation was called");
    let successes: usize = tally.statuses.range(200..300).map(|(_, count)| count).sum();
    assert!(
        successes * 8 >= count,
        "next to nothing succeeds: {successes}"
    );
    assert!(tally.foreign * 3 >= count, "next to nothing is foreign");
    world.stop();
}

/// Every operation once, in an order that chance decides, and then again.
fn next<'a>(
    world: &'a World,
    document: &'a Document,
    chance: &Chance,
    waiting: &mut Vec<&'a Operation>,
) -> (&'a Operation, &'a Actor) {
    loop {
        if waiting.is_empty() {
            waiting.extend(&document.operations);
        }
        let operation = waiting.swap_remove(chance.below(waiting.len()));
        let actors: Vec<&Actor> = world
            .actors
            .iter()
            .filter(|actor| !is_left_out(operation, actor))
            .collect();
        if let Some(actor) = chance.pick(&actors) {
            return (operation, actor);
        }
    }
}

/// Sends the call, before it the same one about what nobody has, and judges both.
async fn play(watch: &Watch<'_>, actor: &Actor, draft: &Draft, (what, tally): (&str, &mut Tally)) {
    let (rest, credential) = (&watch.world.rest, &actor.credential);
    let unknown = draft.about_unknown();
    let mut before = None;
    if draft.foreign_in_path {
        before = Some(watch.at_rest().await);
    }
    let mut control = None;
    if draft.is_compared {
        control = Some(rest.send(unknown.call(credential)).await);
    }
    let answer = rest.send(draft.call(credential)).await;
    let what = format!("{what}\n{} {}", answer.status, answer.text);
    for answer in control.iter().chain([&answer]) {
        assert!(answer.status < 500, "{what}: {}", answer.text);
        assert_ne!(answer.status, 401, "{what}: the caller is gone");
    }
    let compared = control.as_ref().unwrap_or(&answer);
    watch.nothing_shown(&what, (actor, draft), [&answer, compared]);
    watch.nothing_changed(&what).await;
    if let Some(before) = before {
        assert_eq!(
            watch.at_rest().await,
            before,
            "{what}\nrefused, and something changed"
        );
    }
    tally.count(draft, &answer);
    if tally.is_repeated(&what, draft, &answer) {
        return;
    }
    if !is_alike(draft, compared, &answer) {
        // Something may have ended meanwhile, such as a rotation of a key.
        let again = rest.send(unknown.call(credential)).await;
        let is_alike = is_alike(draft, &again, &answer);
        assert!(
            is_alike,
            "{what}\nof an unknown id: {} {}",
            again.status, again.text
        );
    }
}

/// Whether a call about something foreign was answered as one about what nobody has: refused with the
/// same words, or carried out without regard to it, which a path does not allow.
fn is_alike(draft: &Draft, unknown: &Answer, foreign: &Answer) -> bool {
    if !draft.is_compared {
        return true;
    }
    if unknown.status < 300 && !draft.foreign_in_path {
        // What the first call made may stand in the way of the second.
        return foreign.status < 300 || foreign.status == 409;
    }
    let same_words = || {
        let said = draft.replaced(&foreign.without_request_id().to_string());
        said == draft.replaced(&unknown.without_request_id().to_string())
    };
    unknown.status >= 400 && unknown.status == foreign.status && same_words()
}
