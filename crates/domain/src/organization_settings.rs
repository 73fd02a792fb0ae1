//! What an organization decides about itself. Stored as one JSON object; what is absent is left to
//! the installation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Violation;

/// Longest pause of a session, in minutes.
const SESSION_IDLE_MINUTES_MAX: u32 = 24 * 60;
/// Longest session, in hours.
const SESSION_HOURS_MAX: u32 = 30 * 24;
/// Longest life of a password, in days.
const PASSWORD_DAYS_MAX: u32 = 3_650;
/// Most roles that can need a second factor.
const SECOND_FACTOR_ROLES_MAX: usize = 100;
/// Longest life of an API key, in days.
const API_KEY_DAYS_MAX: u32 = 3_650;

/// What an organization decides about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationSettings {
    /// A session in it ends after so many minutes without use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_idle_minutes: Option<u32>,
    /// A session in it ends after so many hours in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_hours_max: Option<u32>,
    /// A password of its users must be changed after so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_days_max: Option<u32>,
    /// Whether its members need a second factor.
    #[serde(default)]
    pub require_second_factor: bool,
    /// Codes of the roles whose holders need a second factor, those who inherit from them included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub second_factor_roles: Vec<String>,
    /// An API key in it lives so many days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_days_max: Option<u32>,
}

impl OrganizationSettings {
    /// The keys of the stored object that this version knows.
    pub const KEYS: [&'static str; 6] = [
        "session_idle_minutes",
        "session_hours_max",
        "password_days_max",
        "require_second_factor",
        "second_factor_roles",
        "api_key_days_max",
    ];

    /// Reads the stored form leniently: keys that this version does not know are left alone, and
    /// values that do not fit count as absent.
    pub fn from_stored(stored: &Value) -> Self {
        let number = |key: &str| {
            let number = stored.get(key).and_then(Value::as_u64);
            number.and_then(|number| u32::try_from(number).ok())
        };
        let roles = stored.get("second_factor_roles").and_then(Value::as_array);
        let roles = roles.into_iter().flatten().filter_map(Value::as_str);
        let second_factor = stored.get("require_second_factor").and_then(Value::as_bool);
        Self {
            session_idle_minutes: number("session_idle_minutes"),
            session_hours_max: number("session_hours_max"),
            password_days_max: number("password_days_max"),
            require_second_factor: second_factor.unwrap_or_default(),
            second_factor_roles: roles.map(str::to_owned).collect(),
            api_key_days_max: number("api_key_days_max"),
        }
    }

    /// What lies outside its bounds, each named as a field of `settings`.
    pub fn violations(&self) -> Vec<Violation> {
        let bounded = [
            (
                "session_idle_minutes",
                self.session_idle_minutes,
                SESSION_IDLE_MINUTES_MAX,
            ),
            (
                "session_hours_max",
                self.session_hours_max,
                SESSION_HOURS_MAX,
            ),
            (
                "password_days_max",
                self.password_days_max,
                PASSWORD_DAYS_MAX,
            ),
            ("api_key_days_max", self.api_key_days_max, API_KEY_DAYS_MAX),
        ];
        let numbers = bounded
            .into_iter()
            .filter(|(_, value, most)| value.is_some_and(|value| value == 0 || value > *most))
            .map(|(key, _, most)| Violation {
                field: format!("settings.{key}"),
                message: format!("Use 1 to {most}, or leave it out."),
            });
        let too_many =
            (self.second_factor_roles.len() > SECOND_FACTOR_ROLES_MAX).then(|| Violation {
                field: "settings.second_factor_roles".to_owned(),
                message: format!("Name at most {SECOND_FACTOR_ROLES_MAX} roles."),
            });
        numbers.chain(too_many).collect()
    }
}

#[cfg(test)]
mod tests;
