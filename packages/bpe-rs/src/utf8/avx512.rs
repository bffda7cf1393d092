//! A block of code points at once: each becomes four bytes, of which an instruction keeps those that
//! count.

#![expect(unsafe_code, reason = "vector instructions; see each block")]

use std::arch::x86_64::*;

use super::{BLOCK, BLOCK_BYTES, encode_by};

/// Proof that the processor has AVX-512 with instructions that move bytes together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if it can be given. The standard library asks the processor once and remembers.
    pub(super) fn detect() -> Option<Self> {
        let detected = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("popcnt");
        detected.then_some(Self(()))
    }

    /// As [`super::encode`].
    pub(super) fn encode(self, code_points: &[u32], utf8: &mut [u8]) -> usize {
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
        fn compiled(code_points: &[u32], utf8: &mut [u8]) -> usize {
            encode_by(code_points, utf8, |block, utf8| encode_block(block, utf8))
        }
        // SAFETY: `self` proves that the processor has all these features.
        unsafe { compiled(code_points, utf8) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
#[inline]
fn encode_block(block: &[u32; BLOCK], utf8: &mut [u8; BLOCK_BYTES]) -> usize {
    let all = |bits: u32| _mm512_set1_epi32(bits.cast_signed());
    // SAFETY: the load, that needs no alignment, reads the 64 bytes of `block`.
    let code_points = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let from = |least| _mm512_cmpge_epu32_mask(code_points, all(least));
    let (two, three, four) = (from(0x80), from(0x800), from(0x1_0000));
    if two == 0 {
        let bytes = _mm512_cvtepi32_epi8(code_points);
        // SAFETY: the store, that needs no alignment, writes 16 of the 64 bytes of `utf8`.
        unsafe { _mm_storeu_si128(utf8.as_mut_ptr().cast(), bytes) };
        return BLOCK;
    }
    // The last byte of a character comes last of four: the lowest six bits. Before it come six more
    // in each byte; what is kept of them begins where the character does.
    let six = |bits, moved| _mm512_and_si512(moved, all(bits));
    let bytes = [
        _mm512_srli_epi32::<18>(code_points),
        six(0x3f00, _mm512_srli_epi32::<4>(code_points)),
        six(0x3f_0000, _mm512_slli_epi32::<10>(code_points)),
        six(0x3f00_0000, _mm512_slli_epi32::<24>(code_points)),
    ];
    let sixes = bytes.into_iter().fold(all(0), |a, b| _mm512_or_si512(a, b));
    let by_length = |one, [of_two, of_three, of_four]: [u32; 3]| {
        let words = _mm512_mask_mov_epi32(one, two, all(of_two));
        let words = _mm512_mask_mov_epi32(words, three, all(of_three));
        _mm512_mask_mov_epi32(words, four, all(of_four))
    };
    // What a byte's high bits say: the first one how many come, the others that they do.
    let marks = by_length(
        _mm512_slli_epi32::<24>(code_points),
        [0x80c0_0000, 0x8080_e000, 0x8080_80f0],
    );
    let kept = by_length(all(0x8000_0000), [0x8080_0000, 0x8080_8000, 0x8080_8080]);
    let kept = _mm512_movepi8_mask(kept);
    let together = _mm512_maskz_compress_epi8(kept, _mm512_or_si512(sixes, marks));
    // SAFETY: the store, that needs no alignment, writes the 64 bytes of `utf8`.
    unsafe { _mm512_storeu_si512(utf8.as_mut_ptr().cast(), together) };
    kept.count_ones() as usize
}
