//! Which instructions classify a block: chosen once, at run time.

use std::convert::Infallible;

use super::kernel::Scan;
#[cfg(target_arch = "aarch64")]
use super::kernel_neon::Neon;
use super::kernel_portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::kernel_x86::{Avx2, Avx512};

use super::gpt2::gpt2_ends_with;

/// The kinds of instructions that classify a block, fastest first. One that this processor does
/// not have can't be made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Simd {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

impl Simd {
    /// The fastest kind that this processor has.
    pub(crate) fn detect() -> Self {
        // The standard library asks the processor once and remembers.
        #[cfg(target_arch = "x86_64")]
        if let Some(found) = Self::avx512().or_else(Self::avx2) {
            return found;
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(found) = Self::neon() {
            return found;
        }
        Self::Portable(Portable)
    }

    /// The fastest kind without vectors of 64 bytes.
    pub(crate) fn detect_at_most_32_bytes() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self::avx2().unwrap_or(Self::Portable(Portable));
        #[cfg(not(target_arch = "x86_64"))]
        Self::detect()
    }

    /// All kinds that this processor has.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let fast = [Self::avx512(), Self::avx2()];
        #[cfg(target_arch = "aarch64")]
        let fast = [Self::neon()];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let fast = [];
        let portable = Self::Portable(Portable);
        fast.into_iter().flatten().chain([portable]).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "NEON",
            Self::Portable(_) => "portable",
        }
    }

    /// Runs `scan` with this kind of instructions.
    pub(crate) fn run<S: Scan>(self, scan: S) -> S::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => proof.run(scan),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.run(scan),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(neon) => scan.scan(neon), // part of every build for this architecture
            Self::Portable(portable) => scan.scan(portable),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn avx512() -> Option<Self> {
        Avx512::detect().map(Self::Avx512)
    }

    #[cfg(target_arch = "x86_64")]
    fn avx2() -> Option<Self> {
        Avx2::detect().map(Self::Avx2)
    }

    #[cfg(target_arch = "aarch64")]
    fn neon() -> Option<Self> {
        Neon::detect().map(Self::Neon)
    }
}

/// For `benches/stages.rs` alone: the kinds of instructions that this processor has, and how to
/// count a text's pretokens with each.
#[doc(hidden)]
pub fn split_counters() -> impl Iterator<Item = (&'static str, impl Fn(&str) -> usize)> {
    Simd::available().into_iter().map(|simd| {
        let counter = move |text: &str| {
            let mut count = 0;
            let Ok(()) = gpt2_ends_with(simd, text, &mut |_, ends: &[usize]| {
                count += ends.len();
                Ok::<(), Infallible>(())
            });
            count
        };
        (simd.name(), counter)
    })
}
