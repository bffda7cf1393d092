//! Pretokens of the known patterns, found by hand, and of any other, found by a regex engine.

pub(crate) mod batch;
pub(crate) mod cl100k;
pub(crate) mod eight;
pub(crate) mod general;
pub(crate) mod kinds;
pub(crate) mod o200k;
pub(crate) mod parts;
#[cfg(test)]
mod tests;
