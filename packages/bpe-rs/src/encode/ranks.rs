//! The merges behind a list of tokens that is merged by rank, as tiktoken's are.
//!
//! There, of any two neighbours whose bytes together are a token, those that make the token of the
//! lowest rank are merged. Yet each token has one merge: the last two parts that merging its own bytes
//! by rank ends with. Wherever the token comes about in a text, nothing was merged across its ends
//! before, so inside it happened what happens to its bytes alone; it never comes about by another pair.
//!
//! So a token's merge is found by merging its bytes with those of the shorter tokens.

use super::merges::{Merges, ids_by_bytes};
use super::pairs::Merged;
use super::word::WordMerger;
use crate::error::EncoderError;

/// For each of `tokens`, which are in the order of their ranks, how many of its bytes are the left part
/// of the merge that makes it; `None` for a single byte, and for a token that merging does not reach.
///
/// ```
/// let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
/// let tokens: Vec<_> = bytes.chain([b"lo".to_vec(), b"low".to_vec(), b"slow".to_vec()]).collect();
/// assert_eq!(bpe_rs::last_merges(&tokens)?[256..], [Some(1), Some(2), Some(1)]);
/// # Ok::<(), bpe_rs::EncoderError>(())
/// ```
///
/// # Errors
///
/// [`EncoderError::MissingByte`], [`EncoderError::DuplicateToken`] and
/// [`EncoderError::TooManyMerges`], as they say; an id is a place in the list.
pub fn last_merges<T: AsRef<[u8]>>(tokens: &[T]) -> Result<Vec<Option<usize>>, EncoderError> {
    let count = tokens.len();
    let last = u32::try_from(count).map_err(|_| EncoderError::TooManyMerges { count })?;
    let bytes = tokens.iter().map(|token| token.as_ref().to_vec());
    let mut merges = Merges::with_capacity(count, &ids_by_bytes((0..last).zip(bytes))?)?;
    let mut ranked: Vec<(u32, &[u8])> = (0..last).zip(tokens.iter().map(T::as_ref)).collect();
    ranked.sort_by_key(|(_, token)| token.len());
    let (mut left_bytes, mut merger) = (vec![None; count], WordMerger::default());
    for (rank, token) in ranked {
        let mut parts = merger.merge(token, &merges);
        if let (Some((_, left)), Some((middle, right)), None) =
            (parts.next(), parts.next(), parts.next())
        {
            drop(parts);
            left_bytes[rank as usize] = Some(middle);
            let is_new = merges.insert(left, right, token, Merged::new(rank, rank));
            debug_assert_eq!(is_new, Ok(()), "two tokens of the same bytes");
        }
    }
    Ok(left_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All single bytes and `more`, in that order.
    fn ranked(more: &[&str]) -> Vec<Vec<u8>> {
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        bytes
            .chain(more.iter().map(|token| token.as_bytes().to_vec()))
            .collect()
    }

    /// The two parts that merging by rank, as tiktoken does it, ends with.
    fn naive_last_merge(token: &[u8], tokens: &[Vec<u8>]) -> Option<usize> {
        let mut parts: Vec<Vec<u8>> = token.iter().map(|&byte| vec![byte]).collect();
        while parts.len() > 2 {
            let rank = |pair: &[Vec<u8>]| tokens.iter().position(|token| *token == pair.concat());
            let pairs = parts.windows(2).enumerate();
            let (_, at) = pairs
                .filter_map(|(at, pair)| Some((rank(pair)?, at)))
                .min()?;
            let right = parts.remove(at + 1);
            parts[at].extend(right);
        }
        (parts.len() == 2).then(|| parts[0].len())
    }

    proptest! {
        #[test]
        fn last_merges_are_those_of_merging_by_rank(
            more in prop::collection::hash_set("[ab]{2,6}", 0..12)
        ) {
            // In any order: tokens before their parts, too.
            let tokens = ranked(&more.iter().map(String::as_str).collect::<Vec<_>>());
            let expected: Vec<_> =
                tokens.iter().map(|token| naive_last_merge(token, &tokens)).collect();
            prop_assert_eq!(last_merges(&tokens).unwrap(), expected);
        }
    }

    #[test]
    fn a_token_that_merging_does_not_reach_has_none() {
        assert_eq!(
            last_merges(&ranked(&["ab", "abc", "xyz"])).unwrap()[256..],
            [Some(1), Some(2), None]
        );
        // "bc" goes first, and then "a" and "bc" are no "ab".
        assert_eq!(
            last_merges(&ranked(&["bc", "ab", "abcd"])).unwrap()[256..],
            [Some(1), Some(1), None]
        );
    }

    #[test]
    fn a_list_that_is_none_is_an_error() {
        let error = last_merges(&ranked(&["ab", "ab"])).unwrap_err().to_string();
        assert!(
            error.contains("token ids 256 and 257 both stand for b\"ab\""),
            "{error}"
        );
        assert!(
            last_merges(&[b"a"])
                .unwrap_err()
                .to_string()
                .contains("byte 0x00 has no token")
        );
    }

    #[test]
    fn a_long_token_takes_no_quadratic_time() {
        // Each merge looking through all would take hours.
        let powers: Vec<String> = (1..18).map(|power| "a".repeat(1 << power)).collect();
        let tokens = ranked(&powers.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(last_merges(&tokens).unwrap().last(), Some(&Some(1 << 16)));
    }
}
