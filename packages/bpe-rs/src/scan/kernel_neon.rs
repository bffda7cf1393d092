//! Looking up the bytes of a block with NEON, which every 64-bit Arm processor has.
//!
//! As in `kernel_x86.rs`: a byte `16 h + l` is in a set if bit `h` of the set's entry `l` is set.

#![expect(unsafe_code, reason = "vector loads; see each block")]

use std::arch::aarch64::*;

use super::kernel::{BLOCK, ByteSets, Kernel};

/// `1 << h` for each `h` below 8, no bit for the others.
const ROWS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

/// The bit of each byte among its eight.
const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, if it can be given.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Kernel for Neon {
    #[inline(always)]
    fn high(self, block: &[u8; BLOCK]) -> u64 {
        // SAFETY: `self` proves that the processor has NEON.
        unsafe { high_neon(block) }
    }

    #[inline(always)]
    fn sets<const N: usize>(self, block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
        // SAFETY: `self` proves that the processor has NEON.
        unsafe { sets_neon(block, flip, sets) }
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the load, that needs no alignment, reads the 16 bytes of `bytes`.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn quarters(block: &[u8; BLOCK]) -> [uint8x16_t; 4] {
    let (quarters, _) = block.as_chunks::<16>();
    [0, 1, 2, 3].map(|quarter: usize| load(&quarters[quarter]))
}

/// One bit for each of 64 bytes that are all ones or all zeros.
#[target_feature(enable = "neon")]
#[inline]
fn bits(bytes: [uint8x16_t; 4]) -> u64 {
    let place = load(&BITS);
    let [a, b, c, d] = bytes.map(|quarter| vandq_u8(quarter, place));
    // Adding neighbours three times makes one byte of each eight.
    let pairs = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)))
}

#[target_feature(enable = "neon")]
#[inline]
fn high_neon(block: &[u8; BLOCK]) -> u64 {
    bits(quarters(block).map(|quarter| vcgeq_u8(quarter, vdupq_n_u8(0x80))))
}

#[target_feature(enable = "neon")]
#[inline]
fn sets_neon<const N: usize>(block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
    let (rows, flip) = (load(&ROWS), vdupq_n_u8(flip));
    let bytes = quarters(block).map(|quarter| veorq_u8(quarter, flip));
    sets.nibbles.map(|table| {
        let table = load(&table);
        bits(bytes.map(|quarter| {
            let entries = vqtbl1q_u8(table, vandq_u8(quarter, vdupq_n_u8(0x0F)));
            vtstq_u8(entries, vqtbl1q_u8(rows, vshrq_n_u8::<4>(quarter)))
        }))
    })
}
