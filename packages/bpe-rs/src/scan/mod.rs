//! Pretokens found by hand-written scanners, and those of any other pattern by a regex engine.
//!
//! GPT-2's pattern is scanned 64 bytes at a time: bytes to bit masks of their classes, masks to
//! boundaries. What it means is defined, readably, by [`pretokenize`](crate::pretokenize()); the
//! scanner gives the same pretokens at the speed of memory.

pub(crate) mod cl100k;
mod classify;
pub(crate) mod eight;
pub(crate) mod ends;
pub(crate) mod general;
mod gpt2;
#[cfg(test)]
mod gpt2_tests;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod kernel_neon;
mod kernel_portable;
#[cfg(target_arch = "x86_64")]
mod kernel_x86;
pub(crate) mod kinds;
pub(crate) mod o200k;
pub(crate) mod parts;
mod simd;
#[cfg(test)]
mod tests;

pub(crate) use gpt2::gpt2_ends;
pub(crate) use kernel::{Kernel, Scan};
pub(crate) use simd::Simd;
#[doc(hidden)]
pub use simd::split_counters;
