//! (first code follows)
