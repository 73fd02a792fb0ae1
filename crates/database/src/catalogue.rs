//! The catalogue check.
