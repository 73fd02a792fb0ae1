//! Differences between kept and made query data.

use super::{QueryData, changes};

fn data(entries: &[(&str, &str)]) -> QueryData {
    let json = |query: &str| format!("{{\"query\": \"-- {query}\\nSELECT 1\"}}");
    entries
        .iter()
        .map(|(name, query)| ((*name).to_owned(), json(query)))
        .collect()
}

#[test]
fn equal_data_has_no_changes() {
    let same = data(&[("query-1.json", "a::b")]);
    assert_eq!(changes(&same, &same), [""; 0]);
}

#[test]
fn missing_stale_and_needless_files_are_told_with_the_name_of_the_query() {
    let kept = data(&[("query-2.json", "a::old"), ("query-3.json", "a::gone")]);
    let made = data(&[("query-1.json", "a::new"), ("query-2.json", "a::changed")]);
    assert_eq!(
        changes(&kept, &made),
        [
            "query-1.json: missing (a::new)",
            "query-2.json: stale (a::changed)",
            "query-3.json: no query needs it (a::gone)",
        ]
    );
}
