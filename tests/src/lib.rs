//! What whole-application tests share: the program itself, started as its users start it.

pub mod openssl;
pub mod program;

pub use program::Program;
