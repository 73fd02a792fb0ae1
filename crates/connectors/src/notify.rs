//! How messages leave. One module for each channel; so far there is [`email`].

pub mod email;
