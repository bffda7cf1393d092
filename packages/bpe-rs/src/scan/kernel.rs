//! What a kind of processor does with 64 bytes, or 64 bits, at once; and code compiled for each kind.

/// Bytes classified at once: one bit each of a `u64`.
pub(crate) const BLOCK: usize = 64;

/// What a kind of processor does for 64 bytes, or their bits, at once.
pub(crate) trait Kernel: Copy {
    /// The bytes at 0x80 and above.
    fn high(self, block: &[u8; BLOCK]) -> u64;

    /// The bytes that, with `flip` by exclusive or, are in each of `sets`.
    fn sets<const N: usize>(self, block: &[u8; BLOCK], flip: u8, sets: &ByteSets<N>) -> [u64; N];

    /// Writes `base + i` for each bit `i` of `mask` to the front of `places`; what is written behind
    /// them means nothing.
    #[inline(always)]
    fn places(self, mut mask: u64, base: usize, places: &mut [usize; BLOCK]) {
        // Sixteen at once, needed or not: a loop's end can't be foreseen, and costs more.
        for sixteen in places.chunks_exact_mut(16) {
            for place in sixteen {
                *place = base + mask.trailing_zeros() as usize;
                mask &= mask.wrapping_sub(1);
            }
            if mask == 0 {
                break;
            }
        }
    }
}

/// What to do with a [`Kernel`], compiled for each of them.
///
/// Implementations are `#[inline(always)]`, and so is what they call in their loops: only what is
/// inlined into code for a kind of processor may use its instructions.
pub(crate) trait Scan {
    type Output;

    fn scan(self, kernel: impl Kernel) -> Self::Output;
}

/// `N` sets of bytes below 0x80, in the forms that the kernels look them up.
pub(crate) struct ByteSets<const N: usize> {
    /// Bit `h` of entry `l` of set `n`: whether it holds byte `16 h + l`.
    pub(super) nibbles: [[u8; 16]; N],
    /// Bit `8 n` of entry `b`: whether set `n` holds byte `b`.
    pub(super) spread: [u64; 256],
}

impl<const N: usize> ByteSets<N> {
    /// The sets where bit `n` of `members[b]` says whether set `n` holds byte `b`.
    pub(super) const fn new(members: &[u8; 128]) -> Self {
        assert!(N <= 8, "a byte of `members` has 8 bits");
        let (mut nibbles, mut spread) = ([[0; 16]; N], [0; 256]);
        let mut byte = 0;
        while byte < 128 {
            let mut set = 0;
            while set < N {
                let bit = members[byte] >> set & 1;
                nibbles[set][byte % 16] |= bit << (byte / 16);
                spread[byte] |= (bit as u64) << (8 * set);
                set += 1;
            }
            byte += 1;
        }
        Self { nibbles, spread }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Simd;
    use super::*;
    use proptest::prelude::*;

    /// High bytes, masks and places, as a kernel finds them.
    type Found = (u64, [u64; 8], Vec<usize>);

    struct FindAll<'a> {
        block: &'a [u8; BLOCK],
        flip: u8,
        sets: &'a ByteSets<8>,
        mask: u64,
    }

    impl Scan for FindAll<'_> {
        type Output = Found;

        fn scan(self, kernel: impl Kernel) -> Found {
            let mut places = [0; BLOCK];
            kernel.places(self.mask, 1000, &mut places);
            let places = places[..self.mask.count_ones() as usize].to_vec();
            let masks = kernel.sets(self.block, self.flip, self.sets);
            (kernel.high(self.block), masks, places)
        }
    }

    fn mask(is_set: impl Fn(usize) -> bool) -> u64 {
        (0..BLOCK).fold(0, |mask, at| mask | u64::from(is_set(at)) << at)
    }

    fn found_one_by_one(members: &[u8; 128], find: &FindAll<'_>) -> Found {
        let classes = |byte: u8| members.get(usize::from(byte ^ find.flip)).copied();
        let holds = |set: usize, at: usize| classes(find.block[at]).unwrap_or(0) >> set & 1 == 1;
        let high = mask(|at| find.block[at] >= 0x80);
        let masks = std::array::from_fn(|set| mask(|at| holds(set, at)));
        let places = (0..BLOCK).filter(|at| find.mask >> at & 1 == 1);
        (high, masks, places.map(|at| 1000 + at).collect())
    }

    proptest! {
        #[test]
        fn every_kernel_finds_what_one_finds_byte_by_byte(
            members: [u8; 128], block: [u8; 64], flip in prop::sample::select(vec![0, 0x80]),
            mask: u64, sparse: u64,
        ) {
            let sets = &ByteSets::new(&members);
            for mask in [mask, mask & sparse, mask | sparse, 0, u64::MAX] {
                for simd in Simd::available() {
                    let find = FindAll { block: &block, flip, sets, mask };
                    let expected = found_one_by_one(&members, &find);
                    prop_assert_eq!(simd.run(find), expected, "{}", simd.name());
                }
            }
        }
    }
}
