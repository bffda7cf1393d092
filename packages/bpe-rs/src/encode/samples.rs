//! Merges to test with.

use proptest::prelude::*;

use crate::naive;

/// Merges in any order that the vocabulary allows, and their tokens' ids.
pub(super) fn any_merges() -> impl Strategy<Value = Vec<naive::Merge>> {
    let seeds = prop::collection::vec(any::<(u16, u16, u16)>(), 0..20);
    seeds.prop_map(|seeds| {
        let mut tokens: Vec<Vec<u8>> = b"abc".iter().map(|&byte| vec![byte]).collect();
        let mut merges: Vec<naive::Merge> = Vec::new();
        for (left, right, rank) in seeds {
            let pick = |seed: u16| tokens[usize::from(seed) % tokens.len()].clone();
            let merge = (pick(left), pick(right));
            if merge.0.len() + merge.1.len() <= 40 && !merges.contains(&merge) {
                let both = [&merge.0[..], &merge.1].concat();
                if !tokens.contains(&both) {
                    tokens.push(both);
                }
                let rank = usize::from(rank) % (merges.len() + 1);
                merges.insert(rank, merge);
            }
        }
        merges
    })
}

pub(super) fn vocabulary(merges: &[naive::Merge]) -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    for (left, right) in merges {
        let both = [&left[..], right].concat();
        if !tokens.contains(&both) {
            tokens.push(both);
        }
    }
    tokens
}
