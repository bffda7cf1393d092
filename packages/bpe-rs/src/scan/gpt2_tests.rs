//! Property: every kind of instructions finds the pretokens that `pretokenize`, the definition, finds.

use std::convert::Infallible;

use proptest::prelude::*;

use super::Simd;
use super::gpt2::gpt2_ends_with;
use super::kernel::BLOCK;
use crate::pretokenize::pretokenize;

/// At least one of each class, of each length in UTF-8, and all that contractions are made of.
const REPRESENTATIVES: &str =
    "aéß中\u{1d4b3}1½٣!€🤗\u{301}_ \n\r\t\u{85}\u{a0}\u{2028}\u{3000}\0\u{1c}'sdmtlver";

/// One of each class and length: what is enough of them for all triples, unoptimized.
const FEW: &str = "aéß中\u{1d4b3}1½!€🤗 \n\u{85}\u{3000}'";

fn ends(simd: Simd, text: &str) -> Vec<usize> {
    let mut all = Vec::new();
    let Ok(()) = gpt2_ends_with(simd, text, &mut |start, ends: &[usize]| {
        assert_eq!(start, all.last().copied().unwrap_or(0));
        all.extend_from_slice(ends);
        Ok::<(), Infallible>(())
    });
    all
}

fn assert_cut_as_defined(text: &str) {
    let mut end = 0;
    let lengths = pretokenize(text).map(str::len);
    let expected: Vec<usize> = lengths
        .map(|length| {
            end += length;
            end
        })
        .collect();
    for simd in Simd::available() {
        let ends = ends(simd, text);
        if ends != expected {
            let same = ends.iter().zip(&expected).take_while(|(a, b)| a == b);
            let at = same.last().map_or(0, |(end, _)| *end);
            let near: String = text[at..].chars().take(100).collect();
            panic!(
                "{} differs from the definition after byte {at}, at {near:?}",
                simd.name()
            );
        }
    }
}

/// Each of `texts` from byte `offset` of a block on, with `filler` before and behind, one by one and
/// one after the other.
fn assert_cut_as_defined_at(offset: usize, filler: &str, texts: &[String]) {
    let mut all = String::new();
    for text in texts {
        while all.len() % BLOCK != offset {
            all.push_str(filler);
        }
        all.push_str(text);
    }
    assert_cut_as_defined(&all);
}

fn tuples(alphabet: &str, length: usize) -> Vec<String> {
    let mut tuples = vec![String::new()];
    for _ in 0..length {
        let longer = |tuple: &String| {
            alphabet
                .chars()
                .map(move |c| format!("{tuple}{c}"))
                .collect()
        };
        tuples = tuples
            .iter()
            .flat_map(|tuple| -> Vec<String> { longer(tuple) })
            .collect();
    }
    tuples
}

#[test]
fn pairs_and_triples_are_cut_as_defined_at_every_place_near_the_edge_of_a_block() {
    let triples = tuples(
        if cfg!(debug_assertions) {
            FEW
        } else {
            REPRESENTATIVES
        },
        3,
    );
    let pairs = tuples(REPRESENTATIVES, 2);
    for offset in (BLOCK - 13..BLOCK).chain(0..2) {
        for filler in ["x", " ", "'"] {
            assert_cut_as_defined_at(offset, filler, &pairs);
        }
        assert_cut_as_defined_at(offset, "x", &triples);
    }
}

#[test]
fn texts_that_end_near_the_edge_of_a_block_are_cut_as_defined() {
    for tuple in (0..3).flat_map(|length| tuples(REPRESENTATIVES, length)) {
        for length in (0..2).chain(BLOCK - 9..BLOCK + 2) {
            assert_cut_as_defined(&("x".repeat(length) + &tuple));
        }
    }
}

#[test]
fn white_space_of_every_width_is_cut_as_defined_across_the_edge_of_a_block() {
    for white in [
        " ",
        "\n",
        "\u{a0}",
        "\u{3000}",
        "\u{3000} ",
        " \u{85}",
        "\n\u{2028}",
    ] {
        for count in 1..BLOCK + 8 {
            for after in ["", "a", "1", ".", "中", "'s"] {
                for before in [1, 2, BLOCK - 3] {
                    let text = "x".repeat(before) + &white.repeat(count) + after;
                    assert_cut_as_defined(&text);
                }
            }
        }
    }
}

#[test]
fn contractions_are_cut_as_defined_across_the_edge_of_a_block() {
    let before = [
        "a", "1", "'", ".", " ", "\n", "  ", "\u{3000}", "ll", "'ll", "é", "中",
    ];
    let contractions = [
        "'s", "'d", "'m", "'t", "'ll", "'ve", "'re", "'l", "'v", "'r", "'S", "'é", "''",
    ];
    let after = ["a", "1", "'", " ", "\n ", "'s", "'ll", ".", "é"];
    let mut texts = Vec::new();
    for (before, contraction) in before.iter().flat_map(|b| contractions.map(|c| (b, c))) {
        texts.extend(after.map(|after| format!("{before}{contraction}{after}")));
    }
    for offset in BLOCK - 12..BLOCK {
        assert_cut_as_defined_at(offset, "x", &texts);
        assert_cut_as_defined_at(offset, ".", &texts);
    }
}

#[test]
fn every_code_point_beside_every_class_is_cut_as_defined() {
    // Unoptimized only where most scripts and symbols are; all of them with `cargo test --release`.
    let some = ('\0'..='\u{2fff}').chain('\u{e000}'..='\u{1ffff}');
    let every = if cfg!(debug_assertions) {
        String::from_iter(some)
    } else {
        String::from_iter('\0'..=char::MAX)
    };
    for neighbour in ["a", "1", "!", " ", "\u{3000}"] {
        let mut text = String::new();
        for character in every.chars() {
            text.push(character);
            text.push_str(neighbour);
        }
        assert_cut_as_defined(&text);
    }
}

#[test]
fn batches_end_at_the_first_error() {
    let text = "a b c ".repeat(1000);
    for simd in Simd::available() {
        let mut calls = 0;
        let ended = gpt2_ends_with(simd, &text, &mut |_, _: &[usize]| {
            calls += 1;
            if calls == 3 { Err("enough") } else { Ok(()) }
        });
        assert_eq!((ended, calls), (Err("enough"), 3));
    }
}

#[test]
fn an_empty_text_has_no_batches() {
    for simd in Simd::available() {
        let taken = gpt2_ends_with(simd, "", &mut |_, _: &[usize]| Err(()));
        assert_eq!(taken, Ok(()));
    }
}

fn representatives(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let alphabet: Vec<char> = REPRESENTATIVES.chars().collect();
    prop::collection::vec(prop::sample::select(alphabet), length).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn random_unicode_is_cut_as_defined(text in prop::collection::vec(any::<char>(), 0..300)) {
        assert_cut_as_defined(&String::from_iter(text));
    }

    #[test]
    fn random_mixtures_of_classes_are_cut_as_defined(text in representatives(0..300)) {
        assert_cut_as_defined(&text);
    }

    #[test]
    fn random_words_are_cut_as_defined(text in "([a-z]{0,9}(  ?|\n|'s|'ll|[.,!] |é|中文|\u{3000}|[0-9]{0,3})){0,60}") {
        assert_cut_as_defined(&text);
    }
}

#[test]
fn an_endless_pretoken_can_be_given_up() {
    let text = "a".repeat(8 << 20);
    let mut calls = 0;
    let cut = gpt2_ends_with(Simd::detect(), &text, &mut |start, ends: &[usize]| {
        calls += 1;
        assert_eq!((start, ends.len()), (0, 0));
        if calls < 3 { Ok(()) } else { Err(()) }
    });
    assert_eq!((cut, calls), (Err(()), 3));
}
