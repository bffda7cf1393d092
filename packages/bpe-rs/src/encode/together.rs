//! Many short pretokens to token ids at once.
//!
//! Merging one pretoken is a chain: where the lowest rank is decides which two pairs are looked up, and
//! what these say decides where the lowest rank is next. The processor waits for each link. So sixteen
//! pretokens are merged side by side, one merge of each in turn, and its waits overlap. Ranks lie in
//! rows, a row for each place in the pretokens: the lowest ranks of all sixteen are found with a
//! minimum of two vectors for each row.
//!
//! Beside [`WordMerger`](super::word::WordMerger), a third of the time for web text's new pretokens.

use super::merges::Merges;
use super::perfect::{LIMIT, NO_RANK, PairRanks};
use crate::scan::{Kernel, Scan, Simd};

/// Pretokens side by side. With 8 they take a fifth longer.
const LANES: usize = 16;
/// Bits for a place.
const PLACE_BITS: u32 = 6;
const ROWS: usize = 1 << PLACE_BITS;
/// Bytes of a pretoken, at most: there is a place before and one behind them.
pub(super) const MOST_BYTES: usize = ROWS - 2;

/// Merges many pretokens at a time.
#[derive(Debug)]
pub(super) struct ManyMerger {
    /// For each place the token that begins there, if one does.
    tokens: [[u32; LANES]; ROWS],
    /// For each place where a token begins that merges with the next one, rank and place as one number, so
    /// that the leftmost of equal ranks is the lowest. [`NO_RANK`] elsewhere, and in lanes that are done.
    ranks: [[u32; LANES]; ROWS],
    /// Bit `n` of a lane: whether a token begins at place `n`. One is before the pretoken, one behind.
    starts: [u64; LANES],
    /// Which pretoken a lane has.
    numbers: [usize; LANES],
}

impl Default for ManyMerger {
    fn default() -> Self {
        Self {
            tokens: [[0; LANES]; ROWS],
            ranks: [[NO_RANK; LANES]; ROWS],
            starts: [0; LANES],
            numbers: [0; LANES],
        }
    }
}

impl ManyMerger {
    /// Calls `done` with the number and the tokens of each pretoken, in any order. Each has 1 to
    /// [`MOST_BYTES`] bytes.
    pub(super) fn merge<'t>(
        &mut self,
        pretokens: impl Iterator<Item = &'t [u8]> + Clone,
        merges: &Merges,
        pairs: &PairRanks,
        done: impl FnMut(usize, &[u32]),
    ) {
        // Vectors of 64 bytes were slower, 150 in place of 90 ns a pretoken: the next look at all ranks waits
        // until the last of them are written.
        Simd::detect_at_most_32_bytes().run(MergeAll {
            merger: self,
            pretokens,
            merges,
            pairs,
            done,
        });
    }
}

struct MergeAll<'a, P, D> {
    merger: &'a mut ManyMerger,
    pretokens: P,
    merges: &'a Merges,
    pairs: &'a PairRanks,
    done: D,
}

impl<'t, P: Iterator<Item = &'t [u8]> + Clone, D: FnMut(usize, &[u32])> Scan
    for MergeAll<'_, P, D>
{
    type Output = ();

    #[inline(always)]
    fn scan(self, _: impl Kernel) {
        let Self {
            merger,
            pretokens,
            merges,
            pairs,
            mut done,
        } = self;
        let longest = pretokens.clone().map(<[u8]>::len).max().unwrap_or(0);
        let mut pretokens = pretokens.enumerate();
        let mut busy: u32 = 0;
        for (lane, (number, pretoken)) in (0..LANES).zip(&mut pretokens) {
            merger.begin(lane, number, pretoken, merges);
            busy |= 1 << lane;
        }
        while busy != 0 {
            let lowest = merger.lowest(longest);
            let mut turns = busy;
            while turns != 0 {
                let lane = turns.trailing_zeros() as usize % LANES;
                turns &= turns - 1;
                if lowest[lane] != NO_RANK {
                    merger.join(lane, lowest[lane], merges, pairs);
                    continue;
                }
                merger.end(lane, &mut done);
                match pretokens.next() {
                    Some((number, pretoken)) => merger.begin(lane, number, pretoken, merges),
                    None => busy &= !(1 << lane),
                }
            }
        }
    }
}

impl ManyMerger {
    /// A pretoken begins as its bytes.
    #[inline(always)]
    fn begin(&mut self, lane: usize, number: usize, pretoken: &[u8], merges: &Merges) {
        debug_assert!((1..=MOST_BYTES).contains(&pretoken.len()));
        self.numbers[lane] = number;
        self.starts[lane] = u64::MAX >> (MOST_BYTES - pretoken.len());
        self.tokens[0][lane] = LIMIT;
        self.tokens[(pretoken.len() + 1) % ROWS][lane] = LIMIT;
        let mut before = None;
        for (place, &byte) in (1..ROWS).zip(pretoken) {
            self.tokens[place][lane] = merges.of_byte(byte);
            if let Some(before) = before {
                self.ranks[place - 1][lane] = ranked(merges.rank_of_bytes(before, byte), place - 1);
            }
            before = Some(byte);
        }
    }

    /// The lowest rank of each lane, with its place.
    #[inline(always)]
    fn lowest(&self, longest: usize) -> [u32; LANES] {
        let mut lowest = [NO_RANK; LANES];
        for row in &self.ranks[..longest] {
            for (lowest, &rank) in lowest.iter_mut().zip(row) {
                *lowest = rank.min(*lowest);
            }
        }
        lowest
    }

    /// Joins the token at the place of `lowest` to the next one.
    #[inline(always)]
    fn join(&mut self, lane: usize, lowest: u32, merges: &Merges, pairs: &PairRanks) {
        let place = lowest as usize % ROWS;
        let token_id = merges.of_rank(lowest >> PLACE_BITS);
        let starts = self.starts[lane];
        let behind = starts & (!1 << place);
        let gone = behind.trailing_zeros() as usize % ROWS;
        let right = (behind & behind.wrapping_sub(1)).trailing_zeros() as usize % ROWS;
        let left = (starts & ((1 << place) - 1)).leading_zeros() as usize;
        let left = (ROWS - 1).wrapping_sub(left) % ROWS;
        self.starts[lane] = starts & !(1 << gone);
        self.ranks[gone][lane] = NO_RANK;
        self.tokens[place][lane] = token_id;
        // At an end of the pretoken stands what merges with nothing: no need to ask.
        let with_right = pairs.get(token_id, self.tokens[right][lane]);
        let with_left = pairs.get(self.tokens[left][lane], token_id);
        self.ranks[place][lane] = ranked(with_right, place);
        self.ranks[left][lane] = ranked(with_left, left);
    }

    /// Hands over the tokens of a lane.
    #[inline(always)]
    fn end(&self, lane: usize, done: &mut impl FnMut(usize, &[u32])) {
        let mut token_ids = [0; ROWS];
        let mut count = 0;
        // Without the place before; and the one behind is met last.
        let mut starts = self.starts[lane] & !1;
        while starts & starts.wrapping_sub(1) != 0 {
            token_ids[count % ROWS] = self.tokens[starts.trailing_zeros() as usize % ROWS][lane];
            count += 1;
            starts &= starts - 1;
        }
        done(self.numbers[lane], &token_ids[..count]);
    }
}

/// Rank and place as one number.
#[inline(always)]
fn ranked(rank: u32, place: usize) -> u32 {
    match rank {
        NO_RANK => NO_RANK,
        _ => rank << PLACE_BITS | place as u32,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merges::ids_by_bytes;
    use super::super::samples::{any_merges, vocabulary};
    use super::*;
    use crate::naive;

    proptest! {
        #[test]
        fn tokens_of_many_are_those_of_the_definition(
            merges in any_merges(), pretokens in prop::collection::vec("[abc]{1,62}", 0..60)
        ) {
            let tokens = vocabulary(&merges);
            let ids = ids_by_bytes((0..).zip(tokens.clone())).unwrap();
            let ours = Merges::new(&merges, &ids).unwrap();
            let pairs = ours.pair_ranks().unwrap();
            let theirs: Vec<_> = pretokens.iter().map(|text| naive::tokens(text, &merges)).collect();
            let pretokens = pretokens.iter().map(String::as_bytes);
            for simd in Simd::available() {
                // What one call leaves behind must not disturb the next.
                let mut merger = ManyMerger::default();
                for _ in 0..2 {
                    let mut found = vec![Vec::new(); theirs.len()];
                    simd.run(MergeAll {
                        merger: &mut merger,
                        pretokens: pretokens.clone(),
                        merges: &ours,
                        pairs,
                        done: |number: usize, ids: &[u32]| {
                            found[number].extend(ids.iter().map(|&id| tokens[id as usize].clone()));
                        },
                    });
                    prop_assert_eq!(&found, &theirs);
                }
            }
        }
    }
}
