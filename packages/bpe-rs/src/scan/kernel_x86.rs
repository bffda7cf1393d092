//! Looking up the bytes of a block with AVX2 or AVX-512.
//!
//! A byte `16 h + l` is in a set if bit `h` of the set's entry `l` is set: one shuffle finds the
//! entries of 16 bytes in a register, one more, the same for all sets, finds `1 << h`.

#![expect(unsafe_code, reason = "vector instructions; see each block")]

use std::arch::x86_64::*;

use super::kernel::{BLOCK, ByteSets, Kernel, Scan};

/// `1 << h` for each `h` below 8; for the others a bit pattern that no entry holds, since a shuffle
/// gives 0 where bit 7 of the index is set.
const ROWS: [u8; 16] = [
    1, 2, 4, 8, 16, 32, 64, 128, 255, 255, 255, 255, 255, 255, 255, 255,
];

/// Proof that the processor has AVX2 and the bit instructions that came with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, if it can be given.
    pub(super) fn detect() -> Option<Self> {
        let detected = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        detected.then_some(Self(()))
    }

    /// Runs `scan`, compiled for such processors.
    pub(super) fn run<S: Scan>(self, scan: S) -> S::Output {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn compiled<S: Scan>(proof: Avx2, scan: S) -> S::Output {
            scan.scan(proof)
        }
        // SAFETY: `self` proves that the processor has all these features.
        unsafe { compiled(self, scan) }
    }
}

impl Kernel for Avx2 {
    #[inline(always)]
    fn high(self, block: &[u8; BLOCK]) -> u64 {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { high_avx2(block) }
    }

    #[inline(always)]
    fn sets<const N: usize>(self, block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { sets_avx2(block, flip, sets) }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn halves(block: &[u8; BLOCK]) -> [__m256i; 2] {
    let at = block.as_ptr().cast::<__m256i>();
    // SAFETY: both loads, that need no alignment, read 32 of the 64 bytes of `block`.
    unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] }
}

/// `table` in both halves of a register, since shuffles don't cross them.
#[target_feature(enable = "avx2")]
#[inline]
fn twice(table: &[u8; 16]) -> __m256i {
    // SAFETY: the load, that needs no alignment, reads the 16 bytes of `table`.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}

/// The top bits of 64 bytes.
#[target_feature(enable = "avx2")]
#[inline]
fn top_bits([low, high]: [__m256i; 2]) -> u64 {
    let bits = |half| u64::from(_mm256_movemask_epi8(half).cast_unsigned());
    bits(low) | bits(high) << 32
}

#[target_feature(enable = "avx2")]
#[inline]
fn high_avx2(block: &[u8; BLOCK]) -> u64 {
    top_bits(halves(block))
}

#[target_feature(enable = "avx2")]
#[inline]
fn sets_avx2<const N: usize>(block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
    let flip = _mm256_set1_epi8(flip.cast_signed());
    let low_nibble = _mm256_set1_epi8(0x0F);
    let rows = twice(&ROWS);
    let bytes = halves(block).map(|half| _mm256_xor_si256(half, flip));
    let row_bits = bytes.map(|half| {
        let nibbles = _mm256_and_si256(_mm256_srli_epi16::<4>(half), low_nibble);
        _mm256_shuffle_epi8(rows, nibbles)
    });
    let members = |table: __m256i, half: usize| {
        let entries = _mm256_shuffle_epi8(table, bytes[half]);
        _mm256_cmpeq_epi8(_mm256_and_si256(entries, row_bits[half]), row_bits[half])
    };
    sets.nibbles.map(|table| {
        let table = twice(&table);
        top_bits([members(table, 0), members(table, 1)])
    })
}

/// Proof that the processor has AVX-512 with byte instructions, and what [`Avx2`] proves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, if it can be given.
    pub(super) fn detect() -> Option<Self> {
        Avx2::detect()?;
        let detected = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2");
        detected.then_some(Self(()))
    }

    /// Runs `scan`, compiled for such processors.
    pub(super) fn run<S: Scan>(self, scan: S) -> S::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn compiled<S: Scan>(proof: Avx512, scan: S) -> S::Output {
            scan.scan(proof)
        }
        // SAFETY: `self` proves that the processor has all these features.
        unsafe { compiled(self, scan) }
    }
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn high(self, block: &[u8; BLOCK]) -> u64 {
        // SAFETY: `self` proves that the processor has AVX-512 F and BW.
        unsafe { high_avx512(block) }
    }

    #[inline(always)]
    fn sets<const N: usize>(self, block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
        // SAFETY: `self` proves that the processor has AVX-512 F and BW.
        unsafe { sets_avx512(block, flip, sets) }
    }

    #[inline(always)]
    fn places(self, mask: u64, base: usize, places: &mut [usize; BLOCK]) {
        // SAFETY: `self` proves that the processor has these parts of AVX-512.
        unsafe { places_avx512(mask, base, places) }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: the load, that needs no alignment, reads the 64 bytes of `block`.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

/// `table` in all quarters of a register, since shuffles don't cross them.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn four_times(table: &[u8; 16]) -> __m512i {
    // SAFETY: the load, that needs no alignment, reads the 16 bytes of `table`.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn high_avx512(block: &[u8; BLOCK]) -> u64 {
    _mm512_movepi8_mask(load(block))
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn sets_avx512<const N: usize>(block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
    let bytes = _mm512_xor_si512(load(block), _mm512_set1_epi8(flip.cast_signed()));
    let nibbles = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(0x0F));
    let row_bits = _mm512_shuffle_epi8(four_times(&ROWS), nibbles);
    sets.nibbles.map(|table| {
        let entries = _mm512_shuffle_epi8(four_times(&table), bytes);
        _mm512_test_epi8_mask(entries, row_bits)
    })
}

/// The numbers of 64 bytes.
const NUMBERS: [u8; BLOCK] = {
    let mut numbers = [0; BLOCK];
    let mut number = 0;
    while number < BLOCK {
        numbers[number] = number as u8;
        number += 1;
    }
    numbers
};

/// A byte for each bit, moved together by one instruction, then widened eight at a time: 2 ns a block,
/// where a loop over the bits takes 14.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
#[inline]
fn places_avx512(mask: u64, base: usize, places: &mut [usize; BLOCK]) {
    let mut packed = [0_u8; BLOCK];
    let together = _mm512_maskz_compress_epi8(mask, load(&NUMBERS));
    // SAFETY: the store, that needs no alignment, writes the 64 bytes of `packed`.
    unsafe { _mm512_storeu_si512(packed.as_mut_ptr().cast(), together) };
    let count = mask.count_ones() as usize;
    for (index, (bytes, places)) in packed
        .chunks_exact(16)
        .zip(places.chunks_exact_mut(16))
        .enumerate()
    {
        for (place, byte) in places.iter_mut().zip(bytes) {
            *place = base + usize::from(*byte);
        }
        if count <= 16 * (index + 1) {
            break;
        }
    }
}
