//! Properties, against a map from the standard library; and the limits.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Counts = BTreeMap<Vec<u8>, u64>;

/// Begins so small that searches meet other pretokens, and growth, from the start.
fn tiny() -> PretokenTable {
    PretokenTable::with_slots(4)
}

fn table(counts: &[(Vec<u8>, u64)]) -> PretokenTable {
    let mut table = tiny();
    for (pretoken, count) in counts {
        table.add(pretoken, *count).unwrap();
    }
    table
}

fn naive<'a>(counts: impl IntoIterator<Item = &'a (Vec<u8>, u64)>) -> Counts {
    let mut sums = Counts::new();
    for (pretoken, count) in counts {
        *sums.entry(pretoken.clone()).or_default() += count;
    }
    sums
}

/// The counts, after a look at whether what the table promises itself is so.
fn counts(table: &PretokenTable) -> Counts {
    let seen: Counts = table
        .iter()
        .map(|(pretoken, count)| (pretoken.to_vec(), count))
        .collect();
    assert_eq!(seen.len(), table.len(), "no pretoken stands twice");
    assert_eq!(table.is_empty(), seen.is_empty());
    assert!(table.len() < table.slots.len() && table.slots.len().is_power_of_two());
    for (slot, home) in table.slots.iter().map(|slot| (slot, home(table, slot))) {
        let way = (0..).map(|step| &table.slots[(home + step) % table.slots.len()]);
        let mut way = way.take_while(|slot| !slot.is_vacant());
        assert!(slot.is_vacant() || way.any(|met| std::ptr::eq(met, slot)));
    }
    seen
}

fn home(table: &PretokenTable, slot: &Slot) -> usize {
    table.home(table.hash(slot.key()))
}

/// Prefixes of each other with and without zeros behind, short and long and at the limit.
fn pretoken() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(b"\0a\xff".to_vec());
    prop_oneof![
        vec(byte.clone(), 0..4),
        vec(byte, 0..40),
        (0..20_usize, 0..3_usize)
            .prop_map(|(letters, zeros)| { [vec![b'a'; letters], vec![0; zeros]].concat() }),
        vec(any::<u8>(), 12..20),
    ]
}

fn additions() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    vec((pretoken(), 0..1000_u64), 0..50)
}

proptest! {
    #[test]
    fn counts_are_those_of_a_map(additions in additions()) {
        prop_assert_eq!(counts(&table(&additions)), naive(&additions));
    }

    /// The text ends where its allocation does.
    #[test]
    fn batches_count_each_pretoken_once(
        pretokens in vec(pretoken(), 0..100), skipped in 0..20_usize, batch in 1..90_usize,
    ) {
        let text = [vec![b'a'; skipped], pretokens.concat()].concat().into_boxed_slice();
        let ends: Vec<usize> = pretokens
            .iter()
            .scan(skipped, |end, pretoken| { *end += pretoken.len(); Some(*end) })
            .collect();
        let (mut table, mut start) = (tiny(), skipped);
        for ends in ends.chunks(batch) {
            table.add_batch(&text, start, ends).unwrap();
            start = ends[ends.len() - 1];
        }
        let ones: Vec<_> = pretokens.into_iter().map(|pretoken| (pretoken, 1)).collect();
        prop_assert_eq!(counts(&table), naive(&ones));
    }

    #[test]
    fn merging_adds_in_any_order_and_grouping(
        a in additions(), b in additions(), c in additions()
    ) {
        let sum = naive(a.iter().chain(&b).chain(&c));
        let merged = |x: &[_], y: &[_]| {
            let mut merged = table(x);
            merged.merge(table(y)).unwrap();
            merged
        };
        let mut left = merged(&a, &b);
        left.merge(table(&c)).unwrap();
        let mut right = table(&a);
        right.merge(merged(&c, &b)).unwrap();
        prop_assert_eq!(counts(&left), sum.clone());
        prop_assert_eq!(counts(&right), sum);
    }
}

#[test]
fn frequent_pretokens_come_to_stand_at_their_homes() {
    let numbers: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
    let mut table = tiny();
    for (count, number) in (1..).zip(&numbers) {
        table.add(number.as_bytes(), 1).unwrap();
        table.add(number.as_bytes(), count).unwrap();
    }
    for number in &numbers {
        let (key, home) = table.key_and_home(number.as_bytes(), 0, number.len());
        let here = table.slots[table.search_from(home, |slot| slot.key() == key)].value;
        table.add(number.as_bytes(), 4000).unwrap();
        assert!(table.slots[home].value >= here + 4000);
    }
}

#[test]
fn long_pretokens_with_one_hash_are_told_apart() {
    let same_hash = |lengths: std::ops::Range<usize>| {
        let mut table = PretokenTable::with_slots(32);
        for length in lengths {
            let (hash, pretoken) = (7 << 50, vec![b'a'; length]);
            table
                .add_long(table.home(hash), hash, &pretoken, length as u64)
                .unwrap();
        }
        table
    };
    let mut sum = same_hash(20..40);
    sum.merge(same_hash(38..62)).unwrap();
    let count = |length| {
        if (38..40).contains(&length) {
            2 * length
        } else {
            length
        }
    };
    let expected = (20..62).map(|length| (vec![b'a'; length], count(length) as u64));
    assert_eq!(counts(&sum), expected.collect());
}

#[test]
fn room_is_three_quarters_and_no_more() {
    let mut table = tiny();
    for number in 0_u64..3 << 10 {
        table.add(&number.to_le_bytes(), 1).unwrap();
    }
    assert_eq!(table.slots.len(), 4 << 10);
    table.make_room(0);
    assert_eq!(table.slots.len(), 4 << 10);
    table.make_room(1);
    assert_eq!(table.slots.len(), 8 << 10);
}

#[test]
fn merging_equal_pretokens_takes_no_more_memory() {
    let pretokens: Vec<_> = (0..700_u64)
        .map(|number| (number.to_le_bytes().to_vec(), 1))
        .collect();
    let mut merged = table(&pretokens);
    let before = merged.memory_bytes();
    merged.merge(table(&pretokens)).unwrap();
    assert_eq!(merged.memory_bytes(), before);
    assert!(merged.iter().all(|(_, count)| count == 2));
}

#[test]
fn a_sum_beyond_64_bits_is_an_error_and_changes_nothing() {
    for pretoken in [b"a".as_slice(), &[b'a'; 40]] {
        let full = table(&[(pretoken.to_vec(), u64::MAX - 1)]);
        let mut more = full.clone();
        more.add(pretoken, 1).unwrap();
        assert!(matches!(
            more.add(pretoken, 1),
            Err(TrainError::CountOverflow)
        ));
        let again = more.add_batch(pretoken, 0, &[pretoken.len()]);
        assert!(matches!(again, Err(TrainError::CountOverflow)));
        assert!(more.iter().eq([(pretoken, u64::MAX)]));
        let sum = full.clone().merge(full);
        assert!(matches!(sum, Err(TrainError::CountOverflow)));
    }
}
