//! Counts merged, saved, loaded and spilled, against sums in a `BTreeMap`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::counts::PretokenCounts;
use super::file::CutBy;
use super::replace::Durability;
use super::runs::write_counts;
use super::spill::Spill;
use super::table::PretokenTable;
use crate::error::TrainError;
use crate::watch::Watch;

type Entries = Vec<(Vec<u8>, u64)>;

/// Few pretokens, so that many are the same, of lengths around those of keys and shared beginnings.
fn entries() -> impl Strategy<Value = Entries> {
    let pretoken = (0..3_u8, 1..20_usize).prop_map(|(byte, length)| vec![byte; length]);
    prop::collection::vec((pretoken, 1..1000_u64), 0..40)
}

fn counts(entries: &Entries) -> PretokenCounts {
    let mut counts = PretokenCounts::new("pattern", &["<|end|>"]);
    for (pretoken, count) in entries {
        counts.add(pretoken, *count).unwrap();
    }
    counts
}

fn table(entries: &[(Vec<u8>, u64)]) -> PretokenTable {
    let mut table = PretokenTable::new();
    for (pretoken, count) in entries {
        table.add(pretoken, *count).unwrap();
    }
    table
}

fn sums(entries: &Entries) -> BTreeMap<Vec<u8>, u64> {
    let mut sums = BTreeMap::new();
    for (pretoken, count) in entries {
        *sums.entry(pretoken.clone()).or_default() += count;
    }
    sums
}

fn listed(counts: &PretokenCounts, min_count: u64) -> Result<Entries, TrainError> {
    let mut entries = counts.entries()?.min_count(min_count);
    let mut list = Vec::new();
    while let Some((pretoken, count)) = entries.next_entry()? {
        list.push((pretoken.to_vec(), count));
    }
    Ok(list)
}

/// The bytes that saving writes, without the wait for the disk.
fn saved(counts: &PretokenCounts) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counts");
    let cut_by = CutBy::new(counts.pattern(), counts.special_tokens());
    let entries = counts.entries().unwrap();
    write_counts(&path, Durability::Lazy, entries, &cut_by, &Watch::default()).unwrap();
    fs::read(path).unwrap()
}

/// Spills a table of each part.
fn spilled(spill: Spill, parts: &[Entries]) -> PretokenCounts {
    for part in parts {
        spill.spill(&mut table(part), &Watch::default()).unwrap();
    }
    spill.finish([]).unwrap()
}

fn spill_in(directory: &Path) -> Spill {
    let cut_by = CutBy::new("pattern", &["<|end|>"]);
    Spill::new(cut_by, Some(0), 1, Some(directory))
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap();
    paths.map(|entry| entry.unwrap().path()).collect()
}

proptest! {
    #[test]
    fn entries_come_in_order_with_their_sums(entries in entries(), min_count in 0..1500_u64) {
        let (counts, sums) = (counts(&entries), sums(&entries));
        prop_assert_eq!(counts.len().unwrap(), sums.len() as u64);
        prop_assert_eq!(counts.total(), sums.values().map(|&count| u128::from(count)).sum::<u128>());
        let frequent: Entries = sums.into_iter().filter(|&(_, count)| count >= min_count).collect();
        prop_assert_eq!(&listed(&counts, min_count).unwrap(), &frequent);
        let mut visited = Vec::new();
        counts.for_each(min_count, |pretoken, count| {
            visited.push((pretoken.to_vec(), count));
            Ok(())
        }).unwrap();
        visited.sort();
        prop_assert_eq!(visited, frequent);
    }

}

proptest! {
    // Each case makes files, which is what takes the time.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn opened_files_are_their_sum(
        parts in prop::collection::vec(entries(), 1..5), more in entries(), min_count in 0..1500_u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let save = |(number, part): (usize, &Entries)| {
            let path = directory.path().join(number.to_string());
            counts(part).save(&path).unwrap();
            path
        };
        let paths: Vec<PathBuf> = parts.iter().enumerate().map(save).collect();
        let whole = counts(&parts.concat());
        let mut opened = PretokenCounts::open(&paths).unwrap();
        prop_assert!(opened.is_equal(&whole).unwrap());
        prop_assert_eq!(opened.total(), whole.total());
        prop_assert_eq!(opened.len().unwrap(), whole.len().unwrap());
        prop_assert_eq!(listed(&opened, min_count).unwrap(), listed(&whole, min_count).unwrap());
        opened.merge(counts(&more)).unwrap();
        prop_assert_eq!(saved(&opened), saved(&counts(&[parts.concat(), more.clone()].concat())));
        drop(opened.clone());
        let mut other = counts(&more);
        other.merge(opened).unwrap();
        prop_assert_eq!(saved(&other), saved(&counts(&[parts.concat(), more.clone(), more].concat())));
        drop(other);
        prop_assert!(paths.iter().all(|path| path.exists()));
    }

    #[test]
    fn order_and_grouping_do_not_change_a_byte(a in entries(), b in entries(), c in entries()) {
        let directory = tempfile::tempdir().unwrap();
        let whole = saved(&counts(&[a.clone(), b.clone(), c.clone()].concat()));
        let merge = |mut left: PretokenCounts, right: PretokenCounts| {
            left.merge(right).unwrap();
            left
        };
        let [a, b, c] = [&a, &b, &c];
        prop_assert_eq!(&saved(&merge(merge(counts(a), counts(b)), counts(c))), &whole);
        prop_assert_eq!(&saved(&merge(counts(c), merge(counts(b), counts(a)))), &whole);
        let on_disk = spilled(spill_in(directory.path()), &[b.clone(), a.clone()]);
        prop_assert_eq!(&saved(&merge(on_disk, counts(c))), &whole);
        let on_disk = spilled(spill_in(directory.path()), &[b.clone(), a.clone()]);
        let other = spilled(spill_in(directory.path()), std::slice::from_ref(c));
        prop_assert_eq!(&saved(&merge(other, on_disk)), &whole);
        prop_assert_eq!(files_in(directory.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn loading_undoes_saving(entries in entries()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("counts");
        let counts = counts(&entries);
        counts.save(&path).unwrap();
        let loaded = PretokenCounts::load(&path).unwrap();
        prop_assert_eq!(listed(&loaded, 0).unwrap(), listed(&counts, 0).unwrap());
        prop_assert_eq!(loaded.pattern(), "pattern");
        prop_assert_eq!(loaded.special_tokens(), ["<|end|>"]);
        prop_assert_eq!(saved(&loaded), fs::read(path).unwrap());
    }
}

#[test]
fn runs_of_runs_give_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let part = |number: u64| -> Entries {
        let shared = (b"in all".to_vec(), number + 1);
        vec![shared, (number.to_be_bytes().to_vec(), 1)]
    };
    let parts: Vec<Entries> = (0..1100).map(part).collect(); // more than 32 * 32
    let counts = spilled(spill_in(directory.path()), &parts);
    let runs = files_in(&files_in(directory.path())[0]);
    assert_eq!(runs.len(), 1 + (1100 - 1024) / 32 + (1100 - 1024) % 32);
    assert_eq!(
        listed(&counts, 0).unwrap(),
        Vec::from_iter(sums(&parts.concat()))
    );
    assert_eq!(counts.len().unwrap(), 1101);
    assert_eq!(counts.total(), 1100 * 1101 / 2 + 1100);
    drop(counts);
    assert!(files_in(directory.path()).is_empty());
}

#[test]
fn threads_spill_into_the_same_counts() {
    let directory = tempfile::tempdir().unwrap();
    let cut_by = CutBy::new("pattern", &["<|end|>"]);
    let spill = Spill::new(cut_by, Some(30_000), 4, Some(directory.path()));
    let part = |thread: u64| -> Entries {
        let numbers = (0..2000).map(|number: u64| number * thread % 700);
        numbers
            .map(|number| (number.to_le_bytes().to_vec(), thread))
            .collect()
    };
    let count = |thread| {
        let mut table = PretokenTable::new();
        for (pretoken, count) in part(thread) {
            table.add(&pretoken, count).unwrap();
            spill.relieve(&mut table, &Watch::default()).unwrap();
        }
        table
    };
    let tables: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..5)
            .map(|thread| scope.spawn(move || count(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(!files_in(directory.path()).is_empty());
    let whole = counts(&(1..5).flat_map(part).collect());
    assert_eq!(saved(&spill.finish(tables).unwrap()), saved(&whole));
}

/// Saves each of them to a file of its own.
fn saved_in(directory: &Path, parts: &[Entries]) -> Vec<PathBuf> {
    let numbered = parts.iter().enumerate();
    let save = |(number, part): (usize, &Entries)| {
        let path = directory.join(format!("{number}.counts"));
        fs::write(&path, saved(&counts(part))).unwrap();
        path
    };
    numbered.map(save).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_files_writes_what_merging_in_memory_saves(
        parts in prop::collection::vec(entries(), 1..9),
        min_count in 1..1500_u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let paths = saved_in(directory.path(), &parts);
        let output = directory.path().join("output");
        for min_count in [1, min_count] {
            PretokenCounts::merge_files(&paths, &output, min_count).unwrap();
            let kept = sums(&parts.concat()).into_iter().filter(|&(_, sum)| sum >= min_count);
            prop_assert_eq!(fs::read(&output).unwrap(), saved(&counts(&kept.collect())));
        }
    }
}

#[test]
fn files_that_cannot_be_merged_leave_the_old_file_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let parts = [
        vec![(b"a".to_vec(), u64::MAX), (b"b".to_vec(), 7)],
        vec![(b"c".to_vec(), 1)],
    ];
    let paths = saved_in(directory.path(), &parts);
    let whole = fs::read(&paths[1]).unwrap();
    let output = directory.path().join("output");
    PretokenCounts::merge_files(&paths, &output, 1).unwrap();
    let old = fs::read(&output).unwrap();
    for at in 0..whole.len() {
        fs::write(&paths[1], &whole[..at]).unwrap();
        assert!(PretokenCounts::merge_files(&paths, &output, 1).is_err());
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        fs::write(&paths[1], changed).unwrap();
        assert!(PretokenCounts::merge_files(&paths, &output, 1).is_err());
        assert_eq!(fs::read(&output).unwrap(), old);
    }
    fs::write(&paths[1], whole).unwrap();
    let twice = [&paths[0], &paths[0]].map(Clone::clone);
    let error = PretokenCounts::merge_files(&twice, &output, 1).unwrap_err();
    assert!(matches!(error, TrainError::CountOverflow), "{error}");
    let error = PretokenCounts::merge_files(&[], &output, 1).unwrap_err();
    assert!(matches!(error, TrainError::NoCounts), "{error}");
    let watch = Watch::default();
    watch.interrupt();
    let error = PretokenCounts::merge_files_watched(&paths, &output, u64::MAX, &watch).unwrap_err();
    assert!(matches!(error, TrainError::Interrupted), "{error}");
    let other = directory.path().join("1.counts");
    PretokenCounts::new("other pattern", &["<|end|>"])
        .save(&other)
        .unwrap();
    let error = PretokenCounts::merge_files(&paths, &output, 1).unwrap_err();
    assert!(matches!(error, TrainError::OtherPattern { .. }), "{error}");
    assert_eq!(fs::read(&output).unwrap(), old);
    assert_eq!(files_in(directory.path()).len(), 3);
}

#[test]
fn a_file_may_be_merged_into_its_own_place() {
    let directory = tempfile::tempdir().unwrap();
    let part = vec![(b"a".to_vec(), 2)];
    let paths = saved_in(directory.path(), &[part.clone(), part]);
    PretokenCounts::merge_files(&paths, &paths[0], 1).unwrap();
    let merged = PretokenCounts::load(&paths[0]).unwrap();
    assert_eq!(listed(&merged, 0).unwrap(), [(b"a".to_vec(), 4)]);
}

#[test]
fn without_a_bound_nothing_is_spilled() {
    let directory = tempfile::tempdir().unwrap();
    let spill = Spill::new(CutBy::new::<&str>("", &[]), None, 1, Some(directory.path()));
    let mut table = table(&[(b"a".to_vec(), 1)]);
    spill.relieve(&mut table, &Watch::default()).unwrap();
    assert_eq!(table.len(), 1);
    assert!(files_in(directory.path()).is_empty());
}

#[test]
fn counts_cut_by_something_else_are_refused() {
    let mut counts = PretokenCounts::new("a", &["x", "y"]);
    counts.merge(PretokenCounts::new("a", &["y", "x"])).unwrap();
    let error = counts
        .merge(PretokenCounts::new("b", &["x", "y"]))
        .unwrap_err();
    assert!(error.to_string().contains(r#"was "a" and "b""#), "{error}");
    let error = counts.merge(PretokenCounts::new("a", &["x"])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(r#"were ["x", "y"] here and ["x"] there"#),
        "{error}"
    );
}

#[test]
fn a_sum_beyond_64_bits_is_an_error_wherever_it_arises() {
    let directory = tempfile::tempdir().unwrap();
    let [large, one] = [u64::MAX, 1].map(|count| vec![(b"a".to_vec(), count)]);
    let mut in_memory = counts(&large);
    let error = in_memory.merge(counts(&one)).unwrap_err();
    assert!(matches!(error, TrainError::CountOverflow));
    let mut on_disk = spilled(spill_in(directory.path()), &[large]);
    assert_eq!(listed(&on_disk, 0).unwrap(), [(b"a".to_vec(), u64::MAX)]);
    on_disk.merge(counts(&one)).unwrap();
    assert_eq!(on_disk.total(), 1 << 64);
    assert!(matches!(
        listed(&on_disk, 0),
        Err(TrainError::CountOverflow)
    ));
    let path = directory.path().join("counts");
    assert!(matches!(
        on_disk.save(&path),
        Err(TrainError::CountOverflow)
    ));
    assert!(!path.exists());
}

#[test]
fn what_counts_nothing_is_left_out() {
    let counts = counts(&vec![(b"a".to_vec(), 0), (Vec::new(), 3)]);
    assert!(counts.is_empty());
    assert_eq!(listed(&counts, 0).unwrap(), []);
}

#[test]
fn runs_outlive_a_run_that_cannot_be_written() {
    let parent = tempfile::tempdir().unwrap();
    let spill = spill_in(parent.path());
    let first = vec![(b"a".to_vec(), 2), (b"b".to_vec(), 1)];
    spill.spill(&mut table(&first), &Watch::default()).unwrap();
    let directory = files_in(parent.path()).remove(0);
    let moved = directory.with_extension("moved"); // what a full disk is, to the program
    fs::rename(&directory, &moved).unwrap();
    let mut second = table(&[(b"c".to_vec(), 1)]);
    let error = spill.spill(&mut second, &Watch::default()).unwrap_err();
    assert_eq!(second.len(), 1);
    let TrainError::Spill { kept, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(kept[..], [directory]);
    assert!(error.to_string().contains("load and merge them"), "{error}");
    drop(spill);
    let run = files_in(&moved).remove(0);
    assert_eq!(
        listed(&PretokenCounts::load(&run).unwrap(), 0).unwrap(),
        first
    );
}

#[test]
fn a_place_that_cannot_be_spilled_to_is_an_error() {
    let spill = spill_in(Path::new("/nowhere at all"));
    let mut table = table(&[(b"a".to_vec(), 1)]);
    let error = spill.spill(&mut table, &Watch::default()).unwrap_err();
    assert!(
        matches!(&error, TrainError::Spill { kept, .. } if kept.is_empty()),
        "{error}"
    );
    assert_eq!(table.len(), 1);
}

#[test]
fn an_interrupted_spill_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spill = spill_in(directory.path());
    let mut table = table(&[(b"a".to_vec(), 1)]);
    spill.spill(&mut table, &Watch::default()).unwrap();
    table.add(b"b", 1).unwrap();
    let watch = Watch::default();
    watch.interrupt();
    let error = spill.spill(&mut table, &watch).unwrap_err();
    assert!(matches!(error, TrainError::Interrupted), "{error}");
    drop(spill);
    assert!(files_in(directory.path()).is_empty());
}

#[test]
fn a_run_that_was_changed_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let counts = spilled(spill_in(directory.path()), &[vec![(b"a".to_vec(), 1)]]);
    let run = files_in(&files_in(directory.path())[0]).remove(0);
    let mut bytes = fs::read(&run).unwrap();
    bytes.pop();
    fs::write(&run, bytes).unwrap();
    assert!(matches!(
        listed(&counts, 0),
        Err(TrainError::DamagedCounts { .. })
    ));
}

#[test]
fn saving_where_it_cannot_be_leaves_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counts");
    counts(&vec![(b"old".to_vec(), 1)]).save(&path).unwrap();
    let old = fs::read(&path).unwrap();
    let overflows = {
        let mut counts = spilled(
            spill_in(directory.path()),
            &[vec![(b"a".to_vec(), u64::MAX)]],
        );
        counts.add(b"a", 1).unwrap();
        counts
    };
    assert!(overflows.save(&path).is_err());
    drop(overflows);
    let missing = directory.path().join("missing/counts");
    assert!(matches!(
        counts(&vec![]).save(&missing),
        Err(TrainError::Write { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(files_in(directory.path()), [path]);
}

#[test]
fn files_that_cannot_be_opened_together_or_have_changed_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let [path, other, cut] = ["path", "other", "cut"].map(|name| directory.path().join(name));
    let small = counts(&vec![(b"a".to_vec(), 1)]);
    small.save(&path).unwrap();
    PretokenCounts::new("pattern", &["<|x|>"])
        .save(&other)
        .unwrap();
    let open = |paths: &[&PathBuf]| {
        let paths: Vec<PathBuf> = paths.iter().copied().cloned().collect();
        PretokenCounts::open(&paths)
    };
    assert!(matches!(open(&[]), Err(TrainError::NoCounts)));
    let error = open(&[&path, &other]).unwrap_err();
    assert!(matches!(error, TrainError::OtherSpecialTokens { .. }));
    assert!(matches!(open(&[&cut]), Err(TrainError::Io { .. })));
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&cut, &whole[..length]).unwrap();
        assert!(open(&[&path, &cut]).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&cut, changed).unwrap();
        let opened = open(&[&path, &cut]);
        assert!(opened.is_err() || opened.unwrap().len().is_err(), "{at}");
    }
    let opened = open(&[&path]).unwrap();
    counts(&vec![(b"a".to_vec(), 2)]).save(&path).unwrap();
    let error = opened.len().unwrap_err().to_string();
    assert!(
        error.contains("not the file that was opened first"),
        "{error}"
    );
}
