//! Looking up the bytes of a block with plain 64-bit arithmetic.

use super::kernel::{BLOCK, ByteSets, Kernel};

/// Works on every processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn high(self, block: &[u8; BLOCK]) -> u64 {
        // The multiplication moves bit 8 b to bit 56 + b; no two bits meet, so nothing carries.
        let gather = |word: u64| {
            (word >> 7 & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
        };
        let (words, _) = block.as_chunks();
        let words = words.iter().enumerate();
        words.fold(0, |high, (index, word)| {
            high | gather(u64::from_le_bytes(*word)) << (8 * index)
        })
    }

    #[inline(always)]
    fn sets<const N: usize>(self, block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N] {
        let mut masks = [0; N];
        let (groups, _) = block.as_chunks::<8>();
        for (index, group) in groups.iter().enumerate() {
            // Byte n of `gathered` becomes the eight bits of set n.
            let gathered = group.iter().enumerate().fold(0, |gathered, (bit, byte)| {
                gathered | sets.spread[usize::from(byte ^ flip)] << bit
            });
            for (set, mask) in masks.iter_mut().enumerate() {
                *mask |= (gathered >> (8 * set) & 0xFF) << (8 * index);
            }
        }
        masks
    }
}
