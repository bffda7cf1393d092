use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::count::pretoken::Pretoken;
use crate::count::pretoken::tests::pretoken as pretoken_of;

type Counts = BTreeMap<Vec<u8>, u64>;

const PATH: &str = "some.counts";

fn cut_by() -> CutBy {
    CutBy::new("a+|b", &["<|b|>", "<|a|>"])
}

fn write(counts: &Counts, block_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, Path::new(PATH), &cut_by()).unwrap();
    writer.block_bytes = block_bytes;
    for (pretoken, &count) in counts {
        writer.push(&pretoken_of(pretoken), count).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// What the reader gives, and the error that ended it.
fn read_on(bytes: &[u8]) -> (Vec<(Vec<u8>, u64)>, Option<TrainError>) {
    let mut entries = Vec::new();
    let mut pretoken = Pretoken::empty();
    let mut reader = match Reader::new(bytes, Path::new(PATH)) {
        Ok(reader) => reader,
        Err(error) => return (entries, Some(error)),
    };
    loop {
        match reader.next_entry(&mut pretoken) {
            Ok(Some(count)) => entries.push((pretoken.bytes().to_vec(), count)),
            Ok(None) => return (entries, None),
            Err(error) => return (entries, Some(error)),
        }
    }
}

fn read(bytes: &[u8]) -> Result<Counts, TrainError> {
    match read_on(bytes) {
        (entries, None) => Ok(entries.into_iter().collect()),
        (_, Some(error)) => Err(error),
    }
}

/// Runs of one letter, and so prefixes of one another, up to beyond what a length of 15 says.
fn pretokens() -> impl Strategy<Value = Vec<u8>> {
    let runs = (0..4_u8, 1..40_usize).prop_map(|(byte, length)| vec![byte; length]);
    prop_oneof![runs, prop::collection::vec(any::<u8>(), 1..6)]
}

fn counts(min_entries: usize) -> impl Strategy<Value = Counts> {
    let count = prop_oneof![1..300_u64, Just(u64::MAX), 1..u64::MAX];
    prop::collection::btree_map(pretokens(), count, min_entries..30)
}

fn small() -> Counts {
    let entries: [(&[u8], u64); 6] = [
        (b"\0", u64::MAX),
        (b" low", 2),
        (b" lower", 300),
        (b"ten plus sixteen letters", 1),
        (b"ten plus sixteen more", 1),
        (b"\xff", 7),
    ];
    entries.map(|(bytes, count)| (bytes.to_vec(), count)).into()
}

/// A file of these bytes as blocks, with all checksums right.
fn framed(blocks: &[&[u8]], totals: Totals) -> Vec<u8> {
    let mut bytes = write(&Counts::new(), BLOCK_BYTES);
    bytes.truncate(bytes.len() - 8 - Totals::BYTES);
    let totals = totals.to_bytes();
    let blocks = blocks.iter().map(|block| (block.len() as u32, *block));
    for (length, content) in blocks.chain([(0, &totals[..])]) {
        bytes.extend(length.to_le_bytes());
        bytes.extend(block_checksum(length, content).to_le_bytes());
        bytes.extend(content);
    }
    bytes
}

fn totals(entries: &[(Vec<u8>, u64)]) -> Totals {
    let mut totals = Totals::default();
    entries.iter().for_each(|&(_, count)| totals.add(count));
    totals
}

proptest! {
    #[test]
    fn reading_undoes_writing(counts in counts(0), block_bytes in 1..200_usize) {
        let bytes = write(&counts, block_bytes);
        prop_assert_eq!(read(&bytes).unwrap(), counts);
        let reader = Reader::new(&bytes[..], Path::new(PATH)).unwrap();
        prop_assert_eq!(reader.cut_by(), &cut_by());
    }

    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
        let with_head = [&write(&small(), 20)[..40], &bytes].concat();
        prop_assert!(read(&with_head).is_err());
    }

    /// Behind right checksums anything may stand; what is taken has been written in its one form.
    #[test]
    fn forged_entries_are_refused_or_right(
        counts in counts(1),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let whole = write(&counts, BLOCK_BYTES);
        let head = framed(&[], Totals::default()).len() - 8 - Totals::BYTES;
        let mut block = whole[head + 8..whole.len() - 8 - Totals::BYTES].to_vec();
        for (index, byte) in changes {
            let at = index.index(block.len());
            block[at] = byte;
        }
        let (entries, _) = read_on(&framed(&[&block], Totals::default()));
        let forged = framed(&[&block], totals(&entries));
        if let Ok(counts) = read(&forged) {
            prop_assert!(counts.into_iter().eq(entries.iter().cloned()));
            prop_assert_eq!(write(&entries.into_iter().collect(), BLOCK_BYTES), forged);
        }
    }
}

#[test]
fn a_file_is_as_the_table_says() {
    let counts = Counts::from([
        (b" low".to_vec(), 2),
        (b" lower".to_vec(), 300),
        (b"sixteen and more letters".to_vec(), 1),
    ]);
    let mut head = b"\xb8pretok\n\x01\0\0\0\x12\0\0\0\x04a+|b\x02\x05<|a|>\x05<|b|>".to_vec();
    head.extend(crc32fast::hash(&head).to_le_bytes());
    let entries = b"\x04 low\x02\x42er\xac\x02\x0f\x09sixteen and more letters\x01";
    let framed = |length: u32, content: &[u8]| {
        let content = [&length.to_le_bytes()[..], content].concat();
        let checksum = crc32fast::hash(&content).to_le_bytes();
        [&content[..4], &checksum, &content[4..]].concat()
    };
    let end = [&3_u64.to_le_bytes()[..], &303_u128.to_le_bytes()].concat();
    let expected = [head, framed(entries.len() as u32, entries), framed(0, &end)].concat();
    assert_eq!(write(&counts, BLOCK_BYTES), expected);
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = write(&small(), 20);
    assert_eq!(read(&bytes).unwrap(), small());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_changed_byte_is_an_error() {
    let bytes = write(&small(), 20);
    for at in 0..bytes.len() {
        for change in 1..=u8::MAX {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            assert!(read(&bytes).is_err(), "{change:#x} at {at}");
        }
    }
}

#[test]
fn blocks_left_out_doubled_or_moved_are_an_error() {
    let block_of = |pretoken: &[u8]| [&[pretoken.len() as u8], pretoken, &[1]].concat();
    let (a, b) = (block_of(b"a"), block_of(b"b"));
    let two = Totals {
        entries: 2,
        total: 2,
    };
    assert!(read(&framed(&[&a, &b], two)).is_ok());
    for blocks in [&[&*a][..], &[&b], &[], &[&b, &a], &[&a, &a], &[&a, &b, &b]] {
        assert!(read(&framed(blocks, two)).is_err(), "{blocks:?}");
    }
    let more = [framed(&[&a, &b], two), vec![0]].concat();
    let error = read(&more).unwrap_err().to_string();
    assert!(error.contains("more after its end"), "{error}");
}

#[test]
fn each_wrong_entry_has_its_message() {
    let cases: [(&[u8], &str); 11] = [
        (b"\x01b\x01\x01a\x01", "do not ascend"),
        (b"\x01b\x01\x01b\x01", "do not ascend"),
        (b"\x01b\x01\x10\x01", "do not ascend"), // "b" again, all of it shared
        (b"\0\x01", "do not ascend"),            // empty
        (b"\x01b\x01\x02bc\x01", "less than it could"),
        (b"\x01b\x01\x21c\x01", "more than there is"),
        (b"\x01b\0", "a count is 0"),
        (b"\x01b", "cut off"),
        (b"\x05b\x01", "cut off"),
        (
            b"\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01b\x01",
            "cut off",
        ), // 2^64 + 14 bytes
        (b"\x01b\x80\0", "one form"),
    ];
    for (block, message) in cases {
        let (_, error) = read_on(&framed(&[block], Totals::default()));
        let error = error.unwrap().to_string();
        assert!(error.contains(message), "{error}, not {message}");
    }
}

#[test]
fn an_error_names_file_and_place() {
    let mut bytes = write(&small(), BLOCK_BYTES);
    let block = bytes.len() - Totals::BYTES - 8 - 20;
    bytes[block] ^= 1;
    let error = read(&bytes).unwrap_err().to_string();
    assert!(
        error.starts_with("some.counts is damaged at byte 38: "),
        "{error}"
    );
    let (_, error) = read_on(&framed(&[b"\x01a\x01\x01a\x01"], Totals::default()));
    let error = error.unwrap().to_string();
    assert!(
        error.starts_with("some.counts is damaged at byte 49: "),
        "{error}"
    );
}

#[test]
fn other_files_and_other_versions_say_so() {
    for bytes in [&b""[..], b"text", b"\xb8pretok\r\n, mangled"] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, TrainError::NotCounts { .. }), "{error}");
    }
    let mut bytes = write(&small(), 20);
    bytes[8] = 2;
    let error = read(&bytes).unwrap_err();
    assert!(matches!(
        error,
        TrainError::CountsVersion {
            found: 2,
            supported: 1,
            ..
        }
    ));
}

#[test]
fn what_a_length_claims_is_not_allocated() {
    let good = write(&small(), 20);
    for at in [12, 38] {
        let mut bytes = good.clone();
        bytes[at..at + 4].fill(0xff); // of the head, of the first block
        let mut reader = match Reader::new(&bytes[..], Path::new(PATH)) {
            Ok(reader) => reader,
            Err(TrainError::DamagedCounts { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        let error = reader.next_entry(&mut Pretoken::empty()).unwrap_err();
        assert!(error.to_string().contains("ends here"), "{error}");
        assert!(reader.block_capacity() < 4 * bytes.len());
    }
}

#[test]
fn forged_heads_are_refused() {
    let text = |text: &[u8]| [&[text.len() as u8], text].concat();
    let claims_many = [&text(b"a")[..], &[0xff; 9], &[1]].concat();
    let not_sorted = [text(b"a"), vec![2], text(b"y"), text(b"x")].concat();
    let not_utf8 = [text(b"\xff"), vec![0]].concat();
    let too_long = [text(b"a"), vec![0], vec![0]].concat();
    assert!(CutBy::from_bytes(&[text(b"a"), vec![0]].concat()).is_some());
    for bytes in [claims_many, not_sorted, not_utf8, too_long, vec![]] {
        assert_eq!(CutBy::from_bytes(&bytes), None, "{bytes:?}");
    }
}

#[test]
fn an_output_that_fails_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = Writer::new(Full, Path::new(PATH), &cut_by()).err().unwrap();
    assert!(matches!(error, TrainError::Write { .. }), "{error}");
}
