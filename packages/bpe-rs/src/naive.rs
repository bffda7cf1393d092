//! Training and encoding as the definitions say, for the tests to compare with.

use std::collections::BTreeMap;

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

/// The merges of `texts`, counting all pairs anew for each of them.
pub(crate) fn merges(texts: &[&str], special_tokens: &[&str], limit: usize) -> Vec<Merge> {
    let mut words: BTreeMap<Vec<Token>, u64> = BTreeMap::new();
    let segments = texts.iter().flat_map(|text| split(text, special_tokens));
    for (text, _) in segments.filter(|(_, is_special)| !is_special) {
        for pretoken in pretokenize(text) {
            *words.entry(bytes(pretoken)).or_default() += 1;
        }
    }
    let mut merges = Vec::new();
    while merges.len() < limit
        && let Some(pair) = most_frequent(&words)
    {
        let merged = words
            .into_iter()
            .map(|(word, count)| (merge_all(&word, &pair), count));
        words = merged.collect();
        merges.push(pair);
    }
    merges
}

fn bytes(pretoken: &str) -> Vec<Token> {
    pretoken.bytes().map(|byte| vec![byte]).collect()
}

fn most_frequent(words: &BTreeMap<Vec<Token>, u64>) -> Option<Merge> {
    let mut pairs: BTreeMap<Merge, u64> = BTreeMap::new();
    for (word, count) in words {
        for pair in word.windows(2) {
            *pairs.entry((pair[0].clone(), pair[1].clone())).or_default() += count;
        }
    }
    pairs
        .into_iter()
        .max_by_key(|(pair, count)| (*count, pair.clone()))
        .map(|(pair, _)| pair)
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
    let mut word = bytes(pretoken);
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
