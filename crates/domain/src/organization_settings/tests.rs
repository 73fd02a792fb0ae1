//! Tests of `organization_settings`.

use serde_json::json;

use super::*;

#[test]
fn what_is_stored_is_read_leniently() {
    let stored = json!({
        "session_idle_minutes": 15, "session_hours_max": "many", "require_second_factor": true,
        "api_key_days_max": -1, "colour": "blue", "second_factor_roles": ["AUDITOR", 7],
    });
    let read = OrganizationSettings::from_stored(&stored);
    let expected = OrganizationSettings {
        session_idle_minutes: Some(15),
        require_second_factor: true,
        second_factor_roles: vec!["AUDITOR".to_owned()],
        ..OrganizationSettings::default()
    };
    assert_eq!(read, expected);
    let none = OrganizationSettings::from_stored(&json!([]));
    assert_eq!(none, OrganizationSettings::default());
}

#[test]
fn what_comes_in_is_read_strictly() {
    let unknown = json!({ "colour": "blue" });
    assert!(serde_json::from_value::<OrganizationSettings>(unknown).is_err());
    let read: OrganizationSettings = serde_json::from_value(json!({})).unwrap();
    assert_eq!(read, OrganizationSettings::default());
}

#[test]
fn every_known_key_is_written() {
    let full = OrganizationSettings {
        session_idle_minutes: Some(1),
        session_hours_max: Some(1),
        password_days_max: Some(1),
        require_second_factor: true,
        second_factor_roles: vec!["AUDITOR".to_owned()],
        api_key_days_max: Some(1),
    };
    let written = serde_json::to_value(&full).unwrap();
    let keys: Vec<&str> = written
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut known = OrganizationSettings::KEYS.to_vec();
    known.sort_unstable();
    let mut found = keys;
    found.sort_unstable();
    assert_eq!(found, known);
    assert_eq!(OrganizationSettings::from_stored(&written), full);
    assert_eq!(full.violations(), []);
}

#[test]
fn each_bound_names_its_field() {
    let none = OrganizationSettings {
        session_idle_minutes: Some(0),
        session_hours_max: Some(721),
        password_days_max: Some(3_651),
        require_second_factor: false,
        second_factor_roles: vec!["AUDITOR".to_owned(); 101],
        api_key_days_max: Some(u32::MAX),
    };
    let fields: Vec<String> = none
        .violations()
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        [
            "settings.session_idle_minutes",
            "settings.session_hours_max",
            "settings.password_days_max",
            "settings.api_key_days_max",
            "settings.second_factor_roles",
        ]
    );
}
