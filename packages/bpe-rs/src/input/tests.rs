//! Blocks against the texts they come from: for every kind of file, block size and number of
//! threads; and everything that can be wrong with a file. (Properties, tables.)

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use flate2::Compression as GzLevel;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::naive;
use crate::pattern::Pattern;
use crate::pretokenize::pretokenize;
use crate::special::SpecialTokens;

/// Parts of one another, and some with white space inside.
const SPECIAL: [&str; 5] = ["<|>", "<|><|>", "b\na", "  b", "é|"];
const TEXT: &str = "[ab <|>é'\r\n\u{3000}]{0,60}";
const ENDINGS: [&str; 4] = ["txt", "gz", "zst", "bin"];

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), GzLevel::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// The bytes as a file with that name holds them, in two members or frames if it is compressed,
/// with a frame to be skipped between them.
fn stored(name: &str, bytes: &[u8]) -> Vec<u8> {
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    match name.rsplit('.').next() {
        Some("gz") => [gz(head), gz(tail)].concat(),
        Some("zst") => [&zst(head)[..], b"\x53\x2a\x4d\x18\x02\0\0\0!?", &zst(tail)].concat(),
        _ => bytes.to_vec(),
    }
}

fn write(directory: &TempDir, name: &str, stored: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, stored).unwrap();
    path
}

fn options(block_bytes: usize) -> FileOptions {
    FileOptions {
        block_bytes,
        ..FileOptions::default()
    }
}

/// What holds an input together in a test.
struct Setting {
    special: SpecialTokens,
    watch: Watch,
}

impl Setting {
    fn new() -> Self {
        Self {
            special: SpecialTokens::new(&SPECIAL).unwrap(),
            watch: Watch::default(),
        }
    }

    fn input(&self, paths: &[PathBuf], options: FileOptions) -> Result<Input<'_>, TrainError> {
        let cuts = TextCuts {
            is_cut: &|text, at| Pattern::default().is_cut(text, at),
            special: &self.special,
        };
        Input::files(paths, options, cuts, 1, &self.watch)
    }
}

/// All texts of all blocks, in the order in which one thread sees them.
fn texts(paths: &[PathBuf], options: FileOptions) -> Result<Vec<String>, TrainError> {
    let setting = Setting::new();
    let input = setting.input(paths, options)?;
    let (mut texts, mut bytes_read) = (Vec::new(), 0);
    let mut reader = input.reader();
    while let Some(block) = reader.next_block()? {
        block.for_each_text(|text| {
            texts.push(text.to_owned());
            Ok(())
        })?;
        bytes_read += block.bytes_read();
    }
    assert_eq!(bytes_read, input.total_bytes(), "progress ends at its end");
    Ok(texts)
}

fn text_of(path: &Path, block_bytes: usize) -> Result<String, TrainError> {
    texts(&[path.to_owned()], options(block_bytes)).map(|texts| texts.concat())
}

type Counts = BTreeMap<String, usize>;

fn count(text: &str, counts: &mut Counts) {
    for (piece, _) in naive::split(text, &SPECIAL).iter().filter(|piece| !piece.1) {
        for pretoken in pretokenize(piece) {
            *counts.entry(pretoken.to_owned()).or_default() += 1;
        }
    }
}

/// The pretokens of the texts, counted on several threads.
fn counts(paths: &[PathBuf], options: FileOptions, num_threads: usize) -> Counts {
    let setting = Setting::new();
    let input = setting.input(paths, options).unwrap();
    let sum = Mutex::new(Counts::new());
    let count_blocks = || {
        let mut reader = input.reader();
        while let Some(block) = reader.next_block().unwrap() {
            let add = |text: &str| {
                count(text, &mut sum.lock().unwrap());
                Ok(())
            };
            block.for_each_text(add).unwrap();
        }
    };
    thread::scope(|scope| (0..num_threads).for_each(|_| drop(scope.spawn(count_blocks))));
    sum.into_inner().unwrap()
}

fn counts_of_whole(texts: &[String]) -> Counts {
    let mut counts = Counts::new();
    texts.iter().for_each(|text| count(text, &mut counts));
    counts
}

fn json_lines(texts: &[String], line_end: &str) -> String {
    let line = |text: &String| {
        let text = serde_json::to_string(text).unwrap();
        format!("{{\"id\": [{{\"text\": 1}}], \"text\": {text}, \"more\": null}}{line_end}")
    };
    texts.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn blocks_of_any_size_on_any_threads_count_what_the_whole_counts(
        texts in prop::collection::vec(TEXT, 1..5),
        block_bytes in 1..70_usize,
        num_threads in 1..5_usize,
    ) {
        let directory = tempdir().unwrap();
        let path = |(index, text): (usize, &String)| {
            let name = format!("{index}.{}", ENDINGS[(index + block_bytes) % ENDINGS.len()]);
            write(&directory, &name, &stored(&name, text.as_bytes()))
        };
        let paths: Vec<_> = texts.iter().enumerate().map(path).collect();
        let ours = counts(&paths, options(block_bytes), num_threads);
        prop_assert_eq!(ours, counts_of_whole(&texts));
    }

    #[test]
    fn blocks_concatenate_to_the_text(text in TEXT, block_bytes in 1..70_usize) {
        let directory = tempdir().unwrap();
        for name in ENDINGS.map(|ending| format!("text.{ending}")) {
            let path = write(&directory, &name, &stored(&name, text.as_bytes()));
            prop_assert_eq!(text_of(&path, block_bytes).unwrap(), text.as_str());
        }
    }

    #[test]
    fn each_json_line_is_a_text(
        lines in prop::collection::vec("[a \"\\\\é\u{1f600}\n\r\t\0]{0,9}", 0..9),
        block_bytes in 1..200_usize,
        line_end in prop::sample::select(vec!["\n", "\r\n", "\n\n \t\r\n"]),
        is_last_ended: bool,
        has_mark: bool,
    ) {
        let directory = tempdir().unwrap();
        let mut file = json_lines(&lines, line_end);
        file.truncate(if is_last_ended { file.len() } else { file.trim_end().len() });
        if has_mark {
            file.insert(0, '\u{feff}');
        }
        for name in ["a.jsonl", "a.NDJSON", "a.jsonl.gz", "a.ndjson.zst"] {
            let path = write(&directory, name, &stored(name, file.as_bytes()));
            prop_assert_eq!(texts(&[path], options(block_bytes)).unwrap(), lines.as_slice());
        }
    }
}

#[test]
fn blocks_stay_small_where_spaces_or_special_tokens_allow_it() {
    let directory = tempdir().unwrap();
    for text in ["word\r\n".repeat(1000), "word<|>".repeat(1000)] {
        for name in ["a.txt", "a.gz"] {
            let path = write(&directory, name, &stored(name, text.as_bytes()));
            let texts = texts(&[path], options(100)).unwrap();
            // A compressed file's last block holds what was read to find a cut that is not needed.
            let (last, others) = texts.split_last().unwrap();
            assert!(others.iter().all(|text| text.len() <= 120), "{name}");
            assert!(last.len() <= 100 || name == "a.gz");
            assert_eq!(texts.concat(), text);
        }
    }
}

#[test]
fn a_text_without_any_cut_is_one_block() {
    let directory = tempdir().unwrap();
    for name in ["a.txt", "a.gz", "a.zst"] {
        let text = "é".repeat(300_000);
        let path = write(&directory, name, &stored(name, text.as_bytes()));
        assert_eq!(texts(&[path], options(100)).unwrap(), [text]);
    }
}

#[test]
fn files_without_text_are_read_too() {
    let directory = tempdir().unwrap();
    let names = ["a", "a.jsonl", "a.gz", "a.zst", "a.jsonl.zst"];
    let paths = names.map(|name| write(&directory, name, &stored(name, b"")));
    assert_eq!(texts(&paths, options(100)).unwrap(), [] as [&str; 0]);
    assert_eq!(texts(&[], options(100)).unwrap(), [] as [&str; 0]);
}

/// Written by the `zstd` tool 1.5.4 (`printf 'low low low\nlower lower\n' | zstd -19 --check`).
const BY_ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x24\x18\xc1\x00\x00\x6c\x6f\x77\x20\x6c\x6f\x77\x20\x6c\x6f\x77\x0a\x6c\x6f\x77\x65\x72\x20\x6c\x6f\x77\x65\x72\x0a\x16\xba\x89\xde";

#[test]
fn a_file_by_the_zstd_tool_is_read() {
    let directory = tempdir().unwrap();
    let path = write(&directory, "a.zst", BY_ZSTD);
    assert_eq!(text_of(&path, 5).unwrap(), "low low low\nlower lower\n");
}

#[test]
fn every_truncation_of_a_compressed_file_is_seen() {
    let directory = tempdir().unwrap();
    let text = "low low lower lowest newer newest ".repeat(3);
    let files = [
        ("a.gz", gz(text.as_bytes())),
        ("a.zst", zst(text.as_bytes())),
    ];
    for (name, stored) in &files {
        for length in 0..stored.len() {
            let path = write(&directory, name, &stored[..length]);
            let error = text_of(&path, 10).unwrap_err();
            let TrainError::Compressed { consumed, .. } = &error else {
                panic!("{name} {length}: {error}")
            };
            assert_eq!(*consumed, length as u64);
        }
    }
}

#[test]
fn no_damage_of_a_compressed_file_changes_the_text_unseen() {
    let directory = tempdir().unwrap();
    let text = "low low lower lowest newer newest ".repeat(3);
    for (name, stored) in [("a.gz", gz(text.as_bytes())), ("a.zst", BY_ZSTD.to_vec())] {
        let sound = text_of(&write(&directory, name, &stored), 10).unwrap();
        for (index, bit) in (0..stored.len()).flat_map(|index| (0..8).map(move |bit| (index, bit)))
        {
            let mut damaged = stored.clone();
            damaged[index] ^= 1 << bit;
            // Some bits, such as those of gzip's time stamp, mean nothing to the text.
            if let Ok(text) = text_of(&write(&directory, name, &damaged), 10) {
                assert_eq!(text, sound, "{name} {index} {bit}");
            }
        }
    }
}

#[test]
fn what_follows_compressed_data_must_be_compressed_data() {
    let directory = tempdir().unwrap();
    for (name, stored) in [("a.gz", gz(b"text")), ("a.zst", zst(b"text"))] {
        let path = write(&directory, name, &[&stored[..], b"rest"].concat());
        let error = text_of(&path, 10).unwrap_err();
        assert!(matches!(error, TrainError::Compressed { .. }), "{error}");
    }
}

#[test]
fn what_a_file_expands_to_is_limited() {
    let directory = tempdir().unwrap();
    for name in ["a.gz", "a.zst", "a.jsonl.gz"] {
        let path = write(&directory, name, &stored(name, &[b' '; 2_000_000]));
        let mut options = options(1 << 20);
        options.max_expanded_bytes = Some(1_999_999);
        let error = texts(std::slice::from_ref(&path), options.clone()).unwrap_err();
        assert!(
            matches!(
                error,
                TrainError::ExpandsTooFar {
                    limit: 1_999_999,
                    ..
                }
            ),
            "{error}"
        );
        options.max_expanded_bytes = Some(2_000_000);
        assert!(texts(&[path], options).is_ok());
    }
}

#[test]
fn the_first_invalid_byte_is_told_exactly() {
    let directory = tempdir().unwrap();
    let text = "aé bé  <|>\ncé ".repeat(2);
    let places = (0..=text.len()).filter(|&at| text.is_char_boundary(at));
    for (at, block_bytes) in places.flat_map(|at| [1, 2, 3, 7, 50].map(|size| (at, size))) {
        // Never valid, a continuation alone, and a character cut short.
        for bad in [&b"\xff"[..], b"\xa9", b"\xe3\x80"] {
            let (head, tail) = text.as_bytes().split_at(at);
            for name in ["a.txt", "a.gz", "a.zst"] {
                let bytes = [head, bad, tail].concat();
                let path = write(&directory, name, &stored(name, &bytes));
                let error = text_of(&path, block_bytes).unwrap_err();
                let TrainError::InvalidUtf8 { offset, .. } = error else {
                    panic!("{error}")
                };
                assert_eq!(offset, at as u64, "{name} {block_bytes} {bad:?}");
            }
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let directory = tempdir().unwrap();
    // Compressed data that shrinks is a matter of chance: its end may have been read before.
    let text: String = (0..60_000).map(|number| format!("{number} ")).collect();
    for (name, new_size) in [
        ("a", 0),
        ("a", 1_000),
        ("a", 10_000_000),
        ("a.gz", 10_000_000),
    ] {
        let path = write(&directory, name, &stored(name, text.as_bytes()));
        let size = fs::metadata(&path).unwrap().len();
        let setting = Setting::new();
        let input = setting
            .input(std::slice::from_ref(&path), options(20_000))
            .unwrap();
        let mut reader = input.reader();
        assert!(reader.next_block().unwrap().is_some());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(new_size).unwrap();
        let error = loop {
            match reader.next_block() {
                Ok(block) => assert!(block.is_some(), "{name} {new_size}"),
                Err(error) => break error,
            }
        };
        match error {
            TrainError::FileChanged { expected, .. } => assert_eq!(expected, size),
            // Zeros where the next member should begin.
            TrainError::Compressed { .. } => assert_eq!(name, "a.gz"),
            other => panic!("{name} {new_size}: {other}"),
        }
        assert!(
            reader.next_block().unwrap().is_none(),
            "an error is the end"
        );
    }
}

#[test]
fn all_files_are_looked_at_before_any_is_read() {
    let directory = tempdir().unwrap();
    let present = write(&directory, "a", b"text");
    let missing = directory.path().join("missing.gz");
    for bad in [missing, directory.path().to_owned()] {
        let error = texts(&[present.clone(), bad.clone()], options(10)).unwrap_err();
        assert!(matches!(error, TrainError::Io { path, .. } if path == bad));
    }
}

#[test]
fn json_that_gives_no_text_is_told_by_line() {
    let table = [
        (
            "{\"text\": \"a\"",
            "line 4, column 12: EOF while parsing an object; each line must",
        ),
        ("{\"text\": \"\\ud800\"}", "line 4, column 17: "),
        (
            "{\"text\": \"a\"} {}",
            "line 4, column 15: trailing characters; each line must",
        ),
        ("text", "line 4, column 2: expected ident; each line must"),
        (
            "[]",
            "line 4: invalid type: sequence, expected an object; each line must be an object",
        ),
        (
            "{\"text\": null}",
            "line 4: invalid type: null, expected a string; each line must",
        ),
        (
            "{\"text\": [\"a\"]}",
            "line 4: invalid type: sequence, expected a string; each line",
        ),
        (
            "{\"text\": \"\", \"text\": \"\"}",
            "line 4: the field stands there twice; each line",
        ),
        (
            "{}",
            "line 4: there is no field \"text\", only []; text_field names",
        ),
        (
            "{\"b\": {}, \"a\": 1}",
            "line 4: there is no field \"text\", only [\"a\", \"b\"];",
        ),
    ];
    let directory = tempdir().unwrap();
    for (line, message) in table {
        let good = "{\"text\": \"a\"}\n";
        let lines = format!("{good}\r\n{good}{line}\n{good}");
        for (name, block_bytes) in ["a.jsonl", "a.jsonl.gz"].into_iter().zip([1, 13, 30, 1000]) {
            let path = write(&directory, name, &stored(name, lines.as_bytes()));
            let error = text_of(&path, block_bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}, {message}")), "{error}");
        }
    }
}

#[test]
fn every_truncation_of_json_lines_is_seen_or_ends_with_a_line() {
    let directory = tempdir().unwrap();
    let lines = json_lines(&["a\n".to_owned(), "é".to_owned()], "\n");
    let ends = [0, 1].map(|index| lines.match_indices('\n').nth(index).unwrap().0);
    for length in 0..lines.len() {
        let path = write(&directory, "a.jsonl", &lines.as_bytes()[..length]);
        let is_whole = [0, ends[0], ends[0] + 1, ends[1]].contains(&length);
        assert_eq!(text_of(&path, 10).is_ok(), is_whole, "{length}");
    }
}

#[test]
fn a_line_is_only_so_long() {
    let directory = tempdir().unwrap();
    for (extra, block_bytes) in [0, 1]
        .into_iter()
        .flat_map(|n| [1, 40, 1000, 9000].map(|b| (n, b)))
    {
        let text = "é".repeat(2500) + &"a".repeat(extra);
        let lines = json_lines(&["".to_owned(), text.clone(), "b".to_owned()], "\n");
        for name in ["a.jsonl", "a.jsonl.gz"] {
            let path = write(&directory, name, &stored(name, lines.as_bytes()));
            let mut options = options(block_bytes);
            options.max_line_bytes = lines.lines().nth(1).unwrap().len() - extra;
            match texts(&[path], options) {
                Ok(texts) => assert_eq!(
                    (texts, extra),
                    (vec!["".into(), text.clone(), "b".into()], 0)
                ),
                Err(TrainError::LineTooLong { line, .. }) => assert_eq!((line, extra), (2, 1)),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn another_field_may_hold_the_text() {
    let directory = tempdir().unwrap();
    let path = write(
        &directory,
        "a.jsonl",
        b"{\"text\": 1, \"\\u0063ontent\": \"a\"}",
    );
    let mut options = options(10);
    options.text_field = "content".to_owned();
    assert_eq!(texts(&[path], options).unwrap(), ["a"]);
}

#[test]
fn texts_in_memory_come_as_they_are() {
    let batches = [
        vec![Text::Str("é".into()), Text::Bytes(b"b"[..].into())],
        vec![],
        vec![Text::Bytes(b"b\xc3"[..].into())],
    ];
    let watch = Watch::default();
    let input = Input::texts(batches.into_iter().map(Ok), &watch);
    let mut reader = input.reader();
    let block = reader.next_block().unwrap().unwrap();
    let mut texts = Vec::new();
    block
        .for_each_text(|text| {
            texts.push(text.to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(
        (texts, block.bytes_read()),
        (vec!["é".to_owned(), "b".to_owned()], 3)
    );
    assert_eq!(reader.next_block().unwrap().unwrap().bytes_read(), 0);
    let error = reader
        .next_block()
        .unwrap()
        .unwrap()
        .for_each_text(|_| Ok(()))
        .unwrap_err();
    assert!(matches!(
        error,
        TrainError::InvalidUtf8Text {
            index: 2,
            offset: 1
        }
    ));
    assert!(
        input.reader().next_block().unwrap().is_none(),
        "no thread goes on after an error"
    );
}

#[test]
fn an_iterator_that_fails_is_not_asked_again() {
    let mut asked = 0;
    let watch = Watch::default();
    let input = Input::texts(
        std::iter::from_fn(|| {
            asked += 1;
            Some(Err(TrainError::NoText))
        }),
        &watch,
    );
    assert!(input.reader().next_block().is_err());
    assert!(input.reader().next_block().unwrap().is_none());
    drop(input);
    assert_eq!(asked, 1);
}

#[test]
fn batches_hold_every_text_once() {
    for text in ["", "a", &"a".repeat(100_000)] {
        let texts = vec![text; 1000];
        let batches: Result<Vec<_>, _> = batches_of(&texts).collect();
        let lengths: Vec<_> = batches.unwrap().concat_lengths();
        assert_eq!(lengths, vec![text.len(); 1000]);
    }
}

trait ConcatLengths {
    fn concat_lengths(&self) -> Vec<usize>;
}

impl ConcatLengths for Vec<Vec<Text<'_>>> {
    fn concat_lengths(&self) -> Vec<usize> {
        self.iter().flatten().map(Text::len).collect()
    }
}

#[test]
fn reading_ends_when_it_is_interrupted() {
    let directory = tempdir().unwrap();
    for name in ["a.txt", "a.gz", "a.zst"] {
        let path = write(&directory, name, &stored(name, &b"word ".repeat(1_000)));
        let setting = Setting::new();
        let input = setting.input(&[path], options(100)).unwrap();
        let mut reader = input.reader();
        assert!(reader.next_block().unwrap().is_some());
        setting.watch.interrupt();
        assert!(matches!(reader.next_block(), Err(TrainError::Interrupted)));
    }
}

#[cfg(unix)]
mod pipes {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn pipe(directory: &TempDir, name: &str) -> PathBuf {
        let path = directory.path().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let directory = tempdir().unwrap();
        let text = "é word\n".repeat(30_000);
        for name in ["a.txt", "a.gz", "a.zst"] {
            let path = pipe(&directory, name);
            let stored = stored(name, text.as_bytes());
            thread::scope(|scope| {
                scope.spawn(|| fs::write(&path, &stored).unwrap());
                let setting = Setting::new();
                let input = setting
                    .input(std::slice::from_ref(&path), options(1000))
                    .unwrap();
                let (mut reader, mut read) = (input.reader(), String::new());
                while let Some(block) = reader.next_block().unwrap() {
                    block
                        .for_each_text(|text| {
                            read += text;
                            Ok(())
                        })
                        .unwrap();
                }
                assert_eq!((read == text, input.total_bytes()), (true, 0));
            });
        }
    }

    #[test]
    fn a_silent_pipe_keeps_no_thread_from_being_interrupted() {
        let directory = tempdir().unwrap();
        let path = pipe(&directory, "a");
        let setting = Setting::new();
        let input = setting.input(&[path], options(1000)).unwrap();
        thread::scope(|scope| {
            let read = || input.reader().next_block().map(|block| block.is_some());
            let readers = [(); 3].map(|()| scope.spawn(read));
            thread::sleep(Duration::from_millis(30));
            setting.watch.interrupt();
            let ends = readers.map(|reader| reader.join().unwrap());
            assert!(
                ends.iter()
                    .any(|end| matches!(end, Err(TrainError::Interrupted)))
            );
            assert!(ends.iter().all(|end| !matches!(end, Ok(true))));
        });
    }
}
