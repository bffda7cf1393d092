//! BPE-dropout: a text's ids with merges left out at random, so that a model learns many spellings
//! of one text.
//!
//! Provilkov et al. 2020, "BPE-Dropout: Simple and Effective Subword Regularization", algorithm 1
//! (<https://arxiv.org/abs/1910.13267>): before each merge, every merge that is possible is dropped
//! with probability p; of those that remain the one of the lowest rank is done, the leftmost of
//! several; where none remains, the pretoken is finished. Later steps draw anew.
//!
//! To draw in the order of ranks and places, and only until one remains, chooses the same: the other
//! draws would change nothing. So a pretoken of n bytes takes n log n / (1 - p) steps.

use super::word::WordMerger;
use super::{BpeEncoder, SpecialIds, ids_of};
use crate::error::DropoutError;
use crate::special::Segment;

/// Which merges are left out: a probability, and the state of a generator of random numbers.
///
/// The draws are SplitMix64's, so that the same texts, probability and seed give the same ids on
/// every machine.
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f64,
    random: SplitMix64,
}

impl Dropout {
    /// Leaves each possible merge of each step out with probability `p`: at 0 none is, at 1 all are.
    ///
    /// # Errors
    ///
    /// [`DropoutError::Probability`] if `p` is not from 0 to 1.
    pub fn new(p: f64, seed: u64) -> Result<Self, DropoutError> {
        if (0.0..=1.0).contains(&p) {
            let random = SplitMix64(seed);
            Ok(Self { p, random })
        } else {
            Err(DropoutError::Probability { p })
        }
    }

    fn drops(&mut self) -> bool {
        self.random.next_unit() < self.p
    }
}

impl BpeEncoder {
    /// Encodes a text with merges left out at random; those of `special` are recognised as ever.
    ///
    /// One generator may be passed on from text to text, for other draws in each.
    ///
    /// # Errors
    ///
    /// [`DropoutError::Pattern`] as of [`BpeEncoder::encode`]; [`DropoutError::TooLong`] for a
    /// pretoken of 4 GiB.
    pub fn encode_dropout(
        &self,
        text: &str,
        special: &SpecialIds,
        dropout: &mut Dropout,
    ) -> Result<Vec<u32>, DropoutError> {
        let (mut token_ids, mut merger) = (ids_of(text.len()), WordMerger::default());
        for segment in special.finder.split(text) {
            match segment {
                Segment::Special(index) => token_ids.push(special.ids[index]),
                Segment::Text(text) => self.pattern.ends(text, &mut |mut start, ends| {
                    for &end in ends {
                        let pretoken = &text.as_bytes()[start..end];
                        if u32::try_from(pretoken.len()).is_err() {
                            let bytes = pretoken.len();
                            return Err(DropoutError::TooLong { bytes });
                        }
                        let tokens =
                            merger.merge_with_dropout(pretoken, &self.merges, || dropout.drops());
                        token_ids.extend(tokens.map(|(_, token_id)| token_id));
                        start = end;
                    }
                    Ok(())
                })?,
            }
        }
        token_ids.shrink_to_fit();
        Ok(token_ids)
    }
}

/// A generator of random numbers in a few lines: Steele, Lea and Flood 2014, "Fast Splittable
/// Pseudorandom Number Generators", figure 16 (<https://doi.org/10.1145/2660193.2660195>), with the
/// constants of its public-domain C version.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to below 1: the high 53 bits, as many as a float holds exactly.
    fn next_unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{any_merges, vocabulary};
    use super::*;
    use crate::naive;

    /// The paper's algorithm, word for word but for the order of draws.
    fn naive_dropout(text: &str, merges: &[naive::Merge], dropout: &mut Dropout) -> Vec<Vec<u8>> {
        let mut tokens: Vec<Vec<u8>> = text.bytes().map(|byte| vec![byte]).collect();
        loop {
            let rank = |at: usize| {
                let is_pair =
                    |(left, right): &naive::Merge| [left, right] == [&tokens[at], &tokens[at + 1]];
                merges.iter().position(is_pair)
            };
            let places = 0..tokens.len().saturating_sub(1);
            let mut possible: Vec<_> = places.filter_map(|at| Some((rank(at)?, at))).collect();
            possible.sort_unstable();
            let Some(&(_, at)) = possible.iter().find(|_| !dropout.drops()) else {
                return tokens;
            };
            let right = tokens.remove(at + 1);
            tokens[at].extend(right);
        }
    }

    proptest! {
        #[test]
        fn ids_are_those_of_the_definition(
            merges in any_merges(), text in "[abc ]{0,40}[abc]{0,90}", tenths in 0..=10_u8, seed: u64
        ) {
            let tokens = vocabulary(&merges);
            let encoder = BpeEncoder::new((0..).zip(tokens.clone()), &merges, &[]).unwrap();
            let dropout = Dropout::new(f64::from(tenths) / 10.0, seed).unwrap();
            let special = encoder.all_special();
            let ours = encoder.encode_dropout(&text, special, &mut dropout.clone()).unwrap();
            let mut theirs = dropout;
            let expected: Vec<Vec<u8>> = crate::pretokenize(&text)
                .flat_map(|pretoken| naive_dropout(pretoken, &merges, &mut theirs))
                .collect();
            let ours_bytes: Vec<_> = ours.iter().map(|&id| tokens[id as usize].clone()).collect();
            prop_assert_eq!(ours_bytes, expected);
            match tenths {
                0 => prop_assert_eq!(ours, encoder.encode(&text).unwrap()),
                10 => prop_assert_eq!(ours.len(), text.len()),
                _ => (),
            }
        }
    }

    #[test]
    fn draws_are_those_that_are_published() {
        // Of Rosetta Code, "Pseudo-random numbers/Splitmix64", seed 1234567.
        let mut random = SplitMix64(1_234_567);
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(published.map(|_| random.next()), published);
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            random.next_unit(),
            (published[0] >> 11) as f64 * 2_f64.powi(-53)
        );
    }

    #[test]
    fn what_is_no_probability_is_an_error() {
        for p in [
            -f64::MIN_POSITIVE,
            1.0 + f64::EPSILON,
            f64::NAN,
            f64::INFINITY,
        ] {
            let error = Dropout::new(p, 0).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("p must be a probability from 0 to 1, got {p}")
            );
        }
    }

    #[test]
    fn special_tokens_are_never_taken_apart() {
        let special = [("<|a|>".to_owned(), 300)];
        let vocab = (0..).zip((0..=u8::MAX).map(|byte| vec![byte]));
        let encoder = BpeEncoder::new(vocab, &[] as &[naive::Merge], &special).unwrap();
        let mut dropout = Dropout::new(1.0, 0).unwrap();
        let token_ids = encoder.encode_dropout("b<|a|>b", encoder.all_special(), &mut dropout);
        assert_eq!(token_ids.unwrap(), [98, 300, 98]);
    }
}
