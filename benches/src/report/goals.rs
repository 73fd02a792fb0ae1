//! What the platform owes, and whether a run shows it.

use super::{Medians, Report, median_of, ratio};
use crate::access::Access;
use crate::rotation::Rotation;

/// Numbers of clients for which speed is promised.
const PROMISED_CLIENTS: [u16; 2] = [16, 64];
/// Certificates per second, as a share of the bare loop.
const SHARE_OF_BARE_MIN: f64 = 0.40;
const SHARE_OF_BARE_TARGET: f64 = 0.60;
/// The same of `cfssl serve`, which stores nothing.
const SHARE_OF_CFSSL_MIN: f64 = 0.50;
const SHARE_OF_CFSSL_TARGET: f64 = 1.0;
/// Certificates per second of two processes, as a share of those of one.
const SHARE_OF_ONE_PROCESS_MIN: f64 = 0.70;
const SHARE_OF_ONE_PROCESS_TARGET: f64 = 0.85;
/// Private keys that a rotation moves per second, as a share of a bare batched `UPDATE`.
const SHARE_OF_UPDATE_MIN: f64 = 0.50;
const SHARE_OF_UPDATE_TARGET: f64 = 0.80;
/// Certificates per second during a throttled rotation, as a share of those without.
const SHARE_DURING_ROTATION_MIN: f64 = 0.70;
const SHARE_DURING_ROTATION_TARGET: f64 = 0.90;
/// Decisions about access per second in one thread, in millions.
const MILLION_DECISIONS_MIN: f64 = 1.0;
/// What a decision may be of the work of a read, in percent.
const DECISION_PERCENT_MAX: f64 = 2.0;
/// Seconds of the first start, with everything to be made.
const FIRST_START_SECONDS_MAX: f64 = 10.0;
/// Seconds of every other start.
const SECOND_START_SECONDS_MAX: f64 = 2.0;
/// Resident memory without work, in MiB.
const IDLE_MIB_MAX: f64 = 80.0;

/// One goal with what was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) name: String,
    pub(super) measured: Option<f64>,
    /// What is owed at least.
    pub(super) floor: f64,
    /// What is wished for.
    pub(super) target: Option<f64>,
    /// Whether less is better.
    pub(super) less_is_better: bool,
    /// Digits behind the point.
    pub(super) digits: usize,
}

/// Whether the floor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    NotMet,
    NotMeasured,
}

impl Goal {
    /// Whether the floor holds.
    pub(super) fn verdict(&self) -> Verdict {
        match self.measured {
            None => Verdict::NotMeasured,
            Some(measured) if self.less_is_better && measured <= self.floor => Verdict::Met,
            Some(measured) if !self.less_is_better && measured >= self.floor => Verdict::Met,
            Some(_) => Verdict::NotMet,
        }
    }

    fn at_most(name: &str, measured: Option<f64>, floor: f64, digits: usize) -> Self {
        Self {
            name: name.to_owned(),
            measured,
            floor,
            target: None,
            less_is_better: true,
            digits,
        }
    }

    fn at_least(name: &str, measured: Option<f64>, floor: f64, digits: usize) -> Self {
        Self {
            less_is_better: false,
            ..Self::at_most(name, measured, floor, digits)
        }
    }

    fn share(name: String, measured: Option<f64>, floor: f64, target: f64) -> Self {
        Self {
            name,
            measured,
            floor,
            target: Some(target),
            less_is_better: false,
            digits: 2,
        }
    }
}

/// All goals.
pub(super) fn of(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for clients in PROMISED_CLIENTS {
        let medians = report
            .rounds
            .get(&clients)
            .map(|rounds| Medians::of(rounds));
        let share = |yardstick: fn(&Medians) -> Option<f64>| {
            let medians = medians.as_ref()?;
            ratio(medians.product, yardstick(medians))
        };
        goals.push(Goal::share(
            format!("share of the bare loop, {clients} clients"),
            share(|medians| medians.bare),
            SHARE_OF_BARE_MIN,
            SHARE_OF_BARE_TARGET,
        ));
        goals.push(Goal::share(
            format!("share of cfssl, {clients} clients"),
            share(|medians| medians.cfssl),
            SHARE_OF_CFSSL_MIN,
            SHARE_OF_CFSSL_TARGET,
        ));
        let remote = medians.as_ref();
        goals.push(Goal::share(
            format!("two processes, share of one, {clients} clients"),
            remote.and_then(|medians| ratio(medians.remote, medians.product)),
            SHARE_OF_ONE_PROCESS_MIN,
            SHARE_OF_ONE_PROCESS_TARGET,
        ));
    }
    let rotation = report.rotation.as_ref();
    goals.push(Goal::share(
        "rotation, share of a bare batched UPDATE".to_owned(),
        rotation.and_then(Rotation::share_of_update),
        SHARE_OF_UPDATE_MIN,
        SHARE_OF_UPDATE_TARGET,
    ));
    goals.push(Goal::share(
        "issuance during a throttled rotation".to_owned(),
        rotation.and_then(Rotation::share_of_issuance),
        SHARE_DURING_ROTATION_MIN,
        SHARE_DURING_ROTATION_TARGET,
    ));
    goals.extend(of_access(report));
    let first = report.median_start(|one| one.first);
    let second = report.median_start(|one| one.second);
    let memory = report.memory.as_ref();
    // The larger one: a first start does more, and its program runs on.
    let idle = memory.and_then(|memory| {
        let both = [
            memory.idle_after_first_start,
            memory.idle_after_second_start,
        ];
        both.into_iter().flatten().reduce(f64::max)
    });
    goals.push(Goal::at_most(
        "seconds of the first start",
        first,
        FIRST_START_SECONDS_MAX,
        2,
    ));
    goals.push(Goal::at_most(
        "seconds of the second start",
        second,
        SECOND_START_SECONDS_MAX,
        2,
    ));
    goals.push(Goal::at_most("MiB resident, idle", idle, IDLE_MIB_MAX, 1));
    goals
}

/// The goals of decisions about access.
fn of_access(report: &Report) -> [Goal; 2] {
    let access = report.access.as_ref();
    let median = |values: fn(&Access) -> &Vec<f64>| {
        access.and_then(|access| median_of(values(access), |one| Some(*one)))
    };
    let decisions = median(|access| &access.decisions_per_second);
    let share = median(|access| &access.share_of_read);
    [
        Goal::at_least(
            "million decisions about access per second and core",
            decisions.map(|decisions| decisions / 1e6),
            MILLION_DECISIONS_MIN,
            2,
        ),
        Goal::at_most(
            "percent of a read's work that is its decision",
            share.map(|share| share * 100.0),
            DECISION_PERCENT_MAX,
            3,
        ),
    ]
}
