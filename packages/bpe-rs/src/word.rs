//! One pretoken to token ids, by merging.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

/// Rank and id of what two adjacent tokens merge into.
pub(crate) type MergeTable = HashMap<(u32, u32), Merged>;

/// The result of a merge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merged {
    pub(crate) rank: u32,
    pub(crate) token_id: u32,
}

/// Up to so many bytes, looking at all pairs again after each merge beats keeping a heap.
const SHORT: usize = 64;

/// Merges `token_ids` in place until no pair is left that `merges` knows: always the pair of the
/// lowest rank, and of several such the leftmost, as in Sennrich et al. 2016, algorithm 1.
pub(crate) fn merge_word(token_ids: &mut Vec<u32>, merges: &MergeTable) {
    if token_ids.len() <= SHORT {
        merge_short(token_ids, merges);
    } else {
        merge_long(token_ids, merges);
    }
}

fn merge_short(token_ids: &mut Vec<u32>, merges: &MergeTable) {
    let look_up = |left, right| merges.get(&(left, right)).copied();
    // At i: what the tokens i and i + 1 merge into.
    let mut pairs: Vec<Option<Merged>> = token_ids
        .windows(2)
        .map(|pair| look_up(pair[0], pair[1]))
        .collect();
    while let Some((at, merged)) = lowest(&pairs) {
        token_ids[at] = merged.token_id;
        token_ids.remove(at + 1);
        pairs.remove(at);
        if let Some(after) = token_ids.get(at + 1) {
            pairs[at] = look_up(merged.token_id, *after);
        }
        if let Some(before) = at.checked_sub(1) {
            pairs[before] = look_up(token_ids[before], merged.token_id);
        }
    }
}

fn lowest(pairs: &[Option<Merged>]) -> Option<(usize, Merged)> {
    let known = pairs
        .iter()
        .enumerate()
        .filter_map(|(at, merged)| merged.map(|m| (at, m)));
    known.min_by_key(|(_, merged)| merged.rank)
}

/// The same with a heap over a linked list: n log n for a pretoken of n bytes.
fn merge_long(token_ids: &mut Vec<u32>, merges: &MergeTable) {
    let mut list = TokenList::new(token_ids);
    let mut heap = BinaryHeap::new();
    for left in 0..token_ids.len() {
        heap.extend(list.merge_from(left, merges));
    }
    while let Some(Reverse((rank, left, token_id))) = heap.pop() {
        // Stale where either side has been merged since: then the pair is another one.
        if list.merge_from(left, merges) != Some(Reverse((rank, left, token_id))) {
            continue;
        }
        list.join(left, token_id);
        heap.extend(list.merge_from(left, merges));
        heap.extend(
            list.previous(left)
                .and_then(|before| list.merge_from(before, merges)),
        );
    }
    *token_ids = list.into_token_ids();
}

/// No token: beyond either end.
const NONE: usize = usize::MAX;

/// Tokens in a doubly linked list over the places they started from.
struct TokenList {
    /// None where the token has been joined to one on its left.
    token_ids: Vec<Option<u32>>,
    previous: Vec<usize>,
    next: Vec<usize>,
}

impl TokenList {
    fn new(token_ids: &[u32]) -> Self {
        let places = 0..token_ids.len();
        Self {
            token_ids: token_ids.iter().copied().map(Some).collect(),
            previous: places
                .clone()
                .map(|at| at.checked_sub(1).unwrap_or(NONE))
                .collect(),
            next: places
                .map(|at| {
                    if at + 1 < token_ids.len() {
                        at + 1
                    } else {
                        NONE
                    }
                })
                .collect(),
        }
    }

    fn previous(&self, at: usize) -> Option<usize> {
        Some(self.previous[at]).filter(|&before| before != NONE)
    }

    fn token_id(&self, at: usize) -> Option<u32> {
        *self.token_ids.get(at)?
    }

    /// What the token at `left` and the one after it merge into, as the heap orders it.
    fn merge_from(&self, left: usize, merges: &MergeTable) -> Option<Reverse<(u32, usize, u32)>> {
        let pair = (self.token_id(left)?, self.token_id(self.next[left])?);
        let merged = merges.get(&pair)?;
        Some(Reverse((merged.rank, left, merged.token_id)))
    }

    /// Puts `token_id` in the place of the token at `left` and the one after it.
    fn join(&mut self, left: usize, token_id: u32) {
        let right = self.next[left];
        self.token_ids[left] = Some(token_id);
        self.token_ids[right] = None;
        let after = self.next[right];
        self.next[left] = after;
        if after != NONE {
            self.previous[after] = left;
        }
    }

    fn into_token_ids(self) -> Vec<u32> {
        self.token_ids.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_and_long_merging_agree_on_any_merges(
            token_ids in prop::collection::vec(0..4_u32, 0..200),
            merges in prop::collection::hash_map((0..9_u32, 0..9_u32), 4..9_u32, 0..30),
        ) {
            let pairs = merges.into_iter().zip(0..);
            let merges = pairs.map(|((pair, token_id), rank)| (pair, Merged { rank, token_id }));
            let merges: MergeTable = merges.collect();
            let (mut short, mut long) = (token_ids.clone(), token_ids);
            merge_short(&mut short, &merges);
            merge_long(&mut long, &merges);
            prop_assert_eq!(short, long);
        }
    }
}
