//! Partitions of audit tables: `<table>_yYYYYmMM`, one per month. Which there are depends on the date,
//! so that a snapshot describes one partition for all: `<table>_y*`, bounded by `{month}`.

use std::collections::BTreeMap;

/// What stands for the month in the name of a partition.
const ANY: &str = "_y*";
/// What stands for its bounds.
const ANY_MONTH: &str = "{month}";

/// A partition with its month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    name: String,
    table: String,
    year: u32,
    month: u32,
}

impl Partition {
    /// Reads a name such as `audit_log_y2026m11`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (table, month) = name.rsplit_once("_y")?;
        let (year, month) = month.split_once('m')?;
        if year.len() != 4 || month.len() != 2 {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        let table = table.to_owned();
        (1..=12).contains(&month).then(|| Self {
            name: name.to_owned(),
            table,
            year,
            month,
        })
    }

    /// The partition of `table` for a month such as `y2026m11`.
    pub(super) fn of_month(table: &str, month: &str) -> Option<Self> {
        Self::parse(&format!("{table}_{month}"))
    }

    /// The partitioned table.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    fn general_name(&self) -> String {
        format!("{}{ANY}", self.table)
    }

    /// The bounds as the server writes them in UTC.
    fn bounds(&self) -> String {
        let (year, month) = (self.year, self.month);
        let (end_year, end_month) = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        format!(
            "FROM ('{year:04}-{month:02}-01 00:00:00+00') TO ('{end_year:04}-{end_month:02}-01 00:00:00+00')"
        )
    }
}

/// The table that `audit_log_y*` is a partition of.
pub(super) fn table_of(general_name: &str) -> Option<&str> {
    general_name.strip_suffix(ANY)
}

/// `text` about a partition, as text about any partition.
pub(super) fn generalized(partitions: &[Partition], text: &str) -> String {
    let mut text = text.to_owned();
    for partition in partitions {
        text = text.replace(&partition.name, &partition.general_name());
        text = text.replace(&partition.bounds(), ANY_MONTH);
    }
    text
}

/// An object of a snapshot as objects of a database: one for each partition when it is about any, else
/// itself.
pub(super) fn specialized(
    partitions: &[Partition],
    name: &str,
    definition: &str,
) -> BTreeMap<String, String> {
    if !name.contains(ANY) {
        return BTreeMap::from([(name.to_owned(), definition.to_owned())]);
    }
    let about = |partition: &Partition| {
        let general = partition.general_name();
        let name = name.strip_prefix(&general)?;
        let definition = definition
            .replace(&general, &partition.name)
            .replace(ANY_MONTH, &partition.bounds());
        Some((format!("{}{name}", partition.name), definition))
    };
    partitions.iter().filter_map(about).collect()
}
