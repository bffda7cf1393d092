//! Training and encoding as the definitions say, for the tests to compare with.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::merge::{MergeOptions, TieBreak};
use crate::pretokenize::pretokenize;

type Token = Vec<u8>;
pub(crate) type Merge = (Token, Token);

/// Cuts at special tokens by looking for each of them at every byte.
pub(crate) fn split<'a>(text: &'a str, special_tokens: &[&'a str]) -> Vec<(&'a str, bool)> {
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let here = |token: &&&str| text.as_bytes()[at..].starts_with(token.as_bytes());
        match special_tokens
            .iter()
            .filter(here)
            .max_by_key(|token| token.len())
        {
            Some(token) => {
                pieces.extend([(&text[start..at], false), (token, true)]);
                at += token.len();
                start = at;
            }
            None => at += 1,
        }
    }
    pieces.push((&text[start..], false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

/// Pretokens as tokens, with their counts.
type Words = BTreeMap<Vec<Token>, u64>;

/// The merges of `texts`, counting all pairs anew for each of them.
pub(crate) fn merges(texts: &[&str], special_tokens: &[&str], limit: usize) -> Vec<Merge> {
    let mut pretokens = Vec::new();
    for (text, is_special) in texts.iter().flat_map(|text| split(text, special_tokens)) {
        if !is_special {
            pretokens.extend(pretokenize(text).map(|pretoken| (pretoken.as_bytes().to_vec(), 1)));
        }
    }
    merges_of(&pretokens, &[], &MergeOptions::new(limit))
}

/// The merges of counted pretokens, beginning with those that are known.
pub(crate) fn merges_of(
    pretokens: &[(Vec<u8>, u64)],
    first: &[Merge],
    options: &MergeOptions,
) -> Vec<Merge> {
    let mut words = Words::new();
    for (pretoken, count) in pretokens {
        *words.entry(bytes(pretoken)).or_default() += count;
    }
    let mut merges = Vec::new();
    while merges.len() < options.max_merges {
        let given = first.get(merges.len()).cloned();
        let Some(pair) = given.or_else(|| next(&words, &merges, options)) else {
            break;
        };
        let merged = words
            .into_iter()
            .map(|(word, count)| (merge_all(&word, &pair), count));
        words = merged.collect();
        merges.push(pair);
    }
    merges
}

fn bytes(pretoken: &[u8]) -> Vec<Token> {
    pretoken.iter().map(|&byte| vec![byte]).collect()
}

/// The most frequent pair that may be merged.
fn next(words: &Words, merges: &[Merge], options: &MergeOptions) -> Option<Merge> {
    let mut pairs: BTreeMap<Merge, u64> = BTreeMap::new();
    for (word, count) in words {
        for pair in word.windows(2) {
            *pairs.entry((pair[0].clone(), pair[1].clone())).or_default() += count;
        }
    }
    pairs.retain(|(left, right), count| {
        *count >= options.min_frequency
            && left.len() + right.len() <= options.max_token_bytes.unwrap_or(usize::MAX)
    });
    let pairs = pairs.into_iter();
    let pair = match options.tie_break {
        TieBreak::Bytes => pairs.max_by_key(|(pair, count)| (*count, pair.clone())),
        TieBreak::HuggingFace => {
            let ids = hugging_face_ids(merges);
            pairs.max_by_key(|((left, right), count)| (*count, Reverse((ids[left], ids[right]))))
        }
    };
    pair.map(|(pair, _)| pair)
}

/// The alphabet sorted by what GPT-2 writes for a byte, then the merges in order.
fn hugging_face_ids(merges: &[Merge]) -> BTreeMap<Token, usize> {
    let is_printed = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut alphabet = Vec::new();
    let mut others = 256..;
    for byte in 0..=u8::MAX {
        let code_point = if is_printed(byte) {
            u32::from(byte)
        } else {
            others.next().unwrap()
        };
        alphabet.push((code_point, vec![byte]));
    }
    alphabet.sort();
    let merged = merges
        .iter()
        .map(|(left, right)| [&left[..], right].concat());
    let tokens = alphabet.into_iter().map(|(_, token)| token).chain(merged);
    tokens.zip(0..).collect()
}

fn merge_all(word: &[Token], (left, right): &Merge) -> Vec<Token> {
    let (mut merged, mut at) = (Vec::new(), 0);
    while at < word.len() {
        if word[at] == *left && word.get(at + 1) == Some(right) {
            merged.push([&left[..], right].concat());
            at += 2;
        } else {
            merged.push(word[at].clone());
            at += 1;
        }
    }
    merged
}

/// The tokens of one pretoken: the lowest rank first, from the left.
pub(crate) fn tokens(pretoken: &str, merges: &[Merge]) -> Vec<Token> {
    let mut word = bytes(pretoken.as_bytes());
    loop {
        let rank = |at: &usize| {
            merges
                .iter()
                .position(|(l, r)| (l, r) == (&word[*at], &word[at + 1]))
        };
        let ranked = (0..word.len().saturating_sub(1)).filter_map(|at| Some((rank(&at)?, at)));
        let Some((_, at)) = ranked.min() else {
            return word;
        };
        let right = word.remove(at + 1);
        word[at].extend(right);
    }
}
