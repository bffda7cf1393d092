//! A pretoken of any length to token ids, a window at a time.
//!
//! That tokens t1 ... tn are what merging makes of their text can be seen from each two neighbours
//! alone: if merging the text of each two gives these two again, no merge ever crosses a boundary.
//! For the first one that did would join parts of two neighbours, and of what lies within these
//! two, merging the whole text does the same, step by step, as merging them by themselves.
//!
//! So windows may be merged by themselves, if each begins where a token of the window before does,
//! and with the same token. Nearly always it does, if that token is not among the window's last. If
//! not, the window before is made longer, up to the whole: so the work is n log n at worst, and most
//! of it is done in the nearest cache.

use super::merges::Merges;
use super::word::WordMerger;

/// Longer than nearly all tokens, as a window needs several. With 256, and a heap, all took four
/// times as long.
const WINDOW: usize = 48;

/// Appends the tokens of a long pretoken.
pub(super) fn merge_long(
    bytes: &[u8],
    merges: &Merges,
    merger: &mut WordMerger,
    token_ids: &mut Vec<u32>,
) {
    merge_by_windows(bytes, merges, merger, WINDOW, token_ids);
}

/// A part of a pretoken that is merged by itself.
struct Window {
    start: usize,
    size: usize,
    /// The token that the window before has here; None for the first window.
    first: Option<u32>,
    /// How many ids there were when it was begun.
    ids_before: usize,
}

fn merge_by_windows(
    bytes: &[u8],
    merges: &Merges,
    merger: &mut WordMerger,
    size: usize,
    token_ids: &mut Vec<u32>,
) {
    let mut tokens = Vec::new();
    let mut done: Vec<Window> = Vec::new();
    let mut window = Window {
        start: 0,
        size,
        first: None,
        ids_before: token_ids.len(),
    };
    loop {
        let rest = bytes.get(window.start..).unwrap_or_default();
        let text = rest.get(..window.size).unwrap_or(rest);
        tokens.clear();
        tokens.extend(merger.merge(text, merges));
        let first = tokens.first().map(|token: &(usize, u32)| token.1);
        if window.first.is_some() && window.first != first {
            let Some(before) = done.pop() else {
                unreachable!("the first window expects no token")
            };
            let end = window.start + window.size;
            let size = (2 * before.size).max(end - before.start);
            window = Window { size, ..before };
            token_ids.truncate(window.ids_before);
        } else if text.len() == rest.len() {
            token_ids.extend(tokens.iter().map(|token| token.1));
            return;
        } else if let Some(at) = overlap(&tokens, window.size) {
            token_ids.extend(tokens[..at].iter().map(|token| token.1));
            let next = Window {
                start: window.start + tokens[at].0,
                size,
                first: Some(tokens[at].1),
                ids_before: token_ids.len(),
            };
            done.push(std::mem::replace(&mut window, next));
        } else {
            window.size *= 2;
        }
    }
}

/// The token with which the next window is to begin: at three quarters of this one, as its
/// last tokens would be others if the text went on. None if most of the window would be lost.
fn overlap(tokens: &[(usize, u32)], size: usize) -> Option<usize> {
    let at = tokens.partition_point(|&(start, _)| start <= size - size / 4);
    let at = at.checked_sub(1)?;
    (tokens[at].0 > size / 2).then_some(at)
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
        fn windows_of_any_size_give_the_tokens_of_the_whole(
            merges in any_merges(), text in "[abc]{0,120}", repeat in 1..4_usize, window in 2..40_usize
        ) {
            let text = text.repeat(repeat);
            let tokens = vocabulary(&merges);
            let ids = ids_by_bytes((0..).zip(tokens.clone())).unwrap();
            let ours = Merges::new(&merges, &ids).unwrap();
            let mut merger = WordMerger::default();
            let mut token_ids = Vec::new();
            merge_by_windows(text.as_bytes(), &ours, &mut merger, window, &mut token_ids);
            let whole = merger.merge(text.as_bytes(), &ours).map(|token| token.1);
            prop_assert!(whole.eq(token_ids.iter().copied()));
            if text.len() < 100 {
                let bytes: Vec<_> = token_ids.iter().map(|&id| tokens[id as usize].clone()).collect();
                prop_assert_eq!(bytes, naive::tokens(&text, &merges));
            }
        }
    }
}
