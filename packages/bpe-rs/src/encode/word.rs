//! A pretoken to token ids, by merging: always the pair of the lowest rank, and of several such the
//! leftmost, until there is none that a merge joins (Sennrich et al. 2016, algorithm 1).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::merges::Merges;
use super::pairs::{Merged, NONE};

/// Up to so many bytes, looking at all pairs again after each merge beats keeping a heap.
pub(super) const SHORT: usize = 64;

/// Merges one pretoken, or one window of a long one, at a time; what it allocated for one serves the next.
#[derive(Debug, Default)]
pub(super) struct WordMerger {
    /// One for each byte, linked where a token begins.
    nodes: Vec<Node>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

/// The token that begins at a byte, if one does.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// What it and the next token merge into. None too where no token begins.
    merged: Merged,
    token_id: u32,
    previous: u32,
    next: u32,
}

impl WordMerger {
    /// The tokens of `bytes`, each with the byte where it begins. Fewer than 2^32 bytes.
    pub(super) fn merge(
        &mut self,
        bytes: &[u8],
        merges: &Merges,
    ) -> impl Iterator<Item = (usize, u32)> {
        self.start(bytes, merges);
        if bytes.len() <= SHORT {
            while let Some(at) = self.lowest() {
                self.join(at, merges);
            }
        } else {
            self.merge_by_heap(merges, || false);
        }
        self.tokens()
    }

    /// The same, but a merge whose turn it is is not done where `drops` says so, until another has
    /// been done. Called once for each turn, in the order of ranks and places.
    pub(super) fn merge_with_dropout(
        &mut self,
        bytes: &[u8],
        merges: &Merges,
        mut drops: impl FnMut() -> bool,
    ) -> impl Iterator<Item = (usize, u32)> {
        const FIRST: (Merged, usize) = (Merged::FIRST, 0);
        self.start(bytes, merges);
        if bytes.len() <= SHORT {
            let mut from = FIRST;
            while let Some((merged, at)) = self.lowest_from(from) {
                if drops() {
                    from = (merged, at + 1);
                } else {
                    self.join(at, merges);
                    from = FIRST;
                }
            }
        } else {
            self.merge_by_heap(merges, drops);
        }
        self.tokens()
    }

    fn start(&mut self, bytes: &[u8], merges: &Merges) {
        let pairs = bytes
            .windows(2)
            .map(|pair| merges.of_bytes(pair[0], pair[1]));
        let nodes = bytes.iter().zip(pairs.chain([NONE])).zip(0_u32..);
        self.nodes.clear();
        self.nodes.extend(nodes.map(|((&byte, merged), at)| Node {
            merged,
            token_id: merges.of_byte(byte),
            previous: at.wrapping_sub(1),
            next: at + 1,
        }));
    }

    /// Where the pair of the lowest rank is, the leftmost of several.
    #[inline(always)]
    fn lowest(&self) -> Option<usize> {
        let (mut lowest, mut place) = (NONE, 0);
        for (at, node) in self.nodes.iter().enumerate() {
            if node.merged < lowest {
                (lowest, place) = (node.merged, at);
            }
        }
        (lowest != NONE).then_some(place)
    }

    /// The pair of the lowest rank, the leftmost of several, that is not before `from` in this order.
    fn lowest_from(&self, from: (Merged, usize)) -> Option<(Merged, usize)> {
        let places = self.nodes.iter().enumerate();
        let pairs = places.map(|(at, node)| (node.merged, at));
        let rest = pairs.filter(|&pair| pair.0 != NONE && pair >= from);
        rest.min()
    }

    /// Joins the token at `at` to the next one. Returns where the token before it begins.
    #[inline(always)]
    fn join(&mut self, at: usize, merges: &Merges) -> Option<usize> {
        let Node {
            merged,
            previous,
            next,
            ..
        } = self.nodes[at];
        let token_id = merged.token_id();
        let gone = &mut self.nodes[next as usize];
        let after = gone.next;
        gone.merged = NONE;
        let merged = match self.nodes.get_mut(after as usize) {
            Some(right) => {
                right.previous = at as u32;
                merges.of_pair(token_id, right.token_id)
            }
            None => NONE,
        };
        self.nodes[at] = Node {
            merged,
            token_id,
            previous,
            next: after,
        };
        let left = self.nodes.get_mut(previous as usize)?;
        left.merged = merges.of_pair(left.token_id, token_id);
        Some(previous as usize)
    }

    /// n log n for n bytes, if none is dropped.
    fn merge_by_heap(&mut self, merges: &Merges, mut drops: impl FnMut() -> bool) {
        let places = self.nodes.iter().zip(0_u32..);
        let pairs = places.filter(|(node, _)| node.merged != NONE);
        let mut heap = std::mem::take(&mut self.heap).into_vec();
        heap.clear();
        heap.extend(pairs.map(|(node, at)| Reverse((node.merged.rank(), at))));
        let mut heap = BinaryHeap::from(heap);
        let mut dropped = Vec::new();
        while let Some(turn) = heap.pop() {
            let Reverse((rank, at)) = turn;
            let at = at as usize;
            // Stale where either side has been merged since: then the pair is another one.
            let merged = self.nodes[at].merged;
            if merged == NONE || merged.rank() != rank {
                continue;
            }
            if drops() {
                dropped.push(turn);
                continue;
            }
            let before = self.join(at, merges);
            heap.extend(dropped.drain(..));
            for at in [Some(at), before].into_iter().flatten() {
                let merged = self.nodes[at].merged;
                if merged != NONE {
                    heap.push(Reverse((merged.rank(), at as u32)));
                }
            }
        }
        self.heap = heap;
    }

    fn tokens(&self) -> impl Iterator<Item = (usize, u32)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at)?;
            let start = std::mem::replace(&mut at, node.next as usize);
            Some((start, node.token_id))
        })
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
        fn tokens_are_those_of_the_definition_scanning_and_by_heap(
            merges in any_merges(), text in "[abc]{0,90}"
        ) {
            let tokens = vocabulary(&merges);
            let ids = ids_by_bytes((0..).zip(tokens.clone())).unwrap();
            let ours = Merges::new(&merges, &ids).unwrap();
            let theirs = naive::tokens(&text, &merges);
            let bytes_of = |(_, id): (usize, u32)| tokens[id as usize].clone();
            let mut merger = WordMerger::default();
            let whole: Vec<_> = merger.merge(text.as_bytes(), &ours).map(bytes_of).collect();
            prop_assert_eq!(&whole, &theirs);
            merger.start(text.as_bytes(), &ours);
            merger.merge_by_heap(&ours, || false);
            let by_heap: Vec<_> = merger.tokens().map(bytes_of).collect();
            prop_assert_eq!(&by_heap, &theirs);
            let starts = merger.tokens().map(|(start, _)| start);
            let lengths = theirs.iter().scan(0, |end, token| {
                Some(std::mem::replace(end, *end + token.len()))
            });
            prop_assert!(starts.eq(lengths));
        }
    }
}
