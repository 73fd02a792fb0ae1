//! What was measured: medians, ratios, goals, and a text for people.

mod goals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use comfy_table::{Table, presets};

use crate::access::{self, Access};
use crate::arguments::Plan;
use crate::environment;
use crate::load::Sample;
use crate::parity::RowSize;
use crate::rotation::{self, Rotation};

use self::goals::{Goal, Verdict};

/// Shown where nothing was measured.
const NOTHING: &str = "-";

/// Everything that a run gave.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) cores: usize,
    pub(crate) load_average_begin: Option<f64>,
    pub(crate) load_average_end: Option<f64>,
    pub(crate) file_system: Option<String>,
    pub(crate) versions: Vec<String>,
    pub(crate) start_ups: Vec<StartUp>,
    pub(crate) memory: Option<Memory>,
    /// Rounds by their number of clients.
    pub(crate) rounds: BTreeMap<u16, Vec<Round>>,
    pub(crate) row_sizes: Vec<RowSize>,
    pub(crate) access: Option<Access>,
    pub(crate) rotation: Option<Rotation>,
    /// What a reader must know beside the figures.
    pub(crate) notes: Vec<String>,
}

/// From the start of the program until it is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartUp {
    /// With everything to be made.
    pub(crate) first: Duration,
    /// With everything there.
    pub(crate) second: Duration,
}

/// Memory in MiB: of the program resident, of its PostgreSQL proportional.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) idle_after_first_start: Option<f64>,
    pub(crate) idle_after_second_start: Option<f64>,
    pub(crate) load_peak: Option<f64>,
    pub(crate) postgresql_idle: Option<f64>,
    pub(crate) postgresql_load_peak: Option<f64>,
}

/// What was measured side by side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) product: Option<Sample>,
    pub(crate) remote: Option<Sample>,
    pub(crate) bare: Option<Sample>,
    pub(crate) cfssl: Option<Sample>,
}

impl Round {
    /// One line while the run goes on.
    pub(crate) fn summary(&self) -> String {
        let rate = |sample: &Option<Sample>| number(sample.as_ref().map(|one| one.per_second), 0);
        format!(
            "product {}/s, remote {}/s, bare {}/s, cfssl {}/s",
            rate(&self.product),
            rate(&self.remote),
            rate(&self.bare),
            rate(&self.cfssl)
        )
    }

    fn samples(&self) -> impl Iterator<Item = (&'static str, &Sample)> {
        [
            ("product", &self.product),
            ("product in two processes", &self.remote),
            ("bare loop", &self.bare),
            ("cfssl", &self.cfssl),
        ]
        .into_iter()
        .filter_map(|(name, sample)| Some((name, sample.as_ref()?)))
    }
}

/// Medians over the rounds with one number of clients.
#[derive(Clone, Debug, PartialEq)]
struct Medians {
    product: Option<f64>,
    remote: Option<f64>,
    bare: Option<f64>,
    cfssl: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl Medians {
    fn of(rounds: &[Round]) -> Self {
        let product = |value: fn(&Sample) -> f64| {
            median_of(rounds, |round| round.product.as_ref().map(value))
        };
        let rate = |sample: &Option<Sample>| sample.as_ref().map(|one| one.per_second);
        Self {
            product: product(|sample| sample.per_second),
            remote: median_of(rounds, |round| rate(&round.remote)),
            bare: median_of(rounds, |round| rate(&round.bare)),
            cfssl: median_of(rounds, |round| rate(&round.cfssl)),
            p50_ms: product(|sample| sample.p50_ms),
            p99_ms: product(|sample| sample.p99_ms),
        }
    }
}

impl Report {
    /// A report without figures.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            cores: environment::cores(),
            load_average_begin: environment::load_average(),
            load_average_end: None,
            file_system: None,
            versions: Vec::new(),
            start_ups: Vec::new(),
            memory: None,
            rounds: BTreeMap::new(),
            row_sizes: Vec::new(),
            access: None,
            rotation: None,
            notes: Vec::new(),
        }
    }

    /// How many requests got no certificate, of all subjects.
    pub(crate) fn failed_requests(&self) -> u64 {
        let rotation = self.rotation.iter().flat_map(Rotation::samples);
        let of_rounds = self.samples().map(|(_, _, sample)| sample);
        let access = self.access.iter().flat_map(Access::samples);
        of_rounds
            .chain(rotation)
            .chain(access.map(|(_, sample)| sample))
            .map(|sample| sample.failures)
            .sum()
    }

    /// The text for people: Markdown tables.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("\n{}\n\n{}\n", self.circumstances(), self.issuance());
        for table in [
            self.access(),
            self.rotations(),
            self.start_up(),
            self.memory(),
            self.rows(),
        ]
        .into_iter()
        .flatten()
        {
            text.push_str(&format!("\n{table}\n"));
        }
        text.push_str(&format!("\n{}\n", self.goals()));
        for note in self.all_notes() {
            text.push_str(&format!("\nNote: {note}."));
        }
        text.push('\n');
        text
    }

    fn samples(&self) -> impl Iterator<Item = (u16, &'static str, &Sample)> {
        self.rounds.iter().flat_map(|(clients, rounds)| {
            rounds
                .iter()
                .flat_map(Round::samples)
                .map(|(name, sample)| (*clients, name, sample))
        })
    }

    fn circumstances(&self) -> String {
        format!(
            "Rounds: {}, of {} s each, medians; {} cores; load average {} at the beginning, {} at \
             the end; databases on {}; {}",
            self.plan.rounds,
            self.plan.period.measured.as_secs(),
            self.cores,
            number(self.load_average_begin, 2),
            number(self.load_average_end, 2),
            self.file_system
                .as_deref()
                .unwrap_or("an unknown file system"),
            self.versions.join(", "),
        )
    }

    fn issuance(&self) -> Table {
        let mut table = table(&[
            "clients",
            "product/s",
            "remote/s",
            "remote:product",
            "bare/s",
            "product:bare",
            "(of rounds)",
            "cfssl/s",
            "product:cfssl",
            "p50 ms",
            "p99 ms",
        ]);
        for (clients, rounds) in &self.rounds {
            let medians = Medians::of(rounds);
            table.add_row([
                clients.to_string(),
                number(medians.product, 0),
                number(medians.remote, 0),
                number(ratio(medians.remote, medians.product), 2),
                number(medians.bare, 0),
                number(ratio(medians.product, medians.bare), 2),
                range_of_ratios(rounds),
                number(medians.cfssl, 0),
                number(ratio(medians.product, medians.cfssl), 2),
                number(medians.p50_ms, 1),
                number(medians.p99_ms, 1),
            ]);
        }
        table
    }

    fn access(&self) -> Option<Table> {
        let access = self.access.as_ref()?;
        let mut table = table(&["access", "median", "all"]);
        let mut row = |name: &str, values: &[f64], digits| {
            table.add_row(with_median(name, values, digits));
        };
        let decisions = &access.decisions_per_second;
        row("decisions/s in one thread", decisions, 0);
        row("reads/s with an API key", &rates(&access.reads), 0);
        row("/healthz per second", &rates(&access.health), 0);
        let percent: Vec<f64> = access.share_of_read.iter().map(|one| one * 100.0).collect();
        row("a decision's share of a read, %", &percent, 3);
        Some(table)
    }

    fn rotations(&self) -> Option<Table> {
        let rotation = self.rotation.as_ref()?;
        let mut table = table(&["rotation of a data key", "median", "all"]);
        let mut row = |name: &str, values: &[f64]| {
            table.add_row(with_median(name, values, 0));
        };
        row("private keys moved/s", &rotation.moved_per_second);
        row("bare batched UPDATE/s", &rotation.bare_per_second);
        row("certificates/s without", &rates(&rotation.issuance_alone));
        row(
            "certificates/s during it",
            &rates(&rotation.issuance_during),
        );
        Some(table)
    }

    fn start_up(&self) -> Option<Table> {
        let first = self.median_start(|one| one.first)?;
        let second = self.median_start(|one| one.second)?;
        let mut table = table(&["start until ready", "seconds"]);
        table.add_row(["first".to_owned(), number(Some(first), 2)]);
        table.add_row(["second".to_owned(), number(Some(second), 2)]);
        Some(table)
    }

    fn memory(&self) -> Option<Table> {
        let memory = self.memory.as_ref()?;
        let mut table = table(&["memory in MiB", "idle", "peak under load"]);
        table.add_row([
            "clm, resident".to_owned(),
            format!(
                "{} (after its first start: {})",
                number(memory.idle_after_second_start, 1),
                number(memory.idle_after_first_start, 1)
            ),
            number(memory.load_peak, 1),
        ]);
        table.add_row([
            "its PostgreSQL, proportional".to_owned(),
            number(memory.postgresql_idle, 1),
            number(memory.postgresql_load_peak, 1),
        ]);
        Some(table)
    }

    fn rows(&self) -> Option<Table> {
        if self.row_sizes.is_empty() {
            return None;
        }
        let mut table = table(&["mean row in bytes", "product", "bare"]);
        for size in &self.row_sizes {
            let bytes = |bytes: f64| number((bytes > 0.0).then_some(bytes), 0);
            table.add_row([
                size.table.to_owned(),
                bytes(size.product_bytes),
                bytes(size.bare_bytes),
            ]);
        }
        Some(table)
    }

    fn goals(&self) -> Table {
        let mut table = table(&["goal", "measured", "floor", "target", "floor is"]);
        for goal in goals::of(self) {
            let verdict = match goal.verdict() {
                Verdict::Met => "met",
                Verdict::NotMet => "not met",
                Verdict::NotMeasured => "not measured",
            };
            let Goal {
                name,
                measured,
                floor,
                target,
                digits,
                ..
            } = goal;
            table.add_row([
                name,
                number(measured, digits),
                number(Some(floor), digits),
                number(target, digits),
                verdict.to_owned(),
            ]);
        }
        table
    }

    fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if !self.plan.quotable {
            notes.push("too few or too short rounds: this shows that it runs, nothing more".into());
        }
        if self.file_system.as_deref() == Some("tmpfs") {
            notes.push("the databases were in memory, where durability costs nothing".into());
        }
        let cores = u32::try_from(self.cores).map_or(f64::MAX, f64::from);
        if self
            .load_average_begin
            .is_some_and(|load| load > cores / 2.0)
        {
            notes.push("the machine was busy with something else at the beginning".into());
        }
        for size in self.row_sizes.iter().filter(|size| size.differs()) {
            notes.push(format!(
                "the bare loop's rows of {} are not those of the product: mend its statements",
                size.table
            ));
        }
        let rotation = self.rotation.iter().flat_map(Rotation::samples);
        let rotation =
            rotation.map(|sample| (rotation::CLIENTS, "product beside a rotation", sample));
        let access = self.access.iter().flat_map(Access::samples);
        let access = access.map(|(name, sample)| (access::CLIENTS, name, sample));
        for (clients, name, sample) in self.samples().chain(rotation).chain(access) {
            if sample.failures > 0 {
                let first = sample.first_failure.as_deref().unwrap_or_default();
                notes.push(format!(
                    "{} requests to {name} failed with {clients} clients, the first one: {first}",
                    sample.failures
                ));
            }
        }
        notes
    }

    /// The median of start-up times, in seconds.
    fn median_start(&self, which: fn(&StartUp) -> Duration) -> Option<f64> {
        median_of(&self.start_ups, |one| Some(which(one).as_secs_f64()))
    }
}

/// The speeds of samples.
fn rates(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.per_second).collect()
}

/// The cells of a row: name, median, and each value.
fn with_median(name: &str, values: &[f64], digits: usize) -> [String; 3] {
    let all: Vec<String> = values
        .iter()
        .map(|value| number(Some(*value), digits))
        .collect();
    let median = number(median_of(values, |value| Some(*value)), digits);
    [name.to_owned(), median, all.join(" ")]
}

/// The middle of the values that are there, the mean of both middles of an even number.
fn median_of<T>(things: &[T], value: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = things.iter().filter_map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

fn ratio(product: Option<f64>, yardstick: Option<f64>) -> Option<f64> {
    let yardstick = yardstick.filter(|rate| *rate > 0.0)?;
    Some(product? / yardstick)
}

/// The lowest and the highest ratio to the bare loop in one round: how far to trust the median.
fn range_of_ratios(rounds: &[Round]) -> String {
    let rate = |sample: &Option<Sample>| sample.as_ref().map(|one| one.per_second);
    let ratios: Vec<f64> = rounds
        .iter()
        .filter_map(|round| ratio(rate(&round.product), rate(&round.bare)))
        .collect();
    let lowest = ratios.iter().copied().reduce(f64::min);
    let highest = ratios.iter().copied().reduce(f64::max);
    match (lowest, highest) {
        (Some(lowest), Some(highest)) => format!("{lowest:.2} to {highest:.2}"),
        _ => NOTHING.to_owned(),
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.digits$}"))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::ASCII_MARKDOWN)
        .set_header(header);
    table
}

/// Tells how far the run is, apart from its result.
pub(crate) fn progress(text: &str) {
    // Where nobody listens, the run goes on and ends in order.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints the result.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
