//! What the tables of pretokens are made of: the one that counts, and the one that remembers ids.
//!
//! Both hold a short pretoken in the slot itself, so that one cache line answers for it.

mod hash;
mod huge;
mod long;
mod prefetch;
mod slot;

pub(crate) use hash::Seeds;
pub(crate) use huge::advise_huge_pages;
pub(crate) use long::LongPretokens;
pub(crate) use prefetch::prefetch;
pub(crate) use slot::{Key, MAX_SHORT, NO_NUMBER, Slot, long_key, long_parts, short_key};
