//! Properties against the definition (`naive.rs`), and cases that have gone wrong elsewhere.

use proptest::prelude::*;

use super::*;
use crate::naive;

/// Bytes that the two rules for ties order differently, few enough that pairs repeat.
const ALPHABET: [u8; 6] = [b'a', b'b', b' ', 0xad, 0xc3, 0x00];

type Pretokens = Vec<(Vec<u8>, u64)>;

fn pretokens() -> impl Strategy<Value = Pretokens> {
    let bytes = |letters: usize, len| {
        prop::collection::vec(prop::sample::select(&ALPHABET[..letters]), 0..len)
    };
    // Long ones of two letters: runs, and more places of a pair than are looked at together.
    let pretoken = prop_oneof![5 => bytes(6, 12), 1 => bytes(2, 200)];
    prop::collection::vec((pretoken, 1..6_u64), 0..12)
}

fn options() -> impl Strategy<Value = MergeOptions> {
    let tie_break = prop::sample::select(&[TieBreak::Bytes, TieBreak::HuggingFace]);
    let max_token_bytes = prop::option::of(0..9_usize);
    (0..40_usize, tie_break, 0..4_u64, max_token_bytes).prop_map(
        |(max_merges, tie_break, min_frequency, max_token_bytes)| MergeOptions {
            max_merges,
            tie_break,
            min_frequency,
            max_token_bytes,
        },
    )
}

/// From watching nearly nothing to watching everything, and from sweeping always to never.
fn tuning() -> impl Strategy<Value = Tuning> {
    let share = prop::sample::select(&[1, 2, 8, 1000]);
    (share, prop::sample::select(&[0, 7, 1000])).prop_map(|(share, few)| Tuning { share, few })
}

fn words(pretokens: &[(Vec<u8>, u64)]) -> Words {
    let mut words = Words::new();
    for (pretoken, count) in pretokens {
        words.push(pretoken, *count).unwrap();
    }
    words
}

fn learn_all(pretokens: &[(Vec<u8>, u64)], first: &[Pair], options: &MergeOptions) -> Vec<Pair> {
    learn_merges(words(pretokens), first, options, &Watch::default())
        .unwrap()
        .merges
}

/// Pairs of ids as pairs of bytes.
fn in_bytes(merges: &[Pair]) -> Vec<naive::Merge> {
    let mut tokens: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    let mut pairs = Vec::new();
    for &(left, right) in merges {
        let [left, right] = [left, right].map(|id| tokens[id as usize].clone());
        tokens.push([&left[..], &right].concat());
        pairs.push((left, right));
    }
    pairs
}

fn pair(left: u8, right: u8) -> Pair {
    (u32::from(left), u32::from(right))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn merges_are_those_of_the_definition(
        pretokens in pretokens(), options in options(), tuning in tuning(),
    ) {
        let ours = learn(words(&pretokens), &[], &options, tuning, &Watch::default()).unwrap();
        let theirs = naive::merges_of(&pretokens, &[], &options);
        prop_assert_eq!(in_bytes(&ours.merges), theirs);
    }

    #[test]
    fn merges_of_another_corpus_are_merged_before_new_ones(
        pretokens in pretokens(), other in pretokens(), options in options(), tuning in tuning(),
        num_first in 0..12_usize,
    ) {
        let others = learn_all(&other, &[], &MergeOptions::new(num_first));
        let ours = learn(words(&pretokens), &others, &options, tuning, &Watch::default()).unwrap();
        let theirs = naive::merges_of(&pretokens, &in_bytes(&others), &options);
        prop_assert_eq!(in_bytes(&ours.merges), theirs);
    }

    #[test]
    fn continuing_gives_what_learning_at_once_gives(
        pretokens in pretokens(), options in options(), tuning in tuning(), cut in 0..40_usize,
    ) {
        let whole = learn_all(&pretokens, &[], &options);
        let first = &whole[..cut.min(whole.len())];
        let ours = learn(words(&pretokens), first, &options, tuning, &Watch::default()).unwrap();
        prop_assert_eq!(ours.merges, whole);
    }

    #[test]
    fn the_order_of_pretokens_does_not_matter(pretokens in pretokens(), options in options()) {
        let mut others = pretokens.clone();
        others.reverse();
        prop_assert_eq!(learn_all(&pretokens, &[], &options), learn_all(&others, &[], &options));
    }
}

#[test]
fn counts_beyond_64_bits_are_an_error() {
    let pretokens = [(b"aab".to_vec(), u64::MAX), (b"ab".to_vec(), 1)];
    let options = MergeOptions::new(9);
    let learned = learn_merges(words(&pretokens), &[], &options, &Watch::default());
    assert!(matches!(learned, Err(TrainError::CountOverflow)));
}

#[test]
fn counts_of_up_to_64_bits_are_right() {
    for count in [u64::from(u32::MAX) * 3, 1 << 63, u64::MAX - 1] {
        let pretokens = [(b"xyz".to_vec(), count), (b"ab".to_vec(), count + 1)];
        let merges = learn_all(&pretokens, &[], &MergeOptions::new(9));
        assert_eq!(
            merges,
            [pair(b'a', b'b'), pair(b'y', b'z'), (u32::from(b'x'), 257)]
        );
    }
}

#[test]
fn a_long_run_of_one_letter_is_halved_again_and_again() {
    let bits = 18; // more than one block of places
    let pretokens = [(vec![b'a'; (1 << bits) + 1], 1)];
    let merges = learn_all(&pretokens, &[], &MergeOptions::new(1000));
    let halves = (1..bits).map(|merge| (255 + merge, 255 + merge));
    let mut theirs = vec![pair(b'a', b'a')];
    theirs.extend(halves);
    // The last "a" stands behind a token of all others.
    theirs.push((255 + bits, u32::from(b'a')));
    assert_eq!(merges, theirs);
}

#[test]
fn merges_of_unknown_tokens_are_an_error() {
    let first = [pair(b'a', b'b'), (257, 0)];
    let options = MergeOptions::new(9);
    let error = learn_merges(Words::new(), &first, &options, &Watch::default()).unwrap_err();
    assert!(matches!(
        error,
        TrainError::UnknownToken {
            merge: 1,
            token_id: 257,
            known: 257
        }
    ));
}

#[test]
fn an_interruption_leaves_the_merges_so_far() {
    let watch = Watch::default();
    watch.interrupt();
    let pretokens = [(b"abcd".to_vec(), 1)];
    let first = [pair(b'c', b'd')];
    let learned = learn_merges(words(&pretokens), &first, &MergeOptions::new(9), &watch).unwrap();
    assert!(learned.was_interrupted);
    assert_eq!(learned.merges, first);
}
