//! Properties, against the definitions; and the limits.

use proptest::prelude::*;

use super::*;
use crate::naive;
use crate::pretokenize::pretokenize;

const SPECIAL: [&str; 3] = ["<|>", "<|><|>", "b\na"];

/// An encoder whose merges are learned from `corpus`, with its merges.
fn learned(corpus: &str) -> (BpeEncoder, Vec<naive::Merge>) {
    let merges = naive::merges(&[corpus], &SPECIAL, 20);
    let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
    let merged = merges
        .iter()
        .map(|(left, right)| [&left[..], right].concat());
    let special: Vec<_> = SPECIAL.map(str::to_owned).into_iter().zip(1000..).collect();
    let vocab = (0..).zip(bytes.chain(merged));
    (BpeEncoder::new(vocab, &merges, &special).unwrap(), merges)
}

proptest! {
    #[test]
    fn ids_are_those_of_the_definition(
        corpus in "[ab <|>'é\n]{0,60}", text in "[ab <|>'é\n]{0,60}"
    ) {
        let (encoder, merges) = learned(&corpus);
        let id = |token: Vec<u8>| match token.as_slice() {
            [byte] => u32::from(*byte),
            _ => 256 + merges.iter().position(|(l, r)| [&l[..], r].concat() == token).unwrap() as u32,
        };
        let mut theirs = Vec::new();
        for (piece, is_special) in naive::split(&text, &SPECIAL) {
            match SPECIAL.iter().position(|token| is_special && *token == piece) {
                Some(index) => theirs.push(1000 + index as u32),
                None => pretokenize(piece)
                    .for_each(|pretoken| theirs.extend(naive::tokens(pretoken, &merges).into_iter().map(id))),
            }
        }
        prop_assert_eq!(encoder.encode(&text).unwrap(), theirs.clone());
        prop_assert_eq!(encoder.encode(&text).unwrap(), theirs, "with the cache filled");
    }
}

/// An encoder with special tokens, that forgets soon, and one that does not.
fn forgetful_and_not(pattern: &str, cache_bytes: usize) -> [BpeEncoder; 2] {
    [cache_bytes, CACHE_BYTES].map(|bytes| {
        let (encoder, _) = learned("ab abab <|> bb aab");
        let pattern = Pattern::new(pattern).unwrap();
        encoder.pattern(pattern).cache_bytes(bytes)
    })
}

proptest! {
    #[test]
    fn ids_are_the_same_however_they_are_asked_for(
        texts in prop::collection::vec("[ab <|>'é\n1]{0,40}", 0..5),
        known in any::<bool>(), num_threads in 1..4_usize
    ) {
        let pattern = if known { crate::GPT2_PATTERN } else { r"\w+|\s" };
        let [forgetful, encoder] = forgetful_and_not(pattern, 0);
        let special = encoder.all_special();
        let each: Vec<Vec<u32>> = texts.iter().map(|text| encoder.encode(text).unwrap()).collect();
        for (text, token_ids) in texts.iter().zip(&each) {
            prop_assert_eq!(&forgetful.encode(text).unwrap(), token_ids);
            prop_assert_eq!(encoder.count_with(text, special).unwrap(), token_ids.len());
            let (same, ends) = encoder.encode_with_offsets(text, special).unwrap();
            prop_assert_eq!(&same, token_ids);
            prop_assert_eq!(ends.len(), token_ids.len());
            let starts = [0].into_iter().chain(ends.iter().copied());
            for ((start, &end), &id) in starts.zip(&ends).zip(token_ids) {
                let bytes = &text.as_bytes()[start..end];
                match SPECIAL.get((id as usize).wrapping_sub(1000)) {
                    Some(token) => prop_assert_eq!(bytes, token.as_bytes()),
                    None => prop_assert_eq!(encoder.lengths[&id], bytes.len()),
                }
            }
            prop_assert_eq!(ends.last().copied().unwrap_or(0), text.len());
        }
        let slices: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut ends = Vec::new();
        for token_ids in &each {
            ends.push(ends.last().unwrap_or(&0) + token_ids.len());
        }
        let expected = (each.concat(), ends);
        prop_assert_eq!(&encoder.encode_here(&slices, special).unwrap(), &expected);
        prop_assert_eq!(&forgetful.encode_on(num_threads, &slices, special).unwrap(), &expected);
    }
}

#[test]
fn a_cache_that_is_full_again_and_again_changes_nothing_and_stays_small() {
    let [forgetful, encoder] = forgetful_and_not(crate::GPT2_PATTERN, 40_000);
    let numbers = (0..20_000).map(|n| format!("ab{} {}\n", "abb".repeat(n % 20), n % 7000));
    let text: String = numbers.collect();
    for _ in 0..2 {
        assert_eq!(
            forgetful.encode(&text).unwrap(),
            encoder.encode(&text).unwrap()
        );
    }
    for (encoder, most) in [(forgetful, 100_000), (encoder, 2 << 20)] {
        let bytes = encoder.lock_caches()[0].memory_bytes();
        assert!((1000..most).contains(&bytes), "{bytes}");
    }
}

#[test]
fn new_pretokens_of_every_length_in_one_batch_are_merged_as_the_definition_says() {
    let merges = naive::merges(&["ab abab bb aab abb baba"], &[], 12);
    let tokens = samples::vocabulary(&merges);
    // Letters by the bits of a number: hardly two are alike.
    let letters =
        |length: usize| (0..length).map(move |at| ["a", "b"][(length * 7919) >> (at % 13) & 1]);
    let pretokens: Vec<String> = (1..=140).map(|length| letters(length).collect()).collect();
    let text = [pretokens.join("\n"), pretokens.join("\n1")].join("\n");
    let expected: Vec<Vec<u8>> = pretokenize(&text)
        .flat_map(|pretoken| naive::tokens(pretoken, &merges))
        .collect();
    // Ids from 2^21 on are merged one pretoken at a time.
    for first_id in [0, 1 << 21] {
        let vocab = (first_id..).zip(tokens.iter().cloned());
        for cache_bytes in [0, CACHE_BYTES] {
            let encoder = BpeEncoder::new(vocab.clone(), &merges, &[]).unwrap();
            let encoder = encoder.cache_bytes(cache_bytes);
            for _ in 0..2 {
                let ids = encoder.encode(&text).unwrap();
                let bytes = ids.iter().map(|id| &tokens[(id - first_id) as usize]);
                assert!(bytes.eq(&expected), "{first_id}, {cache_bytes}");
            }
        }
    }
}

#[test]
fn a_large_text_is_the_same_on_many_threads() {
    let [_, encoder] = forgetful_and_not(crate::GPT2_PATTERN, 0);
    let text = "ab abab<|>é a  b\n1".repeat(40_000);
    let (alone, special) = (encoder.encode(&text).unwrap(), encoder.all_special());
    let (all, ends) = encoder
        .encode_batch(&[&text, "", "ab"], special, 3)
        .unwrap();
    assert_eq!(all[..alone.len()], alone);
    assert_eq!(ends, [alone.len(), alone.len(), all.len()]);
}

#[test]
fn an_engine_that_gives_up_is_an_error_wherever_it_happens() {
    let [_, encoder] = forgetful_and_not(r"(a*)*\1b|\d", 0);
    let (text, special) = ("a".repeat(30), encoder.all_special().clone());
    assert!(encoder.encode(&text).is_err());
    assert!(encoder.count_with(&text, &special).is_err());
    assert!(encoder.encode_with_offsets(&text, &special).is_err());
    let texts = [text.as_str(), "1"];
    assert!(encoder.encode_here::<u32>(&texts, &special).is_err());
    assert!(encoder.encode_on::<u32>(2, &texts, &special).is_err());
    assert_eq!(encoder.encode("1").unwrap(), [u32::from(b'1')]);
}

#[test]
fn only_chosen_special_tokens_are_recognised() {
    let (encoder, _) = learned("");
    let chosen = encoder.special(&["<|>"]).unwrap();
    assert_eq!(encoder.encode("<|><|>").unwrap(), [1001]);
    assert_eq!(
        encoder.encode_with("<|><|>", &chosen).unwrap(),
        [1000, 1000]
    );
    let error = encoder.special(&["<|", "<|>"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"<|\" is not one of the encoder's 3 special tokens"
    );
}
